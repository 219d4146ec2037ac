"""Targets against a formula written out cell by cell, and the way back."""

import math

import numpy as np
import pytest

from ai8x_models.codec import (
    LIMBS,
    encode,
    encode_batch,
    flip_keypoints,
    flip_maps,
)
from ai8x_models.decode import DecodeSettings, decode, decode_single, find_peaks, refine

# A standing figure, 18 points, in a box of 1 x 1.
STANDING = np.array(
    [
        (0.50, 0.10), (0.50, 0.22), (0.36, 0.24), (0.28, 0.40), (0.24, 0.54), (0.64, 0.24),
        (0.72, 0.40), (0.76, 0.54), (0.42, 0.55), (0.40, 0.76), (0.39, 0.96), (0.58, 0.55),
        (0.60, 0.76), (0.61, 0.96), (0.45, 0.06), (0.55, 0.06), (0.38, 0.08), (0.62, 0.08),
    ]
)  # fmt: skip


def figure(x: float, y: float, width: float, height: float) -> np.ndarray:
    """STANDING in the given box of pixels, [18, 3]."""
    points = STANDING * (width, height) + (x, y)
    return np.concatenate([points, np.full((18, 1), 2)], axis=1).astype(np.float32)


def random_people(seed: int, people: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-20, 148, (people, 18, 2))
    visible = rng.integers(0, 3, (people, 18, 1))
    return np.concatenate([points, visible], axis=2).astype(np.float32)


def direct(people: np.ndarray, side: int, stride: int, sigma: float) -> tuple:
    """Heatmaps and part affinities, one cell at a time."""
    heat = np.zeros((19, side, side))
    paf = np.zeros((38, side, side))
    for i in range(side):
        for j in range(side):
            cx, cy = j * stride + (stride - 1) / 2, i * stride + (stride - 1) / 2
            for person in people:
                for k, (x, y, visible) in enumerate(person):
                    g = math.exp(-((cx - x) ** 2 + (cy - y) ** 2) / (2 * sigma**2))
                    if visible > 0 and g >= 0.01:
                        heat[k, i, j] = max(heat[k, i, j], g)
                for limb, (a, b) in enumerate(LIMBS):
                    if person[a, 2] <= 0 or person[b, 2] <= 0:
                        continue
                    dx, dy = person[b, :2] - person[a, :2]
                    length = math.hypot(dx, dy)
                    across = abs((cx - person[a, 0]) * dy - (cy - person[a, 1]) * dx) / length
                    in_x = min(person[a, 0], person[b, 0]) - stride <= cx
                    in_x &= cx <= max(person[a, 0], person[b, 0]) + stride
                    in_y = min(person[a, 1], person[b, 1]) - stride <= cy
                    in_y &= cy <= max(person[a, 1], person[b, 1]) + stride
                    if across <= stride and in_x and in_y:
                        paf[2 * limb : 2 * limb + 2, i, j] = dx / length, dy / length
            heat[18, i, j] = 1 - heat[:18, i, j].max()
    return heat, paf


@pytest.mark.parametrize(("seed", "people"), [(0, 1), (1, 2), (2, 5)])
def test_targets_equal_the_direct_formula(seed: int, people: int) -> None:
    points = random_people(seed, people)
    heat, paf = encode(points)
    want_heat, want_paf = direct(points, 16, 8, 7.0)
    assert heat.shape == (19, 16, 16)
    assert paf.shape == (38, 16, 16)
    assert heat.dtype == paf.dtype == np.float32
    np.testing.assert_allclose(heat, want_heat, atol=2e-6)
    np.testing.assert_allclose(paf, want_paf, atol=2e-6)


def test_another_size_stride_and_sigma() -> None:
    points = random_people(5, 2)
    heat, paf = encode(points, size=64, stride=4, sigma=3.0)
    want_heat, want_paf = direct(points, 16, 4, 3.0)
    np.testing.assert_allclose(heat, want_heat, atol=2e-6)
    np.testing.assert_allclose(paf, want_paf, atol=2e-6)


def test_nobody_is_all_background() -> None:
    heat, paf = encode(np.zeros((0, 18, 3)))
    assert (heat[:18] == 0).all()
    assert (heat[18] == 1).all()
    assert (paf == 0).all()


def test_a_batch_is_its_pictures() -> None:
    points = np.stack([random_people(seed, 3) for seed in range(4)])
    heat, paf = encode_batch(points)
    for index in range(4):
        one_heat, one_paf = encode(points[index])
        assert np.array_equal(heat[index], one_heat)
        assert np.array_equal(paf[index], one_paf)


def test_mirrored_picture_has_mirrored_targets() -> None:
    points = random_people(7, 3)
    heat, paf = encode(flip_keypoints(points))
    want_heat, want_paf = flip_maps(*encode(points))
    np.testing.assert_allclose(heat, want_heat, atol=2e-6)
    np.testing.assert_allclose(paf, want_paf, atol=2e-6)


def test_a_point_on_a_cell_centre_is_a_full_peak() -> None:
    person = np.zeros((1, 18, 3))
    person[0, 4] = 8 * 5 + 3.5, 8 * 9 + 3.5, 1
    heat, _ = encode(person)
    assert heat[4, 9, 5] == 1
    assert heat[18, 9, 5] == 0


def test_unusable_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[n, people, 18, 3\]"):
        encode_batch(np.zeros((2, 17, 3)))
    with pytest.raises(ValueError, match="not a multiple of the stride"):
        encode(np.zeros((1, 18, 3)), size=100)
    with pytest.raises(ValueError, match=r"\[19, h, w\]"):
        decode_single(np.zeros((18, 16, 16)))
    with pytest.raises(ValueError, match="both must be the same"):
        decode(np.zeros((19, 16, 16)), np.zeros((38, 8, 8)))


def test_one_person_comes_back_to_a_fraction_of_a_pixel() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        points = rng.uniform(8, 119, (18, 2))
        person = np.concatenate([points, np.ones((18, 1))], axis=1)
        found = decode_single(encode(person[None])[0])
        assert np.abs(found[:, :2] - points).max() < 0.05
        # The value of the best cell: at worst half a cell away in both directions.
        assert found[:, 2].min() > 0.7


def test_several_people_come_back_whole() -> None:
    people = np.stack([figure(2, 8, 60, 110), figure(66, 4, 58, 116)])
    found = decode(*encode(people))
    assert len(found) == 2
    for person in people:
        errors = [np.abs(f.keypoints[:, :2] - person[:, :2]).max() for f in found]
        assert min(errors) < 1.0
    assert all((f.keypoints[:, 2] > 0).all() for f in found)


def test_a_person_without_legs_is_still_one_person() -> None:
    person = figure(20, 10, 80, 150)
    person[8:14] = 0
    found = decode(*encode(person[None]))
    assert len(found) == 1
    assert set(np.flatnonzero(found[0].keypoints[:, 2])) == {*range(8), *range(14, 18)}


def test_crossing_arms_are_told_apart_by_the_fields() -> None:
    left, right = figure(0, 8, 70, 112), figure(55, 8, 70, 112)
    left[7, :2], right[4, :2] = (66, 40), (60, 76)
    found = decode(*encode(np.stack([left, right])))
    assert len(found) == 2
    found.sort(key=lambda person: float(person.keypoints[1, 0]))
    assert np.abs(found[0].keypoints[7, :2] - left[7, :2]).max() < 1.5
    assert np.abs(found[1].keypoints[4, :2] - right[4, :2]).max() < 1.5


def test_no_maps_no_people_and_no_more_than_asked() -> None:
    assert decode(np.zeros((19, 16, 16)), np.zeros((38, 16, 16))) == []
    people = np.stack([figure(2, 8, 60, 110), figure(66, 4, 58, 116)])
    assert len(decode(*encode(people), settings=DecodeSettings(max_people=1))) == 1


def test_noise_never_breaks_the_decoder() -> None:
    rng = np.random.default_rng(11)
    for _ in range(50):
        heat = rng.normal(0, 1, (19, 16, 16)).round(1)
        paf = rng.normal(0, 1, (38, 16, 16))
        for person in decode(heat, paf):
            assert np.isfinite(person.keypoints).all()
            assert np.isfinite(person.score)


def test_a_plateau_is_one_peak() -> None:
    heat = np.zeros((8, 8), dtype=np.float32)
    heat[3:5, 3:5] = 0.5
    peaks = find_peaks(heat, 0.1)
    assert len(peaks.values) == 1


def test_edges_keep_the_cell() -> None:
    heat = np.zeros((4, 4), dtype=np.float32)
    heat[0, 3] = 1
    assert refine(heat, [0], [3]).tolist() == [[3, 0]]
