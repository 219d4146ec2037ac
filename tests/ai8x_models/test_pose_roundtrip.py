"""Codec and picture path under arbitrary inputs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ai8x_models.codec import encode, flip_keypoints, flip_maps
from ai8x_models.decode import decode, decode_single
from ai8x_models.preprocess import prepare

coordinates = hnp.arrays(np.float32, (18, 2), elements=st.floats(8, 119, width=32, allow_nan=False))


@given(coordinates)
@settings(deadline=None)
def test_single_person_round_trip(points: np.ndarray) -> None:
    person = np.concatenate([points, np.ones((18, 1), np.float32)], axis=1)
    found = decode_single(encode(person[None])[0])
    assert np.abs(found[:, :2] - points).max() < 0.05


@given(
    hnp.arrays(np.float32, (2, 18, 2), elements=st.floats(-200, 300, width=32)),
    hnp.arrays(np.float32, (2, 18, 1), elements=st.sampled_from([0.0, 1.0, 2.0])),
)
@settings(deadline=None)
def test_targets_stay_in_range_and_mirror(points: np.ndarray, visible: np.ndarray) -> None:
    people = np.concatenate([points, visible], axis=2)
    heat, pafs = encode(people)
    assert heat.min() >= 0
    assert heat.max() <= 1
    lengths = np.hypot(pafs[0::2], pafs[1::2])
    assert (np.isclose(lengths, 1, atol=1e-5) | (lengths == 0)).all()
    mirrored, _ = encode(flip_keypoints(people))
    want = flip_maps(heat, pafs)[0]
    # Rounding may put a value on the other side of the cut-off at 0.01.
    at_the_floor = np.maximum(mirrored, want)[:18] < 0.0101
    assert (np.isclose(mirrored, want, atol=1e-4)[:18] | at_the_floor).all()


@given(
    hnp.arrays(np.float32, (19, 6, 7), elements=st.floats(-2, 2, width=32)),
    hnp.arrays(np.float32, (38, 6, 7), elements=st.floats(-2, 2, width=32)),
)
@settings(deadline=None, max_examples=50)
def test_any_maps_decode_to_points_inside_them(heat: np.ndarray, pafs: np.ndarray) -> None:
    for person in decode(heat, pafs):
        seen = person.keypoints[:, 2] > 0
        assert seen.sum() >= 3
        assert (person.keypoints[~seen] == 0).all()
        assert (person.keypoints[seen, 0] >= 3.5 - 4).all()
        assert (person.keypoints[seen, 0] <= 8 * 6 + 3.5 + 4).all()
        assert (person.keypoints[seen, 1] <= 8 * 5 + 3.5 + 4).all()


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 255))
@settings(deadline=None, max_examples=40)
def test_any_picture_fits_and_maps_back(height: int, width: int, value: int) -> None:
    ready = prepare(np.full((height, width, 3), value, np.uint8))
    assert ready.data.shape == (3, 128, 128)
    assert np.array_equal(ready.data.astype(int) + 128, ready.pixels.transpose(2, 0, 1))
    corner = np.array([[width - 1, height - 1, 1]], np.float32)
    inside = (corner[:, :2] + 0.5) * ready.scale - 0.5
    back = ready.to_picture(np.concatenate([inside, corner[:, 2:]], axis=1))
    np.testing.assert_allclose(back, corner, atol=1e-2)
