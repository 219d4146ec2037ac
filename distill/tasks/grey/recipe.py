"""Recipes of the grey task; what all tasks share is in :mod:`distill.engine.recipe`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from common.errors import UserError
from distill.engine.inputs import LATER
from distill.engine.recipe import StudentRun
from distill.people.recipe import CropRun, SetConfig, check_side

LOSSES = ("smooth_l1", "mse")
DETECTORS = ("simple", "efficientnet", "code")
KEYPOINTS = (13, 17)
CELL = 16  # the upsampler doubles four times, so the input's side is a multiple of 16


@dataclass
class GreyRun(CropRun):
    """What every run of the grey task is told."""

    size: int = 64
    keypoints: int = 13
    # This share of the training people, whole photo series together, validates; sets named under
    # ``validation`` do so instead. ``test`` is touched by the evaluation alone.
    validation_share: float = 0.1
    test: list[SetConfig] = field(default_factory=list, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keypoints not in KEYPOINTS:
            raise UserError(
                f"keypoints is {self.keypoints}; 13 (neck and limbs) and 17 (COCO) are known"
            )
        if self.size % CELL:
            raise UserError(f"size is {self.size}; it must be a multiple of {CELL}")
        if not 0 < self.validation_share < 1:
            raise UserError(
                f"validation_share is {self.validation_share}; it must lie between 0 and 1"
            )


@dataclass
class GreyTeacherRecipe(GreyRun):
    """A detector's training run."""

    OPTIMIZERS: ClassVar[tuple[str, ...]] = ("adamw", "muon", "sgd")

    out: str = "runs/grey-teacher"
    momentum: float = 0.9  # of SGD
    loss: str = "smooth_l1"
    beta: float = 0.05  # smooth L1: quadratic below this error (fraction of the crop's side)
    detector: str = "simple"
    width: int = 16  # channels of the upsampler between its first and its last convolution
    mapping: int = 4  # mapping layers of the upsampler
    enlarge: int = 1  # the encoder first enlarges the picture bilinearly so many times
    dropout: float = 0.3  # of the EfficientNet detector's head
    pretrained: bool = False  # ImageNet weights for EfficientNet, where they can be had

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("detector", DETECTORS)
        self.one_of("loss", LOSSES)
        self.positive("beta")
        if not 0 <= self.momentum < 1:
            raise UserError(f"momentum is {self.momentum}; it must be at least 0 and below 1")
        self.at_least(1, "width", "enlarge")
        self.at_least(0, "mapping")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}; it must be at least 0 and below 1")


@dataclass
class GreyRecipe(GreyRun, StudentRun):
    """A chip student's training run, with or without a teacher.

    A teacher is a detector, whose points are taken like annotated ones, or another chip student,
    whose maps are.
    """

    out: str = "runs/grey-float"
    teacher_flip: bool = True  # average the teacher's answer with that to the mirrored crop
    sigma: float = 4.5  # pixels of the input, width of the maps' Gaussians
    positive_weight: float = 8.0  # cells count 1 + this much of their target's value
    # Small crops cost less, and what is learnt carries over to the usual ones.
    early_share: float = 0.0  # of the epochs, at the run's beginning, with crops of early_size
    early_size: int = 48

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positive("sigma")
        self.at_least(0, "positive_weight")
        self.share("early_share")
        check_side("early_size", self.early_size)

    def side(self, epoch: int) -> int:
        """Side of the training crops in an epoch, in pixels; epochs count from 0."""
        return self.early_size if epoch < int(self.early_share * self.epochs) else self.size
