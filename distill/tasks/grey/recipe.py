"""Recipes of the grey task; what all tasks share is in :mod:`distill.engine.recipe`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from common.errors import UserError
from distill.engine.recipe import QatConfig, Run, SetConfig
from distill.tasks.grey.points import points_of

LOSSES = ("smooth_l1", "mse")
DETECTORS = ("simple", "efficientnet", "code")
CELL = 16  # the upsampler doubles four times, so the input's side is a multiple of 16


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"{name} is '{value}'; it must be one of {', '.join(known)}")


@dataclass
class GreyRun(Run):
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
        points_of(self.keypoints)
        _one_of("loss", self.loss, LOSSES)
        if self.size % CELL:
            raise UserError(f"size is {self.size}; it must be a multiple of {CELL}")
        if not 0 < self.validation_share < 1:
            raise UserError(
                f"validation_share is {self.validation_share}; it must lie between 0 and 1"
            )
        if not self.beta > 0:
            raise UserError(f"beta is {self.beta}; it must be positive")
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
        _one_of("detector", self.detector, DETECTORS)
        for name in ("width", "enlarge"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.mapping < 0:
            raise UserError(f"mapping is {self.mapping}; it cannot be negative")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}; it must be at least 0 and below 1")


@dataclass
class GreyRecipe(GreyRun):
    """A chip student's training run, with or without a teacher."""

    out: str = "runs/grey-float"
    qat: QatConfig = field(default_factory=QatConfig)
    teacher: str = ""  # a detector's checkpoint; empty: ground truth alone
    teacher_share: float = 0.7  # of the loss; the rest is ground truth
    teacher_flip: bool = True  # average the teacher's points with those of the mirrored crop

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.teacher_share <= 1:
            raise UserError(f"teacher_share is {self.teacher_share}; it must be in 0..1")
