"""Training recipes: one YAML per recipe, command-line overrides, checked where they enter."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ai8x_models.codec import STRIDE
from ai8x_models.students import SPECS
from common.errors import UserError
from distill.people.crops import Augmentation


@dataclass
class SetConfig:
    """One data set of the mixture: COCO-format annotations, picture folder, sampling weight.

    ``annotations`` may also be ``synthetic:N``, N pictures of procedural people (1 to 4 in each),
    or ``synthetic:N:P``, P people in each.
    """

    annotations: str = ""
    images: str = ""
    weight: float = 1.0
    limit: int | None = None
    in_memory: bool = True  # false: decode pictures whenever they are needed (large sets)


@dataclass
class AugmentConfig:
    """Ranges of the random changes; see :class:`distill.people.crops.Augmentation`."""

    scale: list[float] = field(default_factory=lambda: [1.1, 1.7])
    rotate: float = 40.0
    shift: float = 0.1
    flip: float = 0.5
    colour: float = 0.3
    cutout: float = 0.2
    whole: float = 0.0

    def __post_init__(self) -> None:
        for name in ("flip", "cutout", "whole"):
            if not 0 <= getattr(self, name) <= 1:
                value = getattr(self, name)
                raise UserError(f"augment.{name} is {value}; it is a probability, 0 to 1")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1]:
            raise UserError(f"augment.scale is {self.scale}; give two sizes, the smaller one first")

    def build(self) -> Augmentation:
        """The immutable form the data set takes."""
        low, high = self.scale
        return Augmentation(
            (low, high), self.rotate, self.shift, self.flip, self.colour, self.cutout, self.whole
        )


@dataclass
class QatConfig:
    """Bits per layer for quantisation-aware training; layers not named take ``default_bits``."""

    enabled: bool = False
    default_bits: int = 8
    bits: dict[str, int] = field(default_factory=dict)
    calibration_images: int = 128


@dataclass
class Run:
    """What every training run is told: data, schedule, machine."""

    OPTIMIZERS: ClassVar[tuple[str, ...]] = ("adamw", "muon")

    size: int = 128
    train: list[SetConfig] = field(default_factory=list)
    validation: list[SetConfig] = field(default_factory=list)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    sigma: float = 7.0  # pixels of the input, width of the heatmaps' Gaussians
    start_from: str = ""  # checkpoint with initial weights
    out: str = "runs/student"
    epochs: int = 30
    samples_per_epoch: int = 8000
    batch: int = 32
    optimizer: str = "adamw"  # or "muon": faster by the step for plain convolutional networks
    learning_rate: float = 3e-3
    muon_rate: float = 0.02  # rate of the hidden layers' weights under muon
    weight_decay: float = 1e-4
    warmup_steps: int = 300
    decay_fraction: float = 0.3  # share of the run at its end in which the rate falls to zero
    positive_weight: float = 4.0  # extra loss weight where a target is non-zero
    paf_weight: float = 1.0
    precision: str = "auto"  # bf16-mixed where the machine computes it fast, else 32-true
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"  # the trainer library's distributed engine, for example "ddp"
    workers: int = 1
    validate_every: int = 2  # epochs
    patience: int = 0  # stop after so many validations without a better PCK; 0 never stops
    seed: int = 78

    def __post_init__(self) -> None:
        for name in ("epochs", "samples_per_epoch", "batch", "validate_every", "devices", "nodes"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("workers", "patience", "warmup_steps", "weight_decay", "positive_weight"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}; it cannot be negative")
        if self.samples_per_epoch < self.batch:
            raise UserError(
                f"samples_per_epoch is {self.samples_per_epoch}, less than one batch of "
                f"{self.batch}; raise it or lower batch"
            )
        _check_side("size", self.size)
        if self.optimizer not in self.OPTIMIZERS:
            known = ", ".join(self.OPTIMIZERS)
            raise UserError(f"optimizer is '{self.optimizer}'; it must be one of {known}")
        if not 0 <= self.decay_fraction <= 1:
            raise UserError(f"decay_fraction is {self.decay_fraction}; it must be in 0..1")
        for name in ("learning_rate", "muon_rate", "sigma"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must be positive")


def _check_side(name: str, side: int) -> None:
    if side % STRIDE or side < 4 * STRIDE:
        raise UserError(
            f"{name} is {side}; it must be a multiple of {STRIDE} and at least {4 * STRIDE}"
        )


@dataclass
class MapRun(Run):
    """A run of a network that answers with maps, hence may see crops of any size.

    Small crops cost less, so a run may begin with them; what is learnt carries over.
    """

    early_share: float = 0.0  # of the epochs, at the run's beginning, with crops of early_size
    early_size: int = 96

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_side("early_size", self.early_size)
        if not 0 <= self.early_share <= 1:
            raise UserError(f"early_share is {self.early_share}; it must be in 0..1")

    def side(self, epoch: int) -> int:
        """Side of the training crops in an epoch, in pixels; epochs count from 0."""
        return self.early_size if epoch < int(self.early_share * self.epochs) else self.size


@dataclass
class Recipe(MapRun):
    """A student's training run, with or without a teacher."""

    student: str = "seed"
    qat: QatConfig = field(default_factory=QatConfig)
    teacher: str = ""  # checkpoint of a teacher; empty: ground truth alone
    teacher_share: float = 0.7  # of the loss; the rest is ground truth
    teacher_size: int = 0  # side of the crops the teacher sees; 0: the student's
    teacher_flip: bool = False  # average the teacher's maps with those of the mirrored crop
    teacher_cache: str = ""  # folder that keeps the teacher's maps; needs augment_variants
    augment_variants: int = 0  # so many fixed random crops per person, then again; 0: endless

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.student not in SPECS:
            raise UserError(f"student '{self.student}' is unknown; choose from {sorted(SPECS)}")
        if not 0 <= self.teacher_share <= 1:
            raise UserError(f"teacher_share is {self.teacher_share}; it must be in 0..1")
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


@dataclass
class TeacherRecipe(MapRun):
    """A teacher's training run."""

    out: str = "runs/teacher"
    stages: int = 1  # refinement stages behind the initial one
    width: int = 128  # channels behind the backbone

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stages < 0 or self.width < 1:
            raise UserError(
                f"stages is {self.stages} and width {self.width}; at least 0 and 1 are needed"
            )


AnyRun = TypeVar("AnyRun", bound=Run)


def load_recipe(
    path: Path | None,
    overrides: list[str],
    kind: type[AnyRun] = Recipe,  # type: ignore[assignment]
) -> AnyRun:
    """Read a YAML recipe and apply ``key=value`` overrides.

    Raises:
        UserError: unreadable file, unknown key, wrong type or value out of range.
    """
    try:
        parts: list[Any] = [OmegaConf.structured(kind)]
        if path is not None:
            parts.append(OmegaConf.load(path))
        config = OmegaConf.merge(*parts)
        for override in overrides:
            key, equals, value = override.partition("=")
            if not equals:
                raise UserError(f"setting '{override}' has no '='; write key=value")
            OmegaConf.update(config, key, yaml.safe_load(value))
        recipe = OmegaConf.to_object(config)
    except OSError as error:
        raise UserError(f"cannot read recipe {path}: {error.strerror or error}") from None
    except UserError:
        raise
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError) as error:
        message = " ".join(str(error).split())
        where = f"recipe {path}" if path else "recipe"
        changed = f" with {' '.join(overrides)}" if overrides else ""
        raise UserError(f"{where}{changed}: {message}") from None
    assert isinstance(recipe, kind)
    return recipe
