"""The firmware's lifting arithmetic: C against its Python twin, the twin against floating point."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_models.skeleton import KEYPOINTS
from distill.tasks.lift.fixed import millimetres, view_bytes
from distill.tasks.lift.keypoints import normalise_known
from distill.tasks.lift.skeleton import from_18
from distill.tasks.lift.student import to_bytes
from tests.helpers import host_c

FOLDERS = (host_c.TEMPLATES / "lifting", host_c.TEMPLATES / "decoder")
HIPS = [KEYPOINTS.index("r_hip"), KEYPOINTS.index("l_hip")]


def run(request: bytes, *arguments: str) -> bytes:
    if not host_c.compilers():
        pytest.skip("no C compiler for this machine")
    sources = (FOLDERS[0] / "lift_points.c", host_c.NATIVE / "lift_main.c")
    return host_c.run(host_c.build("lift", sources, FOLDERS), request, arguments)


def random_points(count: int, low: int, high: int, missing: float, seed: int) -> np.ndarray:
    """int64 [count, 18, 3] as the decoder gives them."""
    random = np.random.default_rng(seed)
    points = random.integers(low, high, (count, 18, 3))
    points[..., 2] = random.integers(1, 65536, (count, 18))
    points[random.random((count, 18)) < missing] = 0
    return points


def check(points: np.ndarray) -> int:
    """C and twin agree on all people; returns how many had a pelvis."""
    packed = points.astype("<i4").astype("<i2").tobytes()
    given = np.frombuffer(run(packed), np.uint8).reshape(len(points), 35)
    total = 0
    for person, answer in zip(points, given, strict=True):
        expected = view_bytes(person)
        assert bool(answer[0]) == (expected is not None)
        if expected is not None:
            np.testing.assert_array_equal(answer[1:33].view(np.int8), expected[0])
            assert int.from_bytes(answer[33:].tobytes(), "little") == expected[1]
            total += 1
    return total


@pytest.mark.parametrize(("low", "high"), [(0, 2048), (0, 40), (0, 3), (-(2**15), 2**15)])
def test_random_points(low: int, high: int) -> None:
    assert check(random_points(1000, low, high, 0.2, high)) > 500


def test_extremes() -> None:
    corner = random_points(64, 0, 2, 0.0, 1)
    corner[..., :2] = corner[..., :2] * (2**16 - 1) - 2**15
    hips = np.zeros((1, 18, 3), np.int64)
    hips[0, HIPS] = (100, 100, 1)
    assert check(np.concatenate([corner, hips, 0 * hips])) == 65
    alone = view_bytes(hips[0])
    assert alone is not None
    assert not alone[0].any()
    assert alone[1] == 0b1001  # the hips themselves


def test_twin_is_the_floating_point_path_but_for_float32() -> None:
    points = random_points(1500, 0, 2048, 0.15, 5)
    exact = different = 0
    for person in points:
        got = view_bytes(person)
        joints = from_18(person * (1 / 16, 1 / 16, 1))
        assert (got is None) == (joints[0, 2] == 0)
        if got is None:
            continue
        expected = to_bytes(normalise_known(joints)).astype(int)
        exact += expected.size
        different += int((got[0] != expected).sum())
        assert abs(got[0] - expected).max() <= 1
        assert got[1] == sum(1 << j for j in range(16) if joints[j + 1, 2] > 0)
    assert exact > 30_000
    assert different < exact / 5_000


def test_millimetres() -> None:
    random = np.random.default_rng(0)
    answers = np.concatenate([random.integers(-(2**31), 2**31, 2000), np.arange(-3000, 3000),
                              [-(2**31), 2**31 - 1]])  # fmt: skip
    for unit in (0, 5, 12, 20):
        small = answers >> (20 - unit)
        for values in (answers, small):
            given = np.frombuffer(run(values.astype("<i4").tobytes(), str(unit)), "<i2")
            np.testing.assert_array_equal(given, millimetres(values, unit))
    assert millimetres([4096, -4096, 2], 12).tolist() == [1000, -1000, 0]


def test_other_shapes_and_kinds_are_refused() -> None:
    for wrong in (np.zeros((17, 3), int), np.zeros((18, 3))):
        with pytest.raises(ValueError, match=r"integers \[18, 3\] are expected"):
            view_bytes(wrong)
