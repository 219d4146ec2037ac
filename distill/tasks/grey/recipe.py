"""Recipes of the grey task; what all tasks share is in :mod:`distill.engine.recipe`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from common.errors import UserError
from distill.engine.recipe import StudentRun
from distill.people.recipe import CropRun, SetConfig

LOSSES = ("smooth_l1", "mse")
DETECTORS = ("simple", "efficientnet", "code")
KEYPOINTS = (13, 17)
CELL = 16  # the upsampler doubles four times, so the input's side is a multiple of 16


@dataclass
class GreyRun(CropRun):
    """What every run of the grey task is told."""

    OPTIMIZERS: ClassVar[tuple[str, ...]] = ("adamw", "muon", "sgd")

    size: int = 64
    keypoints: int = 13
    # This share of the training people, whole photo series together, validates; sets named under
    # ``validation`` do so instead. ``test`` is touched by the evaluation alone.
    validation_share: float = 0.1
    test: list[SetConfig] = field(default_factory=list)
    momentum: float = 0.9  # of SGD
    loss: str = "smooth_l1"
    beta: float = 0.05  # smooth L1: quadratic below this error (fraction of the crop's side)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keypoints not in KEYPOINTS:
            raise UserError(
                f"keypoints is {self.keypoints}; 13 (neck and limbs) and 17 (COCO) are known"
            )
        self.one_of("loss", LOSSES)
        if self.size % CELL:
            raise UserError(f"size is {self.size}; it must be a multiple of {CELL}")
        if not 0 < self.validation_share < 1:
            raise UserError(
                f"validation_share is {self.validation_share}; it must lie between 0 and 1"
            )
        self.positive("beta")
        if not 0 <= self.momentum < 1:
            raise UserError(f"momentum is {self.momentum}; it must be at least 0 and below 1")


@dataclass
class GreyTeacherRecipe(GreyRun):
    """A detector's training run."""

    out: str = "runs/grey-teacher"
    detector: str = "simple"
    width: int = 16  # channels of the upsampler between its first and its last convolution
    mapping: int = 4  # mapping layers of the upsampler
    enlarge: int = 1  # the encoder first enlarges the picture bilinearly so many times
    dropout: float = 0.3  # of the EfficientNet detector's head
    pretrained: bool = False  # ImageNet weights for EfficientNet, where they can be had

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("detector", DETECTORS)
        self.at_least(1, "width", "enlarge")
        self.at_least(0, "mapping")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}; it must be at least 0 and below 1")


@dataclass
class GreyRecipe(GreyRun, StudentRun):
    """A chip student's training run, with or without a teacher (a detector's checkpoint)."""

    out: str = "runs/grey-float"
    teacher_flip: bool = True  # average the teacher's points with those of the mirrored crop
