"""Who counts as a person: the one table of the decoders' thresholds, and its fixed-point form.

The reference decoder, its integer twin, the C decoder (through generated headers), the compiler,
the report and the host read this table and no other.  A network may bring values of its own,
fitted on training pictures: its checkpoint carries them as plain data under ``extras['decoder']``,
and the compiler writes them into its firmware.

Nothing but the standard library is imported, so that every room may read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from common.errors import UserError

SAMPLES = 10
"""Look-ups along a limb; the C decoder has room for no other number."""
SCORE_PRIOR = 3
"""Points added to those found when a person's score is formed, see :func:`person_score`."""
SIZE_SHIFT = 10
"""From a log2 in steps of ``2**-20`` to a score in steps of ``2**-15``: 1/32 for each halving of a
person, see :func:`person_score`."""
KEY = "decoder"
"""Under which a checkpoint's extras and the compiler's report hold the values."""

MAX_SCORE = 32.0 - 2**-15
"""Highest score that the C decoder can ask for."""

NOTHING_FAINT = 4.0 - 2**-16
"""Highest value that the C decoder can ask of a peak: no point is that large."""

# Lowest and highest value; for the C decoder's formats see fixed().
_RANGES: dict[str, tuple[float, float]] = {
    "peak": (0.0, NOTHING_FAINT),
    "faint": (0.0, NOTHING_FAINT),
    "affinity": (0.0, 8.0 - 2**-27),
    "agreement": (1 / SAMPLES, 1.0),
    "min_keypoints": (1, 18),
    "min_score": (0.0, MAX_SCORE),
    "max_people": (1, 8),
}


@dataclass(frozen=True)
class DecodeSettings:
    """Thresholds of the decoders.

    Attributes:
        peak: smallest heatmap value that counts as a keypoint.
        faint: smallest heatmap value of a point that somebody reported lacks, near where it is
            expected (:mod:`ai8x_models.faint`); none is looked for unless it is smaller than peak.
        affinity: smallest field component along the limb that counts as agreement.
        agreement: fraction of the samples that must agree.
        min_keypoints: people with fewer keypoints, faint ones not counted, are dropped.
        min_score: people whose score (:func:`person_score`) is lower are dropped.
        max_people: at most so many are returned, the best first.

    Raises:
        ValueError: a value that the C decoder cannot hold.
    """

    peak: float = 0.15
    faint: float = 0.15
    affinity: float = 0.05
    agreement: float = 0.7
    min_keypoints: int = 3
    min_score: float = 0.2
    max_people: int = 8

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; {low:g} to {high:g} are possible")
            if isinstance(low, int) and value != int(value):
                raise ValueError(f"{name} is {value}, but must be a whole number")

    def plain(self) -> dict[str, float | int]:
        """Plain values by name, for a checkpoint's extras and reports."""
        return asdict(self)


DEFAULTS = DecodeSettings()


def person_score(affinity: float, points: int, share: float) -> float:
    """How sure a person is, 0 to about 1: the limbs' affinities, summed, over its points and
    ``SCORE_PRIOR`` more, less 1/32 for each halving of its size.

    Affinities alone, because they tell right people from wrong ones better than the peaks' values
    do; the prior, because three points in a row mean less than eighteen (docs/adr/0018); the size,
    because of two as sure the smaller one is wrong more often (docs/adr/0023).

    Args:
        affinity: sum of the affinities of its limbs.
        points: how many it has.
        share: longer side of the box around its points, one cell at least, of the picture's.
    """
    return max(affinity / (points + SCORE_PRIOR) + for_size(share), 0.0)


def for_size(share: float) -> float:
    """What a person's size adds to its score, 0 or less; for ``share`` see :func:`person_score`."""
    return math.log2(share) * 2.0 ** (5 - SIZE_SHIFT)


def fixed(settings: DecodeSettings = DEFAULTS) -> dict[str, int]:
    """The thresholds in the C decoder's formats, by the names of ``pose_settings_t``.

    Qn is an integer in steps of 2**-n: peak and faint Q16, affinity Q27, min_score Q15;
    ``agreeing`` counts samples of ``SAMPLES``.
    """
    return {
        "peak": round(settings.peak * 2**16),
        "faint": round(settings.faint * 2**16),
        "affinity": round(settings.affinity * 2**27),
        "min_score": round(settings.min_score * 2**15),
        "agreeing": math.ceil(settings.agreement * SAMPLES - 1e-9),
        "min_keypoints": int(settings.min_keypoints),
        "max_people": int(settings.max_people),
    }


def from_extras(extras: Mapping[str, Any], where: str) -> DecodeSettings:
    """The thresholds that plain data bring under ``KEY``; the defaults where they bring none.

    Raises:
        UserError: unknown names, values that are no numbers or out of range; ``where`` says whose.
    """
    given = extras.get(KEY)
    if given is None:
        return DEFAULTS
    names = [field.name for field in fields(DecodeSettings)]
    if not isinstance(given, Mapping) or not set(given) <= set(names):
        raise UserError(
            f"{where}: its decoder settings are {given!r}; a mapping with some of "
            f"{', '.join(names)} is expected"
        )
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UserError(f"{where}: decoder setting {name} is {value!r}; it must be a number")
    try:
        return DecodeSettings(**given)
    except ValueError as error:
        raise UserError(f"{where}: decoder setting {error}") from None
