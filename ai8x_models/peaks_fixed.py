"""Peaks of heatmaps in integers, as ``firmware_templates/decoder/pose_decoder.c`` finds them.

Numbers as in :mod:`ai8x_models.decode_fixed`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai8x_models.decoder_tables import LOG2_1000, LOG2_TABLE
from ai8x_models.skeleton import LIMBS

Integers = npt.NDArray[np.int64]

MAX_PEAKS = 16
MAX_PAIRS = 1400
"""Pairs of peaks that are looked at; ``POSE_MAX_PAIRS`` says what happens beyond."""
CELL = 1 << 10
SCORE_MAX = 4 << 15
_LOG2 = np.array(LOG2_TABLE, np.int64)


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks of one keypoint in reading order: int64 [n] positions (Q10 cells), values (Q15)."""

    x: Integers
    y: Integers
    value: Integers


def rescale(values: npt.ArrayLike, unit: int, target: int, low: int, high: int) -> Integers:
    """``rescaled()`` of the C code: from steps of 2**-unit to 2**-target, within low and high."""
    array = np.asarray(values, np.int64)
    if unit > target:
        return np.clip(((array >> (unit - target - 1)) + 1) >> 1, low, high)
    shift = target - unit
    return np.clip(array, low >> shift, high >> shift) << shift


def log2_q20(values: npt.ArrayLike) -> Integers:
    """``log2_q20()`` of the C code, for integers 1 .. 2**31 - 1."""
    array = np.asarray(values, np.int64)
    exponent = np.frexp(array.astype(np.float64))[1].astype(np.int64) - 1
    mantissa = array << (31 - exponent)
    index = (mantissa >> 23) & 0xFF
    fraction = (mantissa >> 7) & 0xFFFF
    low = _LOG2[index]
    return np.asarray(
        (exponent << 20) + low + (((_LOG2[index + 1] - low) * fraction + 0x8000) >> 16)
    )


def _vertex(before: Integers, mid: Integers, after: Integers) -> Integers:
    """``vertex()`` of the C code: offset of a parabola's maximum, Q10 cells."""
    bend, slope = 2 * mid - before - after, after - before
    flat, rise = bend < 2, np.abs(slope)
    far = rise >= bend
    safe = np.where(flat, 2, bend)
    # As many bits less as bring the curvature below 2**22.
    shift = np.maximum(np.frexp(safe.astype(np.float64))[1].astype(np.int64) - 22, 0)
    rise, safe = rise >> shift, safe >> shift
    offset = np.where(far, CELL // 2, ((rise << 9) + safe // 2) // safe)
    return np.where(flat, 0, np.where(slope < 0, -offset, offset))


def refine(
    heat: Integers, k: Integers, i: Integers, j: Integers, unit: int
) -> tuple[Integers, Integers]:
    """Sub-cell positions (x, y), Q10 cells, of the peaks in channels k, rows i, columns j."""
    height, width = heat.shape[1:]
    floor = (1 << unit) // 1000

    def log_at(rows: Integers, columns: Integers) -> Integers:
        value = heat[k, np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
        return np.where(value > floor, log2_q20(np.maximum(value, 1)), (unit << 20) - LOG2_1000)

    mid = log_at(i, j)
    dx = _vertex(log_at(i, j - 1), mid, log_at(i, j + 1))
    dy = _vertex(log_at(i - 1, j), mid, log_at(i + 1, j))
    x = j * CELL + np.where((j > 0) & (j < width - 1), dx, 0)
    y = i * CELL + np.where((i > 0) & (i < height - 1), dy, 0)
    return x, y


def _strongest(values: Integers) -> Integers:
    """Which peaks remain when only MAX_PEAKS are kept, ascending (``keep_peak()``)."""
    if len(values) <= MAX_PEAKS:
        return np.arange(len(values))
    kept: list[int] = []
    for index, value in enumerate(values.tolist()):
        if len(kept) == MAX_PEAKS:
            weakest = min(kept, key=lambda k: int(values[k]))
            if values[weakest] >= value:
                continue
            kept.remove(weakest)
        kept.append(index)
    return np.array(kept, np.int64)


def _bound_pairs(kept: list[Integers], value: Integers) -> None:
    """``bound_pairs()`` of the C code, on the numbers of each keypoint's peaks."""
    counts = np.array([len(numbers) for numbers in kept])
    starts, ends = counts[np.array(LIMBS)].T
    most = MAX_PEAKS
    while most > 1 and (np.minimum(starts, most) * np.minimum(ends, most)).sum() > MAX_PAIRS:
        most -= 1
    for keypoint in range(len(kept)):
        while len(kept[keypoint]) > most:
            kept[keypoint] = np.delete(kept[keypoint], value[kept[keypoint]].argmin())


def local_maxima(heat: Integers, threshold: int) -> npt.NDArray[np.bool_]:
    """Which elements of heat [k, h, w] are larger than the threshold and their eight neighbours.

    Of equal neighbours the first in reading order is.
    """
    channels, height, width = heat.shape
    padded = np.full((channels, height + 2, width + 2), -(2**40), np.int64)
    padded[:, 1:-1, 1:-1] = heat
    peak = heat > threshold
    for di, dj in ((-1, -1), (-1, 0), (-1, 1), (0, -1)):
        peak &= heat > padded[:, 1 + di : 1 + di + height, 1 + dj : 1 + dj + width]
        peak &= heat >= padded[:, 1 - di : 1 - di + height, 1 - dj : 1 - dj + width]
    return np.asarray(peak)


def find_peaks(heat: Integers, unit: int, least: int) -> list[Peaks]:
    """Peaks of every channel of heat [k, h, w] that are larger than ``least``, Q16."""
    channels = len(heat)
    peak = local_maxima(heat, (least << unit) >> 16)
    k, i, j = np.nonzero(peak)
    value = rescale(heat[k, i, j], unit, 15, 1, SCORE_MAX)
    first = np.searchsorted(k, np.arange(channels + 1))
    numbers = [a + _strongest(value[a:b]) for a, b in itertools.pairwise(first)]
    _bound_pairs(numbers, value)
    kept = np.concatenate(numbers)
    k, value = k[kept], value[kept]
    x, y = refine(heat, k, i[kept], j[kept], unit)
    return [Peaks(x[k == c], y[k == c], value[k == c]) for c in range(channels)]


def pixels(cells: Integers, stride: int) -> Integers:
    """``pixels()`` of the C code: Q10 cells to Q4 pixels."""
    return np.asarray(((cells * stride * 16 + CELL // 2) >> 10) + (stride - 1) * 8)
