"""Where to look next: the twin of ``firmware_templates/track/region.c``.

The header there explains the method. Bit for bit the same regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ai8x_models.follow.fixed import clamp, quotient
from ai8x_models.follow.likeness import MOST_SIDE
from ai8x_models.follow.tracker import Region, Told

_TIGHT = 288
_SEARCHED = 20


@dataclass(frozen=True)
class RegionSettings:
    """``region_settings_t``; see there.

    Raises:
        ValueError: a value outside the range the C code accepts.
    """

    picture: int
    least: int = 128
    margin: int = 384
    refresh_ms: int = 1000
    lost_ms: int = 120
    ahead_ms: int = 110
    alternate: int = 0

    def __post_init__(self) -> None:
        ranges = {"picture": (4, MOST_SIDE), "least": (4, self.picture), "ahead_ms": (0, 1000)}
        for name, value in vars(self).items():
            low, high = ranges.get(name, (0, 65535))
            if not low <= value <= high:
                raise ValueError(f"{name} {value} is not {low} to {high}")
        if self.picture % 4 or self.least % 4:
            raise ValueError(f"sides of {self.picture} and {self.least} are not multiples of 4")

    @property
    def whole(self) -> Region:
        """The whole picture."""
        return Region(0, 0, self.picture)


class _Area(NamedTuple):
    """Pixels; right and bottom are not included."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def longer(self) -> int:
        return max(self.right - self.left, self.bottom - self.top)


def _area_of(track: Told, s: RegionSettings) -> _Area | None:
    """Where a person is and will be, cut to the picture; None without points."""
    known = track.points[track.points[:, 2] > 0, :2]
    if not len(known):
        return None
    x, y = (quotient(speed * s.ahead_ms, 1000) for speed in track.speed)
    edge = s.picture << 4
    low, high = known.min(axis=0), known.max(axis=0)
    left = clamp(min(int(low[0]) + min(x, 0), edge) >> 4, 0, s.picture)
    top = clamp(min(int(low[1]) + min(y, 0), edge) >> 4, 0, s.picture)
    right = clamp((max(int(high[0]) + max(x, 0), 0) >> 4) + 1, left, s.picture)
    bottom = clamp((max(int(high[1]) + max(y, 0), 0) >> 4) + 1, top, s.picture)
    return _Area(left, top, right, bottom)


def _join(areas: Sequence[_Area]) -> _Area:
    return _Area(
        min(a.left for a in areas),
        min(a.top for a in areas),
        max(a.right for a in areas),
        max(a.bottom for a in areas),
    )


def _square(side: int, x2: int, y2: int, s: RegionSettings) -> Region:
    """A square inside the picture, its middle as near as possible to the one wanted (doubled)."""
    even = clamp((side + 3) & ~3, s.least, s.picture)
    free = s.picture - even
    return Region(
        clamp((x2 - even) >> 1, 0, free) & ~1, clamp((y2 - even) >> 1, 0, free) & ~1, even
    )


def _aim(area: _Area, s: RegionSettings) -> Region:
    side = area.longer * s.margin >> 8
    if side > s.picture - s.picture // 8:
        return s.whole
    return _square(side, area.left + area.right, area.top + area.bottom, s)


def _well_inside(region: Region, area: _Area, s: RegionSettings) -> bool:
    more = (area.longer * (_TIGHT - 256) >> 8) // 2
    return (
        max(area.left - more, 0) >= region.x
        and max(area.top - more, 0) >= region.y
        and min(area.right + more, s.picture) <= region.x + region.side
        and min(area.bottom + more, s.picture) <= region.y + region.side
    )


class Chooser:
    """``chooser_t``: ask it after every answer.

    Args:
        settings: of the picture and of the region.
    """

    def __init__(self, settings: RegionSettings) -> None:
        self.settings = settings
        self._now = Region(0, 0, 0)
        self._whole_at = 0
        self._turn = 0
        self._following = False
        self._searched = 0

    def next(self, tracks: Sequence[Told], now_ms: int) -> Region:
        """The region for the next picture.

        Args:
            tracks: what the tracker tells.
            now_ms: time, modulo 2**32.
        """
        s = self.settings
        now_ms %= 1 << 32
        there = [(t, area) for t in tracks if (area := _area_of(t, s)) is not None]
        lost = any(track.missed > s.lost_ms for track in tracks)
        wait = s.refresh_ms >> (2 if lost else 0)
        due = s.refresh_ms != 0 and (now_ms - self._whole_at) % (1 << 32) >= wait
        if not there:
            return self._search(now_ms)
        self._searched = 0
        if due:
            self._whole_at = now_ms
            return s.whole
        everybody = _join([area for _, area in there])
        if s.alternate and self._far_apart(everybody, [area for _, area in there]):
            return self._take_turns(there)
        self._follow(everybody)
        if self._now.side == s.picture:
            self._whole_at = now_ms
        return self._now

    def _search(self, now_ms: int) -> Region:
        """The whole picture twice, then squares of half its side, each twice."""
        s, place = self.settings, self._searched // 2
        self._searched = (self._searched + 1) % _SEARCHED
        self._following = False
        if place == 0:
            self._whole_at = now_ms
            return s.whole
        row, column = divmod(place - 1, 3)
        return _square(s.picture // 2, column * s.picture, row * s.picture, s)

    def _far_apart(self, everybody: _Area, areas: Sequence[_Area]) -> bool:
        s = self.settings
        largest = max(s.least, *(area.longer * s.margin >> 8 for area in areas))
        return 2 * (everybody.longer * s.margin >> 8) > 3 * largest

    def _take_turns(self, there: Sequence[tuple[Told, _Area]]) -> Region:
        """The person with the next number; the lowest when there is no higher one."""
        higher = [pair for pair in there if pair[0].number > self._turn]
        track, area = min(higher or there, key=lambda pair: pair[0].number)
        self._turn = track.number
        self._following = False
        return _aim(area, self.settings)

    def _follow(self, area: _Area) -> None:
        s, now = self.settings, self._now
        want = _aim(area, s)
        if not self._following:
            self._following = True
            self._now = want
            return
        if 2 * now.side <= 3 * want.side and _well_inside(now, area, s):
            return
        following = _square(
            (now.side + want.side) // 2,
            (2 * now.x + now.side + 2 * want.x + want.side) // 2,
            (2 * now.y + now.side + 2 * want.y + want.side) // 2,
            s,
        )
        self._now = following if _well_inside(following, area, s) else want
