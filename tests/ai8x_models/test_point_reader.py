"""Points of one person out of maps: in numbers worked by hand, in C and Python bit for bit."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from ai8x_models import point_maps
from ai8x_models.point_maps import PointMaps
from ai8x_models.point_reader import as_bytes, as_person, read_points, real
from common.errors import UserError
from tests.helpers import host_c

DECODER = host_c.TEMPLATES / "decoder"
LIMBS = tuple(range(1, 14))


def in_c(maps: np.ndarray, settings: PointMaps, stride: int) -> np.ndarray:
    """What the C reader answers: int32 words, see ``points_main.c``."""
    count, rows, columns = maps.shape
    request = np.array([count, rows, columns, stride], "<u4").tobytes()
    request += np.array(settings.visibility(), "<u2").tobytes()
    request += np.array(settings.places, np.uint8).tobytes() + maps.astype(np.int8).tobytes()
    return np.frombuffer(host_c.run(_program(), request), "<i4")


@functools.cache
def _program() -> Path:
    sources = (DECODER / "point_reader.c", host_c.NATIVE / "points_main.c")
    return host_c.build("points", sources, (DECODER,))


def random_maps(rng: np.random.Generator, count: int, rows: int, columns: int) -> np.ndarray:
    """Maps with one hill or many, plateaus, nothing at all, everything."""
    kind = rng.integers(5)
    if kind == 0:
        return rng.integers(-128, 128, (count, rows, columns))
    if kind == 1:
        return np.full((count, rows, columns), rng.integers(-128, 128))
    if kind == 2:
        return rng.integers(-2, 3, (count, rows, columns))
    place = rng.uniform(-1, 1, (2, count, 1, 1)) * (rows, columns)[0] + rows / 2
    far = [np.arange(n).reshape(-1, 1 if i == 0 else n) - place[i] for i, n in
           enumerate((rows, columns))]  # fmt: skip
    hill = np.exp(-(far[0] ** 2 + far[1] ** 2) / rng.uniform(0.5, 8)) * rng.uniform(0, 1.3)
    return as_bytes(hill + rng.normal(0, 0.02, hill.shape)).astype(np.int64)


@pytest.mark.parametrize("seed", range(5))
def test_c_and_python_agree_on_every_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(60):
        count = int(rng.integers(1, 19))
        places = tuple(int(p) for p in rng.permutation(18)[:count])
        settings = PointMaps(places, float(rng.uniform(0, 30)), float(rng.uniform(-12, 6)))
        rows, columns = (int(n) for n in rng.integers(2, 34, 2))
        stride = int(rng.integers(1, 17))
        maps = random_maps(rng, count, rows, columns)
        points = read_points(maps, settings, stride)
        found = in_c(maps, settings, stride)
        assert np.array_equal(found[3 + 3 * 18 :].reshape(-1, 3), points)
        person = as_person(points, settings)
        assert found[0] == (person is not None)
        score = int(points[:, 2].sum()) // (2 * count)
        assert found[1] == score
        if person is not None:
            assert person.score == score
            assert found[2] == (person.points[:, 2] > 0).sum()
            assert np.array_equal(found[3 : 3 + 3 * 18].reshape(18, 3), person.points)


def test_a_point_lies_at_the_centre_of_mass_about_the_first_highest_cell() -> None:
    maps = np.zeros((2, 16, 16), int)
    maps[0, 5, 7], maps[0, 5, 8], maps[0, 4, 7] = 100, 50, -90
    maps[0, 15, 15] = 100  # as high, but later; too far to count
    settings = PointMaps((3, 4))
    points = real(read_points(maps, settings, 4))
    # A third of a cell to the right of the middle of cell 7; rounded to a sixteenth of a pixel.
    assert points[0, 0] == round((4 * 7 + 1.5 + 4 / 3) * 16) / 16
    assert points[0, 1] == 4 * 5 + 1.5
    assert points[0, 2] == settings.visibility()[100] / 2**15
    # Nothing anywhere: the first cell, as little visible as can be.
    assert points[1].tolist() == [1.5, 1.5, settings.visibility()[0] / 2**15]


def test_mass_beyond_the_edge_does_not_wrap_around() -> None:
    maps = np.zeros((1, 8, 8), int)
    maps[0, 0, 0], maps[0, 7, 7], maps[0, 0, 7], maps[0, 7, 0] = 60, 50, 50, 50
    assert real(read_points(maps, PointMaps((0,)), 4))[0, :2].tolist() == [1.5, 1.5]


def test_visibility_is_the_fitted_probability() -> None:
    settings = PointMaps(LIMBS, slope=8.0, offset=-2.0)
    table = settings.visibility()
    assert len(table) == 128
    assert list(table) == sorted(table)
    assert table[32] == 2**14  # 8 / 4 - 2 = 0
    assert table[64] == round(2**15 / (1 + np.exp(-2)))


def test_hidden_points_are_not_found_and_nobody_is_nobody() -> None:
    settings = PointMaps(LIMBS, slope=20.0, offset=-6.0)
    points = np.zeros((13, 3), np.int32)
    points[:, 2], points[4] = 2**14 - 1, (160, 320, 2**14)
    person = as_person(points, settings)
    assert person is not None
    assert np.flatnonzero(person.points[:, 2]).tolist() == [LIMBS[4]]
    assert person.points[LIMBS[4]].tolist() == [160, 320, 2**14]
    points[4, 2] = 0
    assert as_person(points, settings) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"places": [1, 2]}, "a mapping with places, slope and offset"),
        ([1, 2, 3], "a mapping with places, slope and offset"),
        ({"places": [1, 1], "slope": 1.0, "offset": 0.0}, "different numbers from 0 to 17"),
        ({"places": [18], "slope": 1.0, "offset": 0.0}, "different numbers from 0 to 17"),
        ({"places": [], "slope": 1.0, "offset": 0.0}, "different numbers from 0 to 17"),
        ({"places": ["a"], "slope": 1.0, "offset": 0.0}, "different numbers from 0 to 17"),
        ({"places": "12", "slope": 1.0, "offset": 0.0}, "must be a list"),
        ({"places": [1], "slope": True, "offset": 0.0}, "slope and offset numbers"),
        ({"places": [1], "slope": -1.0, "offset": 0.0}, "cannot be less sure"),
        ({"places": [1], "slope": 1e9, "offset": 0.0}, "-64 to 64 are possible"),
        ({"places": [1], "slope": 1.0, "offset": float("nan")}, "-64 to 64 are possible"),
    ],
)
def test_settings_that_make_no_sense_are_one_sentence(given: object, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        point_maps.from_extras({"points": given}, "some.pth.tar")
    assert str(caught.value).startswith("some.pth.tar")
    assert "\n" not in str(caught.value)


def test_settings_come_back_from_plain_data() -> None:
    settings = PointMaps(LIMBS, 12.5, -3.25)
    assert point_maps.from_extras({"points": settings.plain()}, "x") == settings
    assert point_maps.from_extras({}, "x") is None
