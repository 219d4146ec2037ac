"""The networks that can label, each known by the signature of its ONNX file.

A *finder* looks at a whole picture and answers with people; a *refiner* looks at a crop of one
person and answers with its points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from common.errors import UserError
from distill.people.label.picture import Pixels
from distill.people.label.poses import Floats, Pose
from distill.people.label.signature import Runner, Signature

#: A peak of a map may stand a little above one; logits and counts stand far above.
HIGHEST_PEAK = 2.0
_SLACK = 1e-3


@runtime_checkable
class Finder(Protocol):
    """Finds people in whole pictures."""

    #: People of a lower score are not looked at; from ``keep`` on they are certain.
    least: float
    keep: float

    def find(self, pixels: Pixels) -> list[Pose]:
        """People in uint8 [h, w, 3] RGB, any number, in the picture's pixels."""
        ...


class Refiner(Protocol):
    """Finds the points of one person."""

    def refine(self, pixels: Pixels, person: Pose) -> Pose:
        """The person around which a crop of uint8 [h, w, 3] RGB is cut out, looked at again."""
        ...


@dataclass(frozen=True)
class Family:
    """Networks of one signature.

    Attributes:
        name: as people call them.
        form: their inputs and outputs in words.
        fits: whether a signature is theirs.
        build: the network of a file of that signature.
    """

    name: str
    form: str
    fits: Callable[[Signature], bool]
    build: Callable[[Runner], Finder | Refiner]


def recognise(path: Path, families: Sequence[Family]) -> tuple[Family, Finder | Refiner]:
    """The network in a file, by its signature.

    Raises:
        UserError: it cannot be run, or no family has its signature.
    """
    runner = Runner(path)
    for family in families:
        if family.fits(runner.signature):
            return family, family.build(runner)
    known = "; ".join(f"{family.name}: {family.form}" for family in families)
    raise UserError(f"{path} is of no known kind: it has {runner.signature}, known are {known}")


def probabilities(scores: Floats, path: Path) -> Floats:
    """Scores that must lie in 0..1.

    Raises:
        UserError: they do not.
    """
    return _within(scores, path, 1.0 + _SLACK)


def peaks(heights: Floats, path: Path) -> Floats:
    """Heights of maps' peaks, which may lie a little outside 0..1, as confidences.

    Raises:
        UserError: they are far above one.
    """
    return _within(np.maximum(heights, 0), path, HIGHEST_PEAK)


def _within(scores: Floats, path: Path, most: float) -> Floats:
    if scores.size and not (scores.min() >= -_SLACK and scores.max() <= most):
        raise UserError(
            f"{path} answers with scores from {scores.min():.3g} to {scores.max():.3g}, which are "
            "no probabilities; export the network with its sigmoid, or take another"
        )
    return np.clip(scores, 0, 1).astype(np.float32)
