"""Map sets for the C pose decoder: how they are made, laid out in memory and sent to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ai8x_models.codec import encode
from ai8x_models.decode_fixed import FixedPerson, FixedSettings, decode_fixed
from ai8x_models.thresholds import DecodeSettings
from tests.helpers import host_c

DECODER = host_c.TEMPLATES / "decoder"
PERSON = np.dtype([("points", "<i2", (18, 3)), ("score", "<u2"), ("count", "<u2")])
RESULT = np.dtype([("status", "<u4"), ("count", "<u4"), ("people", PERSON, 8)])

# A standing figure, 18 points, in a box of 1 x 1.
STANDING = np.array(
    "0.50 0.10 0.50 0.22 0.36 0.24 0.28 0.40 0.24 0.54 0.64 0.24 0.72 0.40 0.76 0.54 0.42 0.55 "
    "0.40 0.76 0.39 0.96 0.58 0.55 0.60 0.76 0.61 0.96 0.45 0.06 0.55 0.06 0.38 0.08 "
    "0.62 0.08".split(),
    dtype=float,
).reshape(18, 2)


@dataclass(frozen=True, eq=False)
class Case:
    """One pair of maps: integers [19, h, w] and [38, h, w], what 1.0 is, how they are stored."""

    heat: np.ndarray
    pafs: np.ndarray
    wide: bool
    heat_unit: int
    paf_unit: int
    settings: FixedSettings
    layout: str = "chw"

    def expected(self) -> list[FixedPerson]:
        """What the Python twin finds."""
        return decode_fixed(self.heat, self.pafs, self.heat_unit, self.paf_unit, self.settings)


def crowd(rng: np.random.Generator, people: int, size: int = 128) -> np.ndarray:
    """Keypoints [people, 18, 3] of figures anywhere in the picture, limbs moved, some missing."""
    points = np.zeros((people, 18, 3), np.float32)
    for person in points:
        height = rng.uniform(0.35, 0.95) * size
        corner = rng.uniform(-0.1, 0.9, 2) * size - (0, height / 4)
        moved = STANDING + rng.normal(0, 0.06, STANDING.shape)
        person[:, :2] = moved * (height * rng.uniform(0.4, 0.8), height) + corner
        inside = (person[:, :2] > -4).all(axis=1) & (person[:, :2] < size + 3).all(axis=1)
        person[:, 2] = inside & (rng.random(18) < 0.95)
        person[~inside] = 0
    return points


def quantised(maps: np.ndarray, unit: int, wide: bool) -> np.ndarray:
    """Real maps as the chip's integers."""
    limits = (-(2**31), 2**31 - 1) if wide else (-128, 127)
    return np.clip(np.floor(maps.astype(np.float64) * 2.0**unit + 0.5), *limits).astype(np.int32)


def _people_maps(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps of random people with noise."""
    heat, pafs = encode(crowd(rng, int(rng.integers(0, 7)), size), size=size)
    noise = float(rng.choice([0, 0.01, 0.05, 0.15]))
    gain = rng.uniform(0.5, 1.2)
    return heat * gain + rng.normal(0, noise, heat.shape), pafs * gain + rng.normal(
        0, noise, pafs.shape
    )


def _noise_maps(rng: np.random.Generator, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps without sense: many peaks, ties, plateaus, fields that connect everything."""
    heat = rng.normal(0, rng.choice([0.1, 1, 10]), (19, rows, columns))
    pafs = rng.normal(rng.uniform(-0.5, 0.5), rng.choice([0.1, 1, 10]), (38, rows, columns))
    kind = rng.integers(4)
    if kind == 0:
        heat = heat.round(1)
    elif kind == 1:
        heat[rng.random(heat.shape) < 0.8] = 0
        pafs = np.broadcast_to(rng.normal(0, 1, (38, 1, 1)), pafs.shape)
    elif kind == 2:
        heat = np.broadcast_to(heat[:, :1, :1], heat.shape)
    return heat, pafs


def _random_settings(rng: np.random.Generator) -> FixedSettings:
    if rng.random() < 0.5:
        return FixedSettings.of()
    return FixedSettings(
        peak=int(rng.choice([0, 100, 20000, 70000, 2**18 - 1])),
        faint=int(rng.choice([0, 100, 6554, 2**18 - 1])),
        affinity=int(rng.choice([0, 2**20, 2**27, 2**30 - 1])),
        min_score=int(rng.choice([0, 3000, 40000, 2**20 - 1])),
        agreeing=int(rng.integers(1, 11)),
        min_keypoints=int(rng.integers(1, 19)),
        max_people=int(rng.integers(1, 9)),
        stride=int(rng.choice([1, 4, 8, 64])),
    )


def random_case(seed: int) -> Case:
    """A map set of any kind; the same seed gives the same one."""
    rng = np.random.default_rng((78, seed))
    wide = bool(rng.random() < 0.6)
    layout = str(rng.choice(["chw", "chip", "spread"]))
    if rng.random() < 0.5:
        units = (14, 14) if wide else (7, 7)
        if rng.random() < 0.3:
            units = tuple(rng.integers(8, 25, 2) if wide else rng.integers(5, 8, 2))
        heat, pafs = _people_maps(rng, 8 * int(rng.choice([16, 16, 16, 8, 32])))
        heat[rng.random(19) < 0.2] *= 0.25
        settings = FixedSettings.of(DecodeSettings(peak=float(rng.choice([0.15, 0.3]))))
    else:
        units = tuple(rng.integers(0, 25, 2))
        heat, pafs = _noise_maps(rng, *rng.integers(2, 33, 2))
        settings = _random_settings(rng)
    heat_unit, paf_unit = (int(unit) for unit in units)
    case = Case(
        quantised(heat, heat_unit, wide),
        quantised(pafs, paf_unit, wide),
        wide,
        heat_unit,
        paf_unit,
        settings,
        layout,
    )
    if rng.random() < 0.05:  # every bit pattern is legal
        low, high = (-(2**31), 2**31) if wide else (-128, 128)
        heat = rng.integers(low, high, case.heat.shape).astype(np.int32)
        pafs = rng.integers(low, high, case.pafs.shape).astype(np.int32)
        case = replace(case, heat=heat, pafs=pafs)
    return case


def _store(maps: np.ndarray, wide: bool, layout: str) -> tuple[list[int], int, int, bytes]:
    """Channel offsets, row stride, column stride and memory of one set of maps.

    ``chw``: one array.  ``chip``: four channels to a word (narrow) or a word per channel and
    pixel (wide), channels in separate blocks, in falling order.  ``spread``: with gaps.
    """
    channels, rows, columns = maps.shape
    size = 4 if wide else 1
    column_stride, gap, lanes = size, 0, 1
    if layout == "chip" and not wide:
        column_stride, lanes = 4, 4
    elif layout == "spread":
        column_stride, gap = 3 * size, 8
    row_stride = column_stride * columns + gap
    block = row_stride * rows
    groups = (channels + lanes - 1) // lanes
    offsets = []
    for c in range(channels):
        group = groups - 1 - c // lanes if layout == "chip" else c // lanes
        offsets.append(group * block + c % lanes)
    end = max(offsets) + (rows - 1) * row_stride + (columns - 1) * column_stride + size
    memory = np.full(end, 0x5A, np.uint8)
    raw = maps.astype("<i4" if wide else "i1")[..., None].view(np.uint8)
    for c in range(channels):
        places = (
            offsets[c]
            + np.arange(rows)[:, None, None] * row_stride
            + np.arange(columns)[None, :, None] * column_stride
            + np.arange(size)
        )
        memory[places] = raw[c]
    return offsets, row_stride, column_stride, memory.tobytes()


def request(case: Case) -> bytes:
    """The case in the form tests/native/decoder_main.c reads."""
    s = case.settings
    words = [*case.heat.shape[1:], s.peak, s.faint, s.affinity, s.min_score, s.agreeing]
    words += [s.min_keypoints, s.max_people, s.stride]
    parts = [np.array(words, "<u4").tobytes()]
    for maps, unit in ((case.heat, case.heat_unit), (case.pafs, case.paf_unit)):
        offsets, row_stride, column_stride, memory = _store(maps, case.wide, case.layout)
        head = [int(case.wide), unit, row_stride, column_stride, len(offsets), len(memory)]
        parts += [np.array([*head, *offsets], "<u4").tobytes(), memory]
    return b"".join(parts)


def run_decoder(requests: Sequence[bytes]) -> np.ndarray:
    """Answers of the C decoder, compiled for this machine: RESULT [n]."""
    sources = (DECODER / "pose_decoder.c", host_c.NATIVE / "decoder_main.c")
    program = host_c.build("decoder", sources, (DECODER,))
    answer = np.frombuffer(host_c.run(program, b"".join(requests)), RESULT)
    assert len(answer) == len(requests)
    return answer


def check(cases: Sequence[Case]) -> int:
    """Compare C and Python on every case, bit by bit; returns the number of people found."""
    total = 0
    for case, got in zip(cases, run_decoder([request(case) for case in cases]), strict=True):
        want = case.expected()
        assert got["status"] == 0
        assert got["count"] == len(want)
        total += len(want)
        for person, mirror in zip(got["people"], want, strict=False):
            points = person["points"].astype(np.int64)
            points[:, 2] &= 0xFFFF
            assert np.array_equal(points, mirror.points)
            assert person["score"] == mirror.score
            assert person["count"] == np.count_nonzero(mirror.points[:, 2])
    return total
