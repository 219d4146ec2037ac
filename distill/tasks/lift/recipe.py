"""Recipes of lifting: teachers (with or without labels) and chip students."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from common.errors import UserError
from distill.engine.inputs import need_file
from distill.engine.recipe import Run, Settings, StudentRun

KINDS = ("transformer", "vit")
MAPPINGS = ("2d-3d", "2d-2d", "3d-3d")


@dataclass
class MotionConfig:
    """A motion-capture file (:func:`distill.tasks.lift.data.open_motion`), or its first poses."""

    annotations: str = ""
    limit: int | None = None

    def archive(self) -> tuple[str, tuple[str, ...]] | None:
        """File and subjects of a Human3.6M archive, ``h36m:FILE:S1,S5``; None: it is none."""
        kind, _, rest = self.annotations.partition(":")
        if kind != "h36m":
            return None
        path, _, subjects = rest.partition(":")
        return path, tuple(name for name in subjects.split(",") if name)

    def check_inputs(self, where: str) -> None:
        """See :func:`distill.engine.inputs.check_inputs`.

        Raises:
            UserError: the file is not there, or not said.
        """
        archive = self.archive()
        path = archive[0] if archive else self.annotations
        if not path:
            raise UserError(f"{where}annotations is not said; write annotations: FILE.npz")
        need_file(f"{where}annotations", Path(path))


@dataclass
class ViewConfig(Settings):
    """Ranges of the random cameras and changes; see :class:`distill.tasks.lift.data.Views`."""

    GROUP: ClassVar[str] = "views."

    pitch: list[float] = field(default_factory=lambda: [-10.0, 30.0])
    roll: float = 10.0
    distance: list[float] = field(default_factory=lambda: [3.0, 8.0])
    flip: float = 0.5
    noise: float = 0.01
    lose: float = 0.02
    stretch: float = 0.05
    derived: float = 0.5

    def __post_init__(self) -> None:
        self.span("pitch", "distance")
        if self.distance[0] < 2:
            raise UserError(f"views.distance begins at {self.distance[0]} m; at least 2 are needed")
        self.share("flip", "lose", "derived", "stretch")
        for name in ("lose", "stretch"):
            if getattr(self, name) == 1:
                raise UserError(f"views.{name} is 1; it must be below")
        self.at_least(0, "noise")


@dataclass
class SelfSupervision:
    """Weights of the losses that need no 3D labels."""

    reprojection: float = 1.0
    cycle: float = 1.0
    symmetry: float = 0.5
    limbs: float = 0.5
    smooth: float = 0.1
    adversarial: float = 0.0


@dataclass
class LiftRecipe(Run):
    """What teachers and students have in common; ``window`` poses are seen at once."""

    SETS: ClassVar[tuple[str, ...]] = ("train", "validation")

    train: list[MotionConfig] = field(default_factory=list)
    validation: list[MotionConfig] = field(default_factory=list)
    window: int = 1
    batch: int = 256
    samples_per_epoch: int = 14080
    precision: str = "32-true"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    views: ViewConfig = field(default_factory=ViewConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "window")


@dataclass
class LiftTeacherRecipe(LiftRecipe):
    """A teacher: ``kind`` of network, and its size."""

    kind: str = "transformer"
    mapping: str = "2d-3d"
    width: int = 64
    depth: int = 4
    heads: int = 4
    dropout: float = 0.0
    bone_weight: float = 0.5  # of the bones' errors beside the joints'
    unsupervised: bool = False
    self_supervision: SelfSupervision = field(default_factory=SelfSupervision)
    out: str = "runs/lift-teacher"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("kind", KINDS)
        self.one_of("mapping", MAPPINGS)
        if self.kind == "transformer" and self.mapping != "2d-3d":
            raise UserError(f"the transformer maps 2d-3d only; kind=vit maps {self.mapping}")
        if self.width < 1 or self.heads < 1 or self.depth < 1 or self.width % self.heads:
            raise UserError(
                f"width is {self.width}, heads {self.heads}, depth {self.depth}; all must be at "
                "least 1 and width a multiple of heads"
            )
        if self.unsupervised and (self.kind != "transformer" or self.mapping != "2d-3d"):
            raise UserError("unsupervised pre-training is for kind=transformer")


@dataclass
class LiftStudentRecipe(LiftRecipe, StudentRun):
    """A chip student, with or without a teacher."""

    student: str = "lift"
    out: str = "runs/lift-float"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window != 1:
            raise UserError(f"window is {self.window}; the chip student sees one pose at a time")
