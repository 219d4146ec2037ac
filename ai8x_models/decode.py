"""Reference decoder: heatmaps and part-affinity fields -> people, in floating point.

Bottom-up grouping as in OpenPose (Cao et al., "Realtime Multi-Person 2D Pose Estimation using
Part Affinity Fields", 2017): peaks of every keypoint channel, refined to a fraction of a cell;
every pair of peaks that a limb could join, scored along the line between them; the best pairs,
each peak used once per limb, joined into people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai8x_models.codec import STRIDE, Floats, cell_centre
from ai8x_models.faint import add_faint_points
from ai8x_models.skeleton import (
    BACKGROUND,
    GROUP_ORDER,
    LIMBS,
    LOOP_LIMBS,
    NUM_HEATMAPS,
    NUM_KEYPOINTS,
    NUM_PAFS,
)
from ai8x_models.thresholds import DEFAULTS, SAMPLES, DecodeSettings, person_score


@dataclass(frozen=True, eq=False)
class Person:
    """One decoded person.

    Attributes:
        keypoints: float32 [18, 3], (x, y, peak value) in input pixels; a missing point is 0, 0, 0.
        score: how sure the person is, 0 to about 1: :func:`~ai8x_models.thresholds.person_score`.
    """

    keypoints: Floats
    score: float


@dataclass(frozen=True)
class _Peaks:
    """Peaks of one channel: positions in cells, float32 [n, 2] as (x, y), and values [n]."""

    cells: Floats
    values: Floats


def _check(maps: npt.ArrayLike, channels: int, name: str) -> Floats:
    """``maps`` as float32, or a ValueError when it is not [channels, h, w]."""
    array = np.asarray(maps, dtype=np.float32)
    if array.ndim != 3 or array.shape[0] != channels:
        raise ValueError(f"{name} have shape {array.shape}, but [{channels}, h, w] is expected")
    return array


def _vertex(before: Floats, centre: Floats, after: Floats) -> Floats:
    """Offset of the maximum of the parabola through three values one cell apart, within +-0.5.

    The logarithm of a Gaussian is a parabola, so for ideal maps the answer is exact.
    """
    floor = np.float32(1e-3)
    left, mid, right = (np.log(np.maximum(v, floor)) for v in (before, centre, after))
    curvature = left - 2 * mid + right
    flat = curvature > -1e-6
    offset = (left - right) / (2 * np.where(flat, -1, curvature))
    return np.asarray(np.where(flat, 0, np.clip(offset, -0.5, 0.5)), dtype=np.float32)


def refine(heatmap: Floats, rows: npt.ArrayLike, columns: npt.ArrayLike) -> Floats:
    """Sub-cell positions, float32 [n, 2] as (x, y) in cells, of the peaks at (rows, columns).

    At the edge of the map the value outside is not known; there the cell's centre is kept.
    """
    i, j = np.asarray(rows, dtype=int), np.asarray(columns, dtype=int)
    height, width = heatmap.shape
    inner_x, inner_y = (j > 0) & (j < width - 1), (i > 0) & (i < height - 1)
    mid = heatmap[i, j]
    left, right = heatmap[i, np.maximum(j - 1, 0)], heatmap[i, np.minimum(j + 1, width - 1)]
    above, below = heatmap[np.maximum(i - 1, 0), j], heatmap[np.minimum(i + 1, height - 1), j]
    x = j + np.where(inner_x, _vertex(left, mid, right), 0)
    y = i + np.where(inner_y, _vertex(above, mid, below), 0)
    return np.stack([x, y], axis=-1).astype(np.float32)


def decode_single(heatmaps: npt.ArrayLike, stride: int = STRIDE) -> Floats:
    """One person, each channel's largest value: float32 [18, 3] of (x, y, value) in input pixels.

    ``heatmaps``: [19, h, w] (the background is not looked at).  For crops known to show exactly
    one person; nothing is thresholded, a caller may do so on the third column.
    """
    maps = _check(heatmaps, NUM_HEATMAPS, "heatmaps")
    out = np.zeros((NUM_KEYPOINTS, 3), dtype=np.float32)
    for channel in range(NUM_KEYPOINTS):
        row, column = np.unravel_index(int(maps[channel].argmax()), maps[channel].shape)
        cells = refine(maps[channel], [row], [column])[0]
        out[channel, :2] = cell_centre(cells, stride)
        out[channel, 2] = maps[channel, row, column]
    return out


def find_peaks(heatmap: Floats, threshold: float) -> _Peaks:
    """Local maxima of one channel over their eight neighbours.

    Of several equal neighbouring cells, the first in reading order is the peak.
    """
    padded = np.pad(heatmap, 1, constant_values=-np.inf)
    height, width = heatmap.shape
    is_peak = heatmap > threshold
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            other = padded[1 + di : 1 + di + height, 1 + dj : 1 + dj + width]
            if (di, dj) < (0, 0):
                is_peak &= heatmap > other
            elif (di, dj) > (0, 0):
                is_peak &= heatmap >= other
    rows, columns = np.nonzero(is_peak)
    return _Peaks(refine(heatmap, rows, columns), heatmap[rows, columns])


def _sample(field: Floats, x: Floats, y: Floats) -> Floats:
    """Bilinear look-up of field [2, h, w] at positions in cells; edges are continued outwards."""
    height, width = field.shape[1:]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    j, i = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    fx, fy = x - j, y - i
    top = field[:, i, j] * (1 - fx) + field[:, i, j + 1] * fx
    bottom = field[:, i + 1, j] * (1 - fx) + field[:, i + 1, j + 1] * fx
    return np.asarray(top * (1 - fy) + bottom * fy, dtype=np.float32)


def _candidates(
    start: _Peaks, end: _Peaks, field: Floats, settings: DecodeSettings
) -> list[tuple[float, int, int]]:
    """(affinity, start peak, end peak) of the pairs a limb may join, the best first."""
    if not len(start.values) or not len(end.values):
        return []
    origin = start.cells[:, None, :]
    step = end.cells[None, :, :] - origin
    length = np.hypot(step[..., 0], step[..., 1])
    unit = step / np.maximum(length, 1e-6)[..., None]
    along = np.linspace(0, 1, SAMPLES, dtype=np.float32)
    points = origin[:, :, None, :] + step[:, :, None, :] * along[:, None]
    field_x, field_y = _sample(field, points[..., 0], points[..., 1])
    affinity = field_x * unit[..., None, 0] + field_y * unit[..., None, 1]
    agrees = affinity > settings.affinity
    accepted = (agrees.mean(axis=-1) >= settings.agreement) & (length > 1e-6)
    score = (affinity * agrees).sum(axis=-1) / np.maximum(agrees.sum(axis=-1), 1)
    pairs = [(float(score[a, b]), int(a), int(b)) for a, b in np.argwhere(accepted)]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))


def _connect(
    start: _Peaks, end: _Peaks, field: Floats, settings: DecodeSettings
) -> list[tuple[float, int, int]]:
    """The candidates that remain when each peak is used at most once, the best first."""
    used_start: set[int] = set()
    used_end: set[int] = set()
    chosen = []
    for pair in _candidates(start, end, field, settings):
        _, a, b = pair
        if a not in used_start and b not in used_end:
            used_start.add(a)
            used_end.add(b)
            chosen.append(pair)
    return chosen


class _Group:
    """A person being put together: peak index per keypoint and the affinities of its limbs."""

    def __init__(self) -> None:
        self.peaks: dict[int, int] = {}
        self.affinity = 0.0


def _join(groups: list[_Group], limb: int, pair: tuple[float, int, int]) -> None:
    """Add one connection to the people found so far."""
    affinity, a, b = pair
    start, end = LIMBS[limb]
    first = next((g for g in groups if g.peaks.get(start) == a), None)
    second = next((g for g in groups if g.peaks.get(end) == b), None)
    if limb in LOOP_LIMBS and (first is None or second is not None):
        return  # closes a loop, or would start a person from a shoulder and an ear
    if first is None and second is None:
        first = _Group()
        groups.append(first)
    if first is not None and second is not None and first is not second:
        if first.peaks.keys() & second.peaks.keys():
            return
        first.peaks.update(second.peaks)
        first.affinity += second.affinity
        groups.remove(second)
    group = first or second
    assert group is not None
    if group.peaks.get(start, a) != a or group.peaks.get(end, b) != b:
        return  # the person already has another peak there
    group.peaks[start], group.peaks[end] = a, b
    group.affinity += affinity


def decode(
    heatmaps: npt.ArrayLike,
    pafs: npt.ArrayLike,
    stride: int = STRIDE,
    settings: DecodeSettings = DEFAULTS,
) -> list[Person]:
    """People in a picture, the best first, at most ``settings.max_people``.

    ``heatmaps``: [19, h, w], ``pafs``: [38, h, w], values about 0..1 and -1..1 (integer maps are
    to be scaled first).  Coordinates of the result are input pixels.
    """
    people = decode_all(heatmaps, pafs, stride, settings)[: settings.max_people]
    if settings.faint >= settings.peak:
        return people
    return _completed(people, np.asarray(heatmaps, np.float32), stride, settings.faint)


def _completed(people: list[Person], heat: Floats, stride: int, least: float) -> list[Person]:
    """People with their faint points."""
    maxima = [find_peaks(heat[channel], least) for channel in range(BACKGROUND)]
    peaks = [
        np.concatenate([cell_centre(p.cells, stride), p.values[:, None]], axis=1) for p in maxima
    ]
    points = [p.keypoints.copy() for p in people]
    add_faint_points(points, peaks)
    return [Person(k, p.score) for k, p in zip(points, people, strict=True)]


def decode_all(
    heatmaps: npt.ArrayLike,
    pafs: npt.ArrayLike,
    stride: int = STRIDE,
    settings: DecodeSettings = DEFAULTS,
) -> list[Person]:
    """As :func:`decode`, however many people there are, without their faint points."""
    heat = _check(heatmaps, NUM_HEATMAPS, "heatmaps")
    fields = _check(pafs, NUM_PAFS, "part affinities")
    if heat.shape[1:] != fields.shape[1:] or min(heat.shape[1:]) < 2:
        raise ValueError(
            f"heatmaps are {heat.shape[1:]} and part affinities {fields.shape[1:]} cells; "
            "both must be the same and at least 2 x 2"
        )
    peaks = [find_peaks(heat[channel], settings.peak) for channel in range(BACKGROUND)]
    groups: list[_Group] = []
    for limb in GROUP_ORDER:
        start, end = LIMBS[limb]
        field = fields[2 * limb : 2 * limb + 2]
        for pair in _connect(peaks[start], peaks[end], field, settings):
            _join(groups, limb, pair)
    people = [_person(group, peaks, stride, max(heat.shape[1:])) for group in groups]
    kept = [
        p
        for p in people
        if (p.keypoints[:, 2] > 0).sum() >= settings.min_keypoints and p.score >= settings.min_score
    ]
    return sorted(kept, key=lambda p: -p.score)


def _person(group: _Group, peaks: list[_Peaks], stride: int, side: int) -> Person:
    """Turn peak indices into coordinates and a score; ``side``: the maps' longer one, cells."""
    points = np.zeros((NUM_KEYPOINTS, 3), dtype=np.float32)
    cells = np.array([peaks[keypoint].cells[index] for keypoint, index in group.peaks.items()])
    for keypoint, index in group.peaks.items():
        points[keypoint, :2] = cell_centre(peaks[keypoint].cells[index], stride)
        points[keypoint, 2] = peaks[keypoint].values[index]
    share = max(float(np.ptp(cells, axis=0).max()), 1.0) / side
    return Person(points, person_score(group.affinity, len(group.peaks), share))
