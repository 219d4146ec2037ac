"""Training recipes: one YAML per recipe, command-line overrides, checked where they enter."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ai8x_models.students import SPECS
from distill.data import Augmentation
from synthesize.chip.errors import UserError


@dataclass
class SetConfig:
    """One data set of the mixture: COCO-format annotations, picture folder, sampling weight.

    ``annotations`` may also be ``synthetic:N``, N pictures of procedural people.
    """

    annotations: str = ""
    images: str = ""
    weight: float = 1.0
    limit: int | None = None


@dataclass
class AugmentConfig:
    """Ranges of the random changes; see :class:`distill.data.Augmentation`."""

    scale: list[float] = field(default_factory=lambda: [1.1, 1.7])
    rotate: float = 40.0
    shift: float = 0.1
    flip: float = 0.5
    colour: float = 0.3
    cutout: float = 0.2

    def build(self) -> Augmentation:
        """The immutable form the data set takes."""
        low, high = self.scale
        return Augmentation(
            (low, high), self.rotate, self.shift, self.flip, self.colour, self.cutout
        )


@dataclass
class QatConfig:
    """Bits per layer for quantisation-aware training; layers not named take ``default_bits``."""

    enabled: bool = False
    default_bits: int = 8
    bits: dict[str, int] = field(default_factory=dict)
    calibration_images: int = 128


@dataclass
class Recipe:
    """A training run."""

    student: str = "seed"
    size: int = 128
    train: list[SetConfig] = field(default_factory=list)
    validation: list[SetConfig] = field(default_factory=list)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    qat: QatConfig = field(default_factory=QatConfig)
    start_from: str = ""  # checkpoint with initial weights
    out: str = "runs/student"
    epochs: int = 30
    samples_per_epoch: int = 8000
    batch: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 300
    decay_fraction: float = 0.3  # share of the run at its end in which the rate falls to zero
    positive_weight: float = 4.0  # extra loss weight where a target is non-zero
    paf_weight: float = 1.0
    precision: str = "bf16-mixed"
    accelerator: str = "auto"
    devices: int = 1
    workers: int = 1
    validate_every: int = 2
    seed: int = 78

    def __post_init__(self) -> None:
        if self.student not in SPECS:
            raise UserError(f"student '{self.student}' is unknown; choose from {sorted(SPECS)}")
        for name in ("epochs", "samples_per_epoch", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.decay_fraction <= 1:
            raise UserError(f"decay_fraction is {self.decay_fraction}; it must be in 0..1")
        if not self.learning_rate > 0:
            raise UserError(f"learning_rate is {self.learning_rate}; it must be positive")


def load_recipe(path: Path | None, overrides: list[str]) -> Recipe:
    """Read a YAML recipe and apply ``key=value`` overrides.

    Raises:
        UserError: unreadable file, unknown key, wrong type or value out of range.
    """
    try:
        parts: list[Any] = [OmegaConf.structured(Recipe)]
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
        raise UserError(f"recipe {path} with {overrides}: {message}") from None
    assert isinstance(recipe, Recipe)
    return recipe
