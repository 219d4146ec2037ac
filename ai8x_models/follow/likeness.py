"""One track, and how much a person found in the picture is like it.

The twin of ``firmware_templates/track/likeness.c``; numbers as in ``tracker.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ai8x_models.follow.fixed import Integers, clamp, kernel
from ai8x_models.skeleton import NUM_KEYPOINTS

POINTS = NUM_KEYPOINTS
MOST_SIDE = 1023
"""Pixels a side of a camera picture."""

COMMON = 3
"""Points two people need in common to be compared by them."""

_LEAST_SIZE = 128
_FAR = 0xE0000000


def _zeros() -> Integers:
    return np.zeros(POINTS, np.int64)


@dataclass(eq=False)
class Colour:
    """``colour_t``: red, green, blue in Q4, and in how many pictures it was seen (0: unknown)."""

    channels: Integers = field(default_factory=lambda: np.zeros(3, np.int64))
    known: int = 0


@dataclass(eq=False)
class Tracked:
    """``tracked_t``: one track; ``place`` and ``speeds`` are int64 [2, 18]."""

    seen: int = 0
    number: int = 0
    front: int = 0
    missed: int = 0
    unseen: int = 0
    size: int = 0
    colour: Colour = field(default_factory=Colour)
    speed: list[int] = field(default_factory=lambda: [0, 0])
    place: Integers = field(default_factory=lambda: np.zeros((2, POINTS), np.int64))
    speeds: Integers = field(default_factory=lambda: np.zeros((2, POINTS), np.int64))
    value: Integers = field(default_factory=_zeros)
    missing: Integers = field(default_factory=_zeros)

    def near(self) -> Integers:
        """Places in Q4, int64 [2, 18], bounded to 16 bits."""
        return np.clip((self.place + 128) >> 8, -32768, 32767)

    def middle(self) -> tuple[int, int] | None:
        """Twice the middle of the box around the points, Q4; None without points."""
        known = self.value > 0
        if not known.any():
            return None
        q4 = ((self.place + 128) >> 8)[:, known]
        low, high = q4.min(axis=1), q4.max(axis=1)
        return int(low[0] + high[0]), int(low[1] + high[1])


def _box(points: Integers) -> tuple[Integers, Integers]:
    """Corners of the box around a person's points; zeros without points."""
    known = points[points[:, 2] > 0, :2]
    if not len(known):
        return np.zeros(2, np.int64), np.zeros(2, np.int64)
    return known.min(axis=0), known.max(axis=0)


def size_of(points: Integers) -> int:
    """Longer side of the box around a person's points, int64 [18, 3], in Q4 and bounded."""
    low, high = _box(points)
    return clamp(int((high - low).max()), _LEAST_SIZE, 16 * MOST_SIDE)


def _squared(dx: Integers, dy: Integers) -> Integers:
    far = (np.abs(dx) >= 32768) | (np.abs(dy) >= 32768)
    return np.where(far, _FAR, dx * dx + dy * dy)


def _middle_likeness(track: Tracked, points: Integers, size: int) -> int:
    known = track.middle()
    if known is None or not (points[:, 2] > 0).any():
        return 0
    low, high = _box(points)
    away = [
        np.array([clamp(known[i] >> 1, -32768, 32767) - (int(low[i] + high[i]) >> 1)])
        for i in range(2)
    ]
    return int(kernel(size * size >> 4, _squared(*away))[0]) >> 1


def point_likeness(size: int, away: Integers) -> Integers:
    """Of places so far from where they are expected, Q4 int64 [2, n]; Q12, int64 [n]."""
    return kernel(size * size >> 6, _squared(away[0], away[1]))


def likeness(track: Tracked, points: Integers, found_size: int) -> int:
    """How much a person found, int64 [18, 3] and of such a size, is like a track; Q12."""
    size = max(track.size, found_size)
    common = (track.value > 0) & (points[:, 2] > 0)
    count = int(common.sum())
    if count < COMMON:
        return _middle_likeness(track, points, size)
    away = track.near()[:, common] - points[common, :2].T
    return int(point_likeness(size, away).sum()) // count


def track_likeness(one: Tracked, other: Tracked) -> int:
    """Of two tracks; Q12, 0 with too few points in common."""
    size = max(one.size, other.size)
    common = (one.value > 0) & (other.value > 0)
    count = int(common.sum())
    if count < COMMON:
        return 0
    away = one.near()[:, common] - other.near()[:, common]
    return int(point_likeness(size, away).sum()) // count
