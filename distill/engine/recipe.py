"""Training recipes: one YAML per recipe, command-line overrides, checked where they enter.

Settings stand in small dataclasses by purpose. A task's recipe composes those that it obeys, and
nothing else: a setting that would have no effect is as unknown as one that is misspelt. In a YAML
file all of them stand side by side. This module needs no torch, so that mistakes are told at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import io
import math
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from common.errors import UserError
from common.incoming import MAX_YAML_BYTES, check_yaml, read_bytes, yaml_problem

FILE, FOLDER = {"names": "a file"}, {"names": "a folder"}
"""Metadata of a setting that names what a run reads; empty: nothing."""
LATER = {"names": "what only an evaluation reads"}
"""Metadata of a setting whose files a run does not need."""


@dataclass
class Settings:
    """A group of settings; each checks its own on construction, then hands on to the next.

    Attributes:
        GROUP: what stands before a setting's name in a recipe, ``views.``.
    """

    GROUP: ClassVar[str] = ""

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
    """Bits per layer for quantisation-aware training; layers not named take ``default_bits``."""

    enabled: bool = False
    default_bits: int = 8
    bits: dict[str, int] = field(default_factory=dict)
    calibration_images: int = 128


@dataclass
class Quantisation(Settings):
    """Bit widths of a student that goes to the chip."""

    qat: QatConfig = field(default_factory=QatConfig)


@dataclass
class StudentRun(Run, Distillation, Quantisation):
    """What every chip student's run is told."""


AnyRun = TypeVar("AnyRun", bound=Run)

DRAWN = "synthetic"
"""How the name of a set begins that is drawn and not read."""


def check_inputs(settings: object, where: str = "") -> None:
    """Refuse a recipe that names files or folders which are not there, before anything is loaded.

    Args:
        settings: a recipe or a part of it; sets of weight 0 are not looked at.
        where: what stands before a setting's name.

    Raises:
        UserError: naming the first setting.
    """
    if getattr(settings, "weight", 1) == 0:
        return
    for entry in dataclasses.fields(settings):  # type: ignore[arg-type]
        value, name = getattr(settings, entry.name), f"{where}{entry.name}"
        wanted = entry.metadata.get("names")
        if wanted == LATER["names"]:
            continue
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            at = f"{name}[{index}]" if isinstance(value, list) else name
            if dataclasses.is_dataclass(item):
                check_inputs(item, f"{at}.")
            elif wanted and item and not item.startswith(f"{DRAWN}:"):
                _check_input(at, Path(item), wanted)


def _check_input(name: str, path: Path, wanted: str) -> None:
    folder = wanted == FOLDER["names"]
    if folder and not path.is_dir():
        reason = "is no folder" if path.exists() else "does not exist"
        raise UserError(f"{name}: the folder {path} {reason}")
    if not folder and not path.exists():
        raise UserError(f"{name}: cannot read {path}: No such file or directory")


def existing(path: Path) -> Path:
    """A recipe's file.

    Raises:
        UserError: there is none.
    """
    if not path.is_file():
        reason = "it is a folder" if path.is_dir() else "No such file or directory"
        raise UserError(f"cannot read recipe {path}: {reason}")
    return path


def _unknown(given: object, kind: Any, where: str = "") -> Iterator[tuple[str, str, Any]]:
    """Settings that a kind of settings does not have: (place before it, name, kind)."""
    if typing.get_origin(kind) is list and isinstance(given, list):
        (inner,), name = typing.get_args(kind), where.removesuffix(".")
        for index, item in enumerate(given):
            yield from _unknown(item, inner, f"{name}[{index}].")
    elif dataclasses.is_dataclass(kind) and isinstance(given, Mapping):
        known = typing.get_type_hints(kind)
        names = {f.name for f in dataclasses.fields(kind)}
        for name, value in given.items():
            if name not in names:
                yield where, str(name), kind
            else:
                yield from _unknown(value, known[name], f"{where}{name}.")


def _nearest(name: str, kind: Any) -> str:
    """The name most like it that there is."""
    names = [f.name for f in dataclasses.fields(kind)]
    return difflib.get_close_matches(name, names, 1, 0.0)[0]


def _refuse_unknown(given: object, kind: type, source: str) -> None:
    """Raise for the first setting that has no effect."""
    for where, name, inner in _unknown(given, kind):
        raise UserError(
            f"{source}: '{where}{name}' is no setting of this run, it would have no effect; the "
            f"nearest is '{where}{_nearest(name, inner)}'"
        )


def _nested(key: str, value: Any) -> dict[str, Any]:
    """``a.b`` and a value as the mapping they stand for; ``a[0].b`` counts as ``a`` alone."""
    head, *rest = key.split(".")
    if re.search(r"\[", head) or not rest:
        return {head.split("[")[0]: value if not rest and "[" not in head else None}
    return {head: _nested(".".join(rest), value)}


def _merged(path: Path | None, overrides: list[str], kind: type) -> Any:
    """The recipe's settings, those of the command line last."""
    parts: list[Any] = [OmegaConf.structured(kind)]
    if path is not None:
        try:
            text = read_bytes(path, MAX_YAML_BYTES).decode("utf-8")
            check_yaml(text)
        except ValueError as error:  # Unfit, or no text
            raise UserError(f"recipe {path}: {error}") from None
        try:
            loaded = OmegaConf.load(io.StringIO(text))
        except AssertionError:  # a single text or number
            raise UserError(f"recipe {path} holds no settings; write key: value") from None
        _refuse_unknown(OmegaConf.to_container(loaded), kind, f"recipe {path}")
        parts.append(loaded)
    config = OmegaConf.merge(*parts)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise UserError(f"setting '{override}' has no '='; write key=value")
        value = yaml.safe_load(text)
        _refuse_unknown(_nested(key, value), kind, f"setting {override}")
        _refuse_absent(config, key, override)
        OmegaConf.update(config, key, value)
    return config


_OF_YAML = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
"""What the reader of YAML lets through from Python: a date that does not exist, for example."""
_KINDS = {"Integer": "whole number", "Float": "number", "Boolean": "true or false"}
_WORDS: tuple[tuple[str, str], ...] = (
    (r"Value (.*) of type '\w+' could not be converted to (\w+).*", r"\1 is no {\2}"),
    (r"Invalid value assigned: (\w+) is not a ListConfig.*", "a list is expected, [a, b]"),
    (r"Invalid type assigned: .* is not a subclass of \w+\. value: (.*)",
     r"settings are expected, {key: value}, not \1"),
    (r"Cannot assign \w+ to Dict.*", "settings are expected, {key: value}"),
    (r"field '.*' is not Optional.*", "it needs a value"),
    (r"Incompatible value 'None' for field.*", "it needs a value"),
    (r"Interpolation key '(.*)' not found.*", r"it refers to a setting '\1', which is not there"),
    (r".*Environment variable '(.*)' not found.*", r"the environment variable \1 is not set"),
)  # fmt: skip
"""What the library says, and what we say."""


def _in_our_words(message: str) -> str:
    """What the library says of a value, without the types that Python has for it."""
    for theirs, ours in _WORDS:
        found = re.fullmatch(theirs, message)
        if found:
            said = found.expand(ours)
            return re.sub(r"\{(Integer|Float|Boolean)\}", lambda m: _KINDS[m[1]], said)
    return message


def _refuse_absent(config: Any, key: str, setting: str) -> None:
    """Refuse to change an entry of a list that the list does not have."""
    for part in re.findall(r"[^.\[\]]+", key):
        if OmegaConf.is_list(config):
            if not (part.isdecimal() and int(part) < len(config)):
                have = f"0 to {len(config) - 1}" if len(config) else "none"
                raise UserError(f"setting {setting}: the list has no entry '{part}' ({have})")
            config = config[int(part)]
        elif OmegaConf.is_dict(config):
            config = config.get(part)


def load_recipe(path: Path | None, overrides: list[str], kind: type[AnyRun]) -> AnyRun:
    """Read a YAML recipe and apply ``key=value`` overrides.

    Raises:
        UserError: unreadable file, a setting that is unknown or would have no effect, wrong type or
            value out of range.
    """
    try:
        recipe = OmegaConf.to_object(_merged(path and existing(path), overrides, kind))
    except OSError as error:
        raise UserError(f"cannot read recipe {path}: {error.strerror or error}") from None
    except UserError:
        raise
    except (OmegaConfBaseException, yaml.YAMLError, *_OF_YAML) as error:
        message = f"not valid YAML ({yaml_problem(error)})"
        if isinstance(error, OmegaConfBaseException):
            # The library appends its own names of things.
            message = _in_our_words(" ".join(str(error).split()).partition(" full_key:")[0])
        key = getattr(error, "full_key", None)
        if key:
            message = f"{key}: {message}"
        where = f"recipe {path}" if path else "recipe"
        changed = f" with {' '.join(overrides)}" if overrides else ""
        raise UserError(f"{where}{changed}: {message}") from None
    assert isinstance(recipe, kind)
    return recipe
