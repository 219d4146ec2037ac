"""Faint points: where somebody lacks a point, the network may have seen it a little.

People are put together from peaks that are large enough not to be noise anywhere in the picture.
Once somebody is there with half of their points, the others are expected somewhere: one that is
missing lies about where the mean body (``skeleton.BODY``), as large as the points found, has it
beside the found point that tells best (``skeleton.NEAREST``). Near there much less is enough: of
the peaks larger than the threshold ``faint``, within a torso's length of that place, the one is
taken whose value times the rest of (length squared - distance squared) is largest, unless it is a
point of somebody else who is reported. The point's value is the peak's; the person's score stays
as it was.

Here in real numbers; ``faint_fixed.py`` and the C decoder count in integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_models.skeleton import BODY, NEAREST

Floats = npt.NDArray[np.float32]

UNIT = 32
"""Of ``BODY``: to a torso's length."""
LEAST_FOUND = 9
"""Points that somebody has who is completed: of fewer it is not sure how large they are."""
LEAST_BODY = 10
"""Width and height, together, of the mean body's found points: so much at least."""


def measure(points: npt.NDArray[Any]) -> tuple[float, float]:
    """Width and height, together, of the box around the points found, and of the mean body's."""
    found = points[:, 2] > 0
    both = np.concatenate([points[found, :2], np.array(BODY)[found]], axis=1).astype(np.float64)
    sides = both.max(axis=0) - both.min(axis=0)
    return float(sides[:2].sum()), max(float(sides[2:].sum()), LEAST_BODY)


def anchor(keypoint: int, found: npt.NDArray[np.bool_]) -> int | None:
    """The point by which a missing one is expected; None where none of the nearest was found."""
    return next((other for other in NEAREST[keypoint] if found[other]), None)


def add_faint_points(people: Sequence[Floats], peaks: Sequence[Floats]) -> None:
    """Add to each person, the best first, what they lack.

    Args:
        people: float32 [18, 3] each, in pixels; changed in place.
        peaks: float32 [n, 3] of each kind of point: x, y in pixels, value.
    """
    for points in people:
        found = points[:, 2] > 0
        if found.sum() < LEAST_FOUND:
            continue
        size, body = measure(points)
        for keypoint in np.flatnonzero(~found).tolist():
            other = anchor(keypoint, found)
            if other is not None:
                way = np.subtract(BODY[keypoint], BODY[other]) * (size / body)
                expected, reach = points[other, :2] + way, UNIT * size / body
                taken = [p[keypoint] for p in people if p[keypoint, 2] > 0]
                points[keypoint] = _likeliest(peaks[keypoint], expected, reach, taken)


def _likeliest(
    peaks: Floats, expected: npt.NDArray[np.generic], reach: float, taken: Sequence[Floats]
) -> Floats:
    """Of the peaks [n, 3] that nobody has the one to take, or zeros."""
    free = [p for p in peaks if not any((p[:2] == other[:2]).all() for other in taken)]
    worth = [float(p[2] * (reach**2 - ((p[:2] - expected) ** 2).sum())) for p in free]
    if not worth or max(worth) <= 0:
        return np.zeros(3, np.float32)
    return free[int(np.argmax(worth))]
