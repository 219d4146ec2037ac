"""How the points of one person are read from maps, one map per point: the table of its settings.

The integer reader (:mod:`ai8x_models.point_reader`), the C reader (through a generated header), the
compiler, the report and the host read this table and no other.  A network brings its own values in
its checkpoint, as plain data under ``extras['points']``; without them its maps are only maps.

Nothing but the standard library is imported, so that every room may read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from common.errors import UserError

KEY = "points"
"""Under which a checkpoint's extras and the compiler's report hold the values."""
SKELETON_POINTS = 18
"""Points of :mod:`ai8x_models.skeleton`, among which ``places`` count."""
REACH = 2
"""Cells to every side of the highest one that the centre of mass is taken over."""
LEVELS = 128
"""Values that a peak can have: 0 to 127; a lower one counts as 0."""
SHIFT = 15
"""A visibility of 1.0 is the integer 2**15."""

_LARGEST = 64.0  # of slope and offset; steeper ones are steps already


@dataclass(frozen=True)
class PointMaps:
    """Which points the maps are of, and what a peak says about them.

    The probability that a point is visible is ``1 / (1 + exp(-(slope * peak + offset)))``, the
    peak being the highest value of its map, 0 to 127/128.

    Attributes:
        places: of the maps, in order, among the 18 points.
        slope, offset: fitted on people that the network did not learn from.

    Raises:
        ValueError: a value that makes no sense.
    """

    places: tuple[int, ...]
    slope: float = 10.0
    offset: float = -3.0

    def __post_init__(self) -> None:
        known = all(isinstance(p, int) and 0 <= p < SKELETON_POINTS for p in self.places)
        if not self.places or not known or len(set(self.places)) != len(self.places):
            raise ValueError(
                f"places are {list(self.places)}; different numbers from 0 to "
                f"{SKELETON_POINTS - 1} are expected"
            )
        for name in ("slope", "offset"):
            value = getattr(self, name)
            if not abs(value) <= _LARGEST:
                raise ValueError(f"{name} is {value}; {-_LARGEST:g} to {_LARGEST:g} are possible")
        if self.slope < 0:
            raise ValueError(f"slope is {self.slope}; a higher peak cannot be less sure")

    def plain(self) -> dict[str, Any]:
        """Plain values by name, for a checkpoint's extras and reports."""
        return {**asdict(self), "places": list(self.places)}

    def visibility(self) -> tuple[int, ...]:
        """The probability of each of the ``LEVELS`` peaks, in steps of ``2**-SHIFT``."""
        odds = (math.exp(-(self.slope * v / LEVELS + self.offset)) for v in range(LEVELS))
        return tuple(round(2**SHIFT / (1 + one)) for one in odds)


def from_extras(extras: Mapping[str, Any], where: str) -> PointMaps | None:
    """The settings that plain data bring under ``KEY``; None where they bring none.

    Raises:
        UserError: they are not what they should be; ``where`` says whose.
    """
    given = extras.get(KEY)
    if given is None:
        return None
    if not isinstance(given, Mapping) or set(given) != {"places", "slope", "offset"}:
        raise UserError(
            f"{where}: its point maps are {given!r}; a mapping with places, slope and offset is "
            "expected"
        )
    places = given["places"]
    numbers = [given["slope"], given["offset"]]
    listed = isinstance(places, Sequence) and not isinstance(places, str)
    if not listed or any(isinstance(n, bool) or not isinstance(n, (int, float)) for n in numbers):
        raise UserError(
            f"{where}: places of its point maps must be a list, slope and offset numbers"
        )
    try:
        return PointMaps(tuple(places), float(given["slope"]), float(given["offset"]))
    except ValueError as error:
        raise UserError(f"{where}: point maps: {error}") from None
