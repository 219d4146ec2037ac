"""Recipes of the pose task: students and the Lightweight OpenPose teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ai8x_models.codec import STRIDE
from ai8x_models.spec.student import SPECS
from common.errors import UserError
from distill.engine.recipe import Run, Settings, StudentRun
from distill.people.recipe import MapRun, PictureRun


@dataclass
class MapLoss(Settings):
    """Weights of the loss on maps."""

    positive_weight: float = 4.0  # extra loss weight where a target is non-zero
    paf_weight: float = 1.0

    def __post_init__(self) -> None:
        self.at_least(0, "positive_weight", "paf_weight")
        super().__post_init__()


@dataclass
class MapLearning(Run, MapLoss):
    """What every run is told that learns maps."""


@dataclass
class PoseRun(MapRun, MapLearning):
    """What every run is told that learns maps from maps."""


@dataclass
class Recipe(PoseRun, StudentRun):
    """A student's training run on crops of people, with or without a teacher."""

    kind: str = "crops"
    student: str = "seed"
    teacher_size: int = 0  # side of the crops the teacher sees; 0: the student's
    teacher_flip: bool = False  # average the teacher's maps with those of the mirrored crop
    teacher_cache: str = ""  # folder that keeps the teacher's maps; needs augment_variants
    augment_variants: int = 0  # so many fixed random crops per person, then again; 0: endless

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("kind", ("crops",))
        _check_student(self.student)
        if self.teacher_size % STRIDE or self.teacher_size < 0:
            raise UserError(
                f"teacher_size is {self.teacher_size}; it must be a multiple of {STRIDE}, "
                "or 0 for the student's size"
            )
        if self.augment_variants < 0:
            raise UserError(f"augment_variants is {self.augment_variants}; 0 means endless")
        if self.teacher_cache and not self.augment_variants:
            raise UserError(
                "teacher_cache keeps maps of crops that come again, but augment_variants is 0 and "
                "every crop is new; set augment_variants, 8 for example, or drop teacher_cache"
            )
        if self.teacher_cache and self.early_share:
            raise UserError(
                "teacher_cache keeps maps of one size, but early_share takes crops of another at "
                "the beginning; set one of them only"
            )

    def crop_options(self) -> dict[str, Any]:
        """Crops that come again, and larger ones for the teacher."""
        larger = self.teacher_size if self.teacher else 0
        return {
            "variants": self.augment_variants,
            "teacher_size": 0 if larger == self.size else larger,
        }


@dataclass
class PictureLearning(MapLearning, PictureRun):
    """What every run on ordinary pictures is told: people, crowds, and nobody."""

    picture_share: float = 0.7  # of the loss that the picture teacher has, the rest is labels

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("kind", ("pictures",))
        self.share("picture_share")
        if not self.pictures or not self.validation:
            missing = "validation" if self.pictures else "pictures"
            raise UserError(f"the recipe names no data set under '{missing}'")
        if not self.picture_teacher and any(not s.annotations for s in self.pictures):
            raise UserError(
                "a set under 'pictures' has no annotations and the recipe no picture_teacher, so "
                "nothing says what is in it; name a teacher, or label the set first"
            )


@dataclass
class PictureRecipe(StudentRun, PictureLearning):
    """A student's run on ordinary pictures.

    There may be two teachers: one whose maps of the whole picture are looked at through the view
    (``picture_teacher``), and one that sees the view itself (``teacher``: the float student, while
    the quantised one is trained).
    """

    kind: str = "pictures"
    student: str = "native"
    teacher_flip: bool = False  # average the teacher's maps with those of the mirrored view

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_student(self.student)


def _check_student(name: str) -> None:
    """Refuse a student that does not exist."""
    known = sorted(name for name, spec in SPECS.items() if spec.input_shape[0] == 3)
    if name not in known:
        raise UserError(f"student '{name}' is unknown; choose one of {', '.join(known)}")


@dataclass
class OpenPoseNetwork(Settings):
    """The size of a Lightweight OpenPose network."""

    stages: int = 1  # refinement stages behind the initial one
    width: int = 128  # channels behind the backbone

    def __post_init__(self) -> None:
        if self.stages < 0 or self.width < 1:
            raise UserError(
                f"stages is {self.stages} and width {self.width}; at least 0 and 1 are needed"
            )
        super().__post_init__()


@dataclass
class TeacherRecipe(PoseRun, OpenPoseNetwork):
    """A Lightweight OpenPose teacher's training run on crops of people."""

    kind: str = "openpose"
    out: str = "runs/teacher"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("kind", ("openpose",))


@dataclass
class PictureTeacherRecipe(PictureLearning, OpenPoseNetwork):
    """A Lightweight OpenPose teacher's run on ordinary pictures, at the size it teaches at.

    Its ``picture_teacher`` may be the network it starts from, given larger pictures.
    """

    kind: str = "pictures"
    out: str = "runs/teacher-pictures"
