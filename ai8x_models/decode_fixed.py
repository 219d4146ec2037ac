"""Integer decoder: the Python twin of ``firmware_templates/decoder/pose_decoder.c``, bit for bit.

The algorithm is that of :mod:`ai8x_models.decode`; the arithmetic is the C decoder's.  Positions
are Q10 cells, field components Q13, unit vectors Q14, scores and affinities Q15 (Qn: an integer in
steps of ``2**-n``).  Maps are read as the integers the chip holds, with 1.0 being ``2**unit``.
Right shifts round down.  Nothing here exceeds 64 bits, and no intermediate of the C code 32.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_models.codec import STRIDE
from ai8x_models.decode import Person
from ai8x_models.decoder_tables import INVERSE_ROOT_TABLE, SAMPLE_Q15
from ai8x_models.faint_fixed import add_faint_points
from ai8x_models.peaks_fixed import (
    CELL,
    Integers,
    Peaks,
    find_peaks,
    log2_q20,
    pixels,
    rescale,
)
from ai8x_models.skeleton import (
    GROUP_ORDER,
    LIMBS,
    LOOP_LIMBS,
    NUM_HEATMAPS,
    NUM_KEYPOINTS,
    NUM_PAFS,
)
from ai8x_models.thresholds import (
    DEFAULTS,
    SAMPLES,
    SCORE_PRIOR,
    SIZE_SHIFT,
    DecodeSettings,
    fixed,
)

MAX_SIDE = 32
MAX_LOOKS = 10000
"""Samples of all pairs together, after which no further pair is looked at."""
MAX_PEOPLE = 8
MAX_UNIT = 24
MAX_STRIDE = 64
_ALONG = np.array(SAMPLE_Q15, np.int64)
_INVERSE_ROOT = np.array(INVERSE_ROOT_TABLE, np.int64)


@dataclass(frozen=True)
class FixedSettings:
    """``pose_settings_t`` of the C decoder: see there for meanings.

    Attributes:
        peak: Q16.
        faint: Q16.
        affinity: Q27.
        min_score: Q15.
        agreeing: samples of 10 that must agree.
        min_keypoints: people with fewer are dropped.
        max_people: at most so many are returned.
        stride: pixels per cell.

    Raises:
        ValueError: a value outside the range the C decoder accepts.
    """

    peak: int
    faint: int
    affinity: int
    min_score: int
    agreeing: int
    min_keypoints: int
    max_people: int
    stride: int = STRIDE

    def __post_init__(self) -> None:
        ranges = {
            "peak": (0, 2**18 - 1),
            "faint": (0, 2**18 - 1),
            "affinity": (0, 2**30 - 1),
            "min_score": (0, 2**20 - 1),
            "agreeing": (1, SAMPLES),
            "min_keypoints": (1, NUM_KEYPOINTS),
            "max_people": (1, MAX_PEOPLE),
            "stride": (1, MAX_STRIDE),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} {getattr(self, name)} is not {low} to {high}")

    @classmethod
    def of(cls, settings: DecodeSettings = DEFAULTS, stride: int = STRIDE) -> FixedSettings:
        """The floating-point decoder's settings in integers."""
        return cls(**fixed(settings), stride=stride)


@dataclass(frozen=True, eq=False)
class FixedPerson:
    """``pose_person_t`` of the C decoder.

    Attributes:
        points: int64 [18, 3]: x and y in Q4 pixels and the value in Q15; value 0 is a missing
            point (then x = y = 0).
        score: Q14, see :func:`ai8x_models.thresholds.person_score`.
    """

    points: Integers
    score: int

    def to_person(self) -> Person:
        """The same in floating point, pixels and units."""
        scale = np.array([2.0**-4, 2.0**-4, 2.0**-15])
        return Person((self.points * scale).astype(np.float32), self.score / 2**14)


@dataclass(eq=False)
class _Group:
    """A person being put together: peak number by keypoint, and the sum of affinities, Q15."""

    peaks: dict[int, int] = field(default_factory=dict)
    affinity: int = 0


def _sample(fields: Integers, channel: Integers, x: Integers, y: Integers) -> Integers:
    """``sample()`` of the C code: Q13 channels of fields [c, h, w] at positions, one shape all."""
    height, width = fields.shape[1:]
    j, i = np.minimum(x >> 10, width - 2), np.minimum(y >> 10, height - 2)
    right, down = x - j * CELL, y - i * CELL
    both = (right * down + 32) >> 6
    flat = fields.reshape(-1)
    at = (channel * height + i) * width + j
    total = flat[at] * (16 * (CELL - right - down) + both)
    total += flat[at + 1] * (16 * right - both)
    total += flat[at + width] * (16 * down - both)
    total += flat[at + width + 1] * both
    return np.asarray(total >> 14)


def inverse_root(values: npt.ArrayLike) -> Integers:
    """``inverse_root()`` of the C code: 2**30 / sqrt(value) for 2**28 .. 2**31 - 1."""
    array = np.asarray(values, np.int64)
    guess = _INVERSE_ROOT[(array >> 23) - 32]
    square = (array * (guess * guess)) >> 32  # about 2**60 before the shift
    return np.asarray(((guess << 3) * ((3 << 28) - square)) >> 32)


def _direction(dx: Integers, dy: Integers) -> tuple[Integers, Integers]:
    """``direction()`` of the C code: unit vectors, Q14; (0, 0) is given any answer."""
    largest = np.maximum(np.abs(dx) | np.abs(dy), 1)
    factor = np.int64(1) << (15 - np.frexp(largest.astype(np.float64))[1].astype(np.int64))
    dx, dy = dx * factor, dy * factor
    inverse = inverse_root(np.maximum(dx * dx + dy * dy, 1 << 28))
    return (dx * inverse + (1 << 15)) >> 16, (dy * inverse + (1 << 15)) >> 16


Pairs = list[list[tuple[int, int, int]]]


def _looks(agrees: npt.NDArray[np.bool_], agreeing: int) -> Integers:
    """Samples that are looked at, of each pair: until too many disagree; of bool [n, SAMPLES]."""
    too_many = np.cumsum(~agrees, axis=-1) > SAMPLES - agreeing
    return np.where(too_many.any(axis=-1), too_many.argmax(axis=-1) + 1, SAMPLES)


def _in_time(limb: Integers, looks: Integers) -> npt.NDArray[np.bool_]:
    """Whether a pair comes before the samples are used up, limbs in the order of grouping."""
    order = np.argsort(np.argsort(GROUP_ORDER)[limb], kind="stable")
    before = np.empty_like(looks)
    before[order] = np.cumsum(looks[order]) - looks[order]
    return np.asarray(before < MAX_LOOKS)


def _candidates(peaks: list[Peaks], fields: Integers, settings: FixedSettings) -> Pairs:
    """(affinity Q15, start peak, end peak) of the pairs that each limb may join, the best first.

    All pairs of all limbs are looked at together: numpy's time goes by calls, not by pairs.
    """
    counts = np.array([len(found.x) for found in peaks])
    ends = np.array(LIMBS)
    pairs = counts[ends[:, 0]] * counts[ends[:, 1]]
    limb = np.repeat(np.arange(len(LIMBS)), pairs)
    within = np.arange(len(limb)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    a, b = np.divmod(within, np.maximum(counts[ends[limb, 1]], 1))
    first = np.cumsum(counts) - counts
    x, y = (np.concatenate([getattr(found, axis) for found in peaks]) for axis in "xy")
    start, end = first[ends[limb, 0]] + a, first[ends[limb, 1]] + b
    dx, dy = x[end] - x[start], y[end] - y[start]
    unit_x, unit_y = _direction(dx, dy)
    along_x = x[start, None] + ((dx[:, None] * _ALONG + (1 << 14)) >> 15)
    along_y = y[start, None] + ((dy[:, None] * _ALONG + (1 << 14)) >> 15)
    field_x = _sample(fields, 2 * limb[:, None], along_x, along_y)
    field_y = _sample(fields, 2 * limb[:, None] + 1, along_x, along_y)
    value = field_x * unit_x[:, None] + field_y * unit_y[:, None]
    agrees = value > settings.affinity
    agreed = agrees.sum(axis=-1)
    apart = (dx != 0) | (dy != 0)
    in_time = _in_time(limb, np.where(apart, _looks(agrees, settings.agreeing), 0))
    accepted = (agreed >= settings.agreeing) & apart & in_time
    mean = ((value >> 12) * agrees).sum(axis=-1) // np.maximum(agreed, 1)
    found: Pairs = [[] for _ in LIMBS]
    chosen = np.stack((limb, mean, a, b), axis=1)[accepted]
    for number, *pair in chosen[np.lexsort((chosen[:, 3], chosen[:, 2], -chosen[:, 1]))].tolist():
        found[number].append((pair[0], pair[1], pair[2]))
    return found


def _join(groups: list[_Group], limb: int, pair: tuple[int, int, int]) -> None:
    """``join()`` of the C code: add one connection to the people found so far."""
    affinity, a, b = pair
    start, end = LIMBS[limb]
    first = next((g for g in groups if g.peaks.get(start) == a), None)
    second = next((g for g in groups if g.peaks.get(end) == b), None)
    if limb in LOOP_LIMBS and (first is None or second is not None):
        return
    if first is None and second is None:
        first = _Group()
        groups.append(first)
    if first is not None and second is not None and first is not second:
        if first.peaks.keys() & second.peaks.keys():
            return
        first.peaks |= second.peaks
        first.affinity += second.affinity
        groups.remove(second)
    group = first or second
    assert group is not None
    if group.peaks.get(start, a) != a or group.peaks.get(end, b) != b:
        return
    group.peaks[start], group.peaks[end] = a, b
    group.affinity += affinity


def _connect(groups: list[_Group], limb: int, pairs: list[tuple[int, int, int]]) -> None:
    """Join the candidates of one limb, the best first, each peak at most once."""
    used_start: set[int] = set()
    used_end: set[int] = set()
    for pair in pairs:
        if pair[1] not in used_start and pair[2] not in used_end:
            used_start.add(pair[1])
            used_end.add(pair[2])
            _join(groups, limb, pair)


def _score(group: _Group, peaks: list[Peaks], cells: int) -> int:
    """``score_of()`` of the C code for somebody with points enough: Q15."""
    x = [int(peaks[keypoint].x[index]) for keypoint, index in group.peaks.items()]
    y = [int(peaks[keypoint].y[index]) for keypoint, index in group.peaks.items()]
    side = max(max(x) - min(x), max(y) - min(y), CELL)
    of_side, of_cells = log2_q20([side, cells * CELL]).tolist()
    mean = group.affinity // (len(group.peaks) + SCORE_PRIOR)
    return max(mean + ((of_side - of_cells) >> SIZE_SHIFT), 0)


def _person(group: _Group, peaks: list[Peaks], score: int, stride: int) -> FixedPerson:
    """``report()`` of the C code."""
    points = np.zeros((NUM_KEYPOINTS, 3), np.int64)
    for keypoint, index in group.peaks.items():
        found = peaks[keypoint]
        points[keypoint, 0] = pixels(found.x[index], stride)
        points[keypoint, 1] = pixels(found.y[index], stride)
        points[keypoint, 2] = min(int(found.value[index]), 0xFFFF)
    return FixedPerson(points, min(score // 2, 0xFFFF))


def _checked(maps: npt.NDArray[Any], channels: int, unit: int, name: str) -> Integers:
    """``maps`` as int64, or a ValueError naming what is wrong with them."""
    array = np.asarray(maps)
    if array.ndim != 3 or array.shape[0] != channels or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} are {array.dtype} of shape {array.shape}; integers [{channels}, h, w] expected"
        )
    if not 2 <= min(array.shape[1:]) <= max(array.shape[1:]) <= MAX_SIDE:
        raise ValueError(f"{name} are {array.shape[1:]} cells; 2 to {MAX_SIDE} a side are possible")
    if not 0 <= unit <= MAX_UNIT:
        raise ValueError(f"unit {unit} of the {name} is not 0 to {MAX_UNIT}")
    return array.astype(np.int64)


def decode_fixed(
    heatmaps: npt.NDArray[Any],
    pafs: npt.NDArray[Any],
    heat_unit: int,
    paf_unit: int,
    settings: FixedSettings | None = None,
) -> list[FixedPerson]:
    """People in a picture, the best first, exactly as ``pose_decode()`` finds them.

    Args:
        heatmaps: integers [19, h, w] within 32 bits; the background is not looked at.
        pafs: integers [38, h, w].
        heat_unit: the heatmaps' 1.0 is 2**heat_unit.
        paf_unit: the same for the part affinities.
        settings: default: those of the floating-point decoder.

    Raises:
        ValueError: shapes or units the C decoder does not accept.
    """
    settings = settings or FixedSettings.of()
    heat = _checked(heatmaps, NUM_HEATMAPS, heat_unit, "heatmaps")
    fields = _checked(pafs, NUM_PAFS, paf_unit, "part affinities")
    if heat.shape[1:] != fields.shape[1:]:
        raise ValueError(f"heatmaps {heat.shape} and part affinities {fields.shape} differ in size")
    fields = rescale(fields, paf_unit, 13, -(2**15), 2**15 - 1)
    peaks = find_peaks(heat[:NUM_KEYPOINTS], heat_unit, settings.peak)
    groups: list[_Group] = []
    candidates = _candidates(peaks, fields, settings)
    for limb in GROUP_ORDER:
        _connect(groups, limb, candidates[limb])
    found = []
    for group in groups:
        score = _score(group, peaks, max(heat.shape[1:]))
        if len(group.peaks) >= settings.min_keypoints and score >= settings.min_score:
            found.append((score, group))
    best = sorted(found, key=lambda item: -item[0])[: settings.max_people]
    people = [_person(group, peaks, score, settings.stride) for score, group in best]
    if settings.faint >= settings.peak:
        return people
    faint = settings.faint << heat_unit >> 16
    add_faint_points([p.points for p in people], heat, heat_unit, faint, settings.stride)
    return people
