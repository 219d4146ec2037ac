"""Training recipes: one YAML per recipe, command-line overrides, checked where they enter.

Settings stand in small dataclasses by purpose. A task's recipe composes those that it obeys, and
nothing else: a setting that would have no effect is as unknown as one that is misspelt. In a YAML
file all of them stand side by side. This module needs no torch, so that mistakes are told at once.
"""

from __future__ import annotations

import codecs
import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from common.errors import UserError
from common.incoming import MAX_YAML_BYTES, Unfit, check_yaml, yaml_problem
from distill.engine.inputs import FILE
from distill.engine.recipe_form import check_change, check_form
from distill.engine.recipe_words import in_our_words


@dataclass
class Settings:
    """A group of settings; each checks its own on construction, then hands on to the next.

    Attributes:
        GROUP: what stands before a setting's name in a recipe, ``views.``.
        SETS: names of the lists of sets without which there is no run.
    """

    GROUP: ClassVar[str] = ""
    SETS: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """End of the chain of checks."""

    def at_least(self, least: float, *names: str) -> None:
        """Refuse settings below ``least``.

        Raises:
            UserError: naming the first one.
        """
        for name in names:
            value = getattr(self, name)
            if not value >= least:
                limit = "cannot be negative" if least == 0 else f"must be at least {least:g}"
                raise UserError(f"{self.GROUP}{name} is {value}; it {limit}")

    def share(self, *names: str) -> None:
        """Refuse settings outside 0..1.

        Raises:
            UserError: naming the first one.
        """
        for name in names:
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise UserError(f"{self.GROUP}{name} is {value}; it must be in 0..1")

    def span(self, *names: str) -> None:
        """Refuse settings that are not lowest and highest.

        Raises:
            UserError: naming the first one.
        """
        for name in names:
            values = getattr(self, name)
            if len(values) != 2 or not values[0] <= values[1]:
                raise UserError(f"{self.GROUP}{name} is {values}; it must be lowest and highest")

    def one_of(self, name: str, known: tuple[str, ...]) -> None:
        """Refuse a setting that is none of the known ones.

        Raises:
            UserError: naming them.
        """
        value = getattr(self, name)
        if value not in known:
            raise UserError(f"{name} is '{value}'; it must be one of {', '.join(known)}")

    def positive(self, *names: str) -> None:
        """Refuse settings that are not above zero, or without end.

        Raises:
            UserError: naming the first one.
        """
        for name in names:
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} is {getattr(self, name)}; it must be positive and finite")


@dataclass
class Machine(Settings):
    """What a run asks of its machine."""

    precision: str = "auto"  # bf16-mixed where the machine computes it fast, else 32-true
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"  # the trainer library's distributed engine, for example "ddp"

    def __post_init__(self) -> None:
        self.at_least(1, "devices", "nodes")
        super().__post_init__()


@dataclass
class Optimiser(Settings):
    """How weights follow from losses."""

    OPTIMIZERS: ClassVar[tuple[str, ...]] = ("adamw", "muon")

    optimizer: str = "adamw"  # or "muon": faster by the step for plain convolutional networks
    learning_rate: float = 3e-3
    muon_rate: float = 0.02  # rate of the hidden layers' weights under muon
    weight_decay: float = 1e-4
    warmup_steps: int = 300
    decay_fraction: float = 0.3  # share of the run at its end in which the rate falls to zero
    average: float = 0.0  # weights kept: their mean over steps, this much of it old; 0: the last

    def __post_init__(self) -> None:
        self.at_least(0, "warmup_steps", "weight_decay")
        self.one_of("optimizer", self.OPTIMIZERS)
        self.share("decay_fraction", "average")
        self.positive("learning_rate", "muon_rate")
        super().__post_init__()


@dataclass
class Schedule(Settings):
    """How long a run is, where it starts from and what it leaves behind."""

    start_from: str = field(default="", metadata=FILE)  # checkpoint with initial weights
    out: str = "runs/student"
    epochs: int = 30
    samples_per_epoch: int = 8000
    batch: int = 32
    validate_every: int = 2  # epochs
    patience: int = 0  # stop after so many validations without a better figure; 0 never stops
    seed: int = 78

    def __post_init__(self) -> None:
        self.at_least(1, "epochs", "samples_per_epoch", "batch", "validate_every")
        self.at_least(0, "patience")
        if self.samples_per_epoch < self.batch:
            raise UserError(
                f"samples_per_epoch is {self.samples_per_epoch}, less than one batch of "
                f"{self.batch}; raise it or lower batch"
            )
        super().__post_init__()


@dataclass
class Run(Schedule, Optimiser, Machine):
    """What every training run is told, whatever it trains."""


@dataclass
class Distillation(Settings):
    """A student's teacher."""

    teacher: str = field(default="", metadata=FILE)  # checkpoint; empty: ground truth alone
    teacher_share: float = 0.7  # of the loss; the rest is ground truth

    def __post_init__(self) -> None:
        self.share("teacher_share")
        super().__post_init__()


@dataclass
class QatConfig:
    """Bits per layer for quantisation-aware training; layers not named take ``default_bits``.

    ``hold_narrow``: weights of fewer than 8 bits stay what they are rounded to, and the rest is
    trained on (:mod:`quantize.hold`).
    """

    enabled: bool = False
    default_bits: int = 8
    bits: dict[str, int] = field(default_factory=dict)
    calibration_images: int = 128
    hold_narrow: bool = False


@dataclass
class Quantisation(Settings):
    """Bit widths of a student that goes to the chip."""

    qat: QatConfig = field(default_factory=QatConfig)


@dataclass
class StudentRun(Run, Distillation, Quantisation):
    """What every chip student's run is told."""


AnyRun = TypeVar("AnyRun", bound=Run)


def existing(path: Path) -> Path:
    """A recipe's file.

    Raises:
        UserError: there is none.
    """
    if not path.is_file():
        reason = "it is a folder" if path.is_dir() else "No such file or directory"
        raise UserError(f"cannot read recipe {path}: {reason}")
    return path


def recipe_text(path: Path) -> str:
    """What a recipe's file says.

    Raises:
        UserError: it cannot be read, is no text or too large for settings.
    """
    try:
        with existing(path).open("rb") as file:
            content = file.read(MAX_YAML_BYTES + 1)
        text = codecs.getincrementaldecoder("utf-8")().decode(content)  # it may be cut off
    except OSError as error:
        raise UserError(f"cannot read recipe {path}: {error.strerror or error}") from None
    except ValueError:
        raise UserError(f"recipe {path} is no text") from None
    if len(content) > MAX_YAML_BYTES:
        raise UserError(f"recipe {path}: it is larger than {MAX_YAML_BYTES} bytes")
    return text


def _merged(path: Path | None, overrides: list[str], kind: type) -> Any:
    """The recipe's settings, those of the command line last."""
    parts: list[Any] = [OmegaConf.structured(kind)]
    if path is not None:
        text = recipe_text(path)
        try:
            check_yaml(text)
        except Unfit as error:
            raise UserError(f"recipe {path}: {error}") from None
        try:
            loaded = OmegaConf.load(io.StringIO(text))
        except (AssertionError, OSError):  # a single text or number
            raise UserError(f"recipe {path} holds no settings; write key: value") from None
        check_form(OmegaConf.to_container(loaded), kind, f"recipe {path}")
        parts.append(loaded)
    config = OmegaConf.merge(*parts)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise UserError(f"setting '{override}' has no '='; write key=value")
        value = yaml.safe_load(text)
        check_change(config, key, value, kind, override)
        OmegaConf.update(config, key, value)
    return config


_OF_YAML = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
"""What the reader of YAML lets through from Python: a date that does not exist, for example."""


def load_recipe(path: Path | None, overrides: list[str], kind: type[AnyRun]) -> AnyRun:
    """Read a YAML recipe and apply ``key=value`` overrides.

    Raises:
        UserError: unreadable file, a setting that is unknown or would have no effect, wrong type or
            value out of range.
    """
    try:
        recipe = OmegaConf.to_object(_merged(path, overrides, kind))
    except UserError:
        raise
    except (OmegaConfBaseException, yaml.YAMLError, *_OF_YAML) as error:
        message = f"not valid YAML ({yaml_problem(error)})"
        if isinstance(error, OmegaConfBaseException):
            message = in_our_words(error)
        key = getattr(error, "full_key", None)
        if key:
            message = f"{key}: {message}"
        where = f"recipe {path}" if path else "recipe"
        changed = f" with {' '.join(overrides)}" if overrides else ""
        raise UserError(f"{where}{changed}: {message}") from None
    assert isinstance(recipe, kind)
    return recipe
