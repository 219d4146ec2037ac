"""Faint points in integers: what ``ai8x_models/faint.py`` explains, as the C decoder counts it.

Places are Q4 pixels; whether a peak is near is counted in eighths of cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ai8x_models.faint import LEAST_FOUND, UNIT, anchor, measure
from ai8x_models.peaks_fixed import SCORE_MAX, Integers, local_maxima, pixels, refine, rescale
from ai8x_models.skeleton import BODY

MAX_CELLS = 8192
"""Cells that are looked at in a picture; a search that would take more is left out."""
_FARTHEST, _LONGEST = 1023, 511


class _Heat(NamedTuple):
    """int64 [19, h, w] with 1.0 being ``2**unit``, its maxima, pixels per cell."""

    values: Integers
    maxima: npt.NDArray[np.bool_]
    unit: int
    stride: int


class _Search(NamedTuple):
    """Where a point is expected, and how far it may be away; eighths of cells."""

    x: int
    y: int
    reach: int


def _quotient(value: int, by: int) -> int:
    """Division of C: towards 0."""
    return value // by if value >= 0 else -(-value // by)


def _eighths(at: int, stride: int) -> int:
    far = _quotient(at - (stride - 1) * 8, 2 * stride)
    return min(max(far, -_FARTHEST), _FARTHEST)


def _search(points: Integers, keypoint: int, other: int, stride: int) -> _Search:
    size, body = (int(value) for value in measure(points))
    x, y = (
        int(points[other, axis])
        + _quotient((BODY[keypoint][axis] - BODY[other][axis]) * size, body)
        for axis in range(2)
    )
    reach = min(UNIT // 2 * size // (body * stride), _LONGEST)
    return _Search(_eighths(x, stride), _eighths(y, stride), reach)


def _cells(search: _Search, rows: int, columns: int) -> int:
    """How many cells of a map of such a size are within reach, in rows and in columns."""
    count = 1
    for middle, most in ((search.y, rows), (search.x, columns)):
        first = max((middle - search.reach + 7) >> 3, 0)
        count *= max(min((middle + search.reach) >> 3, most - 1) + 1 - first, 0)
    return count


def add_faint_points(
    people: Sequence[Integers], heat: Integers, unit: int, least: int, stride: int
) -> None:
    """Add to each person, the best first, what they lack: ``add_faint_points()`` of the C code.

    Args:
        people: int64 [18, 3] each, Q4 pixels and Q15; changed in place.
        heat: int64 [19, h, w], 1.0 being ``2**unit``.
        unit: see there.
        least: in the map's units; what is not larger is not looked at.
        stride: pixels per cell.
    """
    if not people:
        return
    maps = _Heat(heat, local_maxima(heat, least), unit, stride)
    looked = 0
    for points in people:
        found = points[:, 2] > 0
        if found.sum() < LEAST_FOUND:
            continue
        start = points.copy()
        for keypoint in np.flatnonzero(~found).tolist():
            other = anchor(keypoint, found)
            if other is None:
                continue
            search = _search(start, keypoint, other, stride)
            cells = _cells(search, heat.shape[1], heat.shape[2])
            if looked + cells <= MAX_CELLS:
                looked += cells
                taken = [tuple(p[keypoint, :2].tolist()) for p in people if p[keypoint, 2] > 0]
                points[keypoint] = _likeliest(search, keypoint, maps, taken)


def _likeliest(
    search: _Search, keypoint: int, maps: _Heat, taken: Sequence[tuple[int, ...]]
) -> Integers:
    """``look_about()`` of the C code: of the peaks that nobody has the one to take, or zeros."""
    i, j = np.nonzero(maps.maxima[keypoint])
    near = search.reach**2 - (8 * j - search.x) ** 2 - (8 * i - search.y) ** 2
    score = rescale(maps.values[keypoint, i, j], maps.unit, 15, 1, SCORE_MAX)
    likely = np.where(near > 0, (score >> 7) * near, 0)
    for best in np.argsort(-likely, kind="stable").tolist():
        if likely[best] <= 0:
            break
        one = slice(best, best + 1)
        x, y = refine(maps.values, np.full(1, keypoint), i[one], j[one], maps.unit)
        place = int(pixels(x, maps.stride)[0]), int(pixels(y, maps.stride)[0])
        if place not in taken:
            return np.array([*place, min(int(score[best]), 0xFFFF)], np.int64)
    return np.zeros(3, np.int64)
