"""People who cross: the tracker shares out what the decoder mixes."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_models.follow.crossing import crossing_share, crossing_tracks
from ai8x_models.follow.likeness import Tracked, size_of
from ai8x_models.follow.tracker import Region, Tracker
from tests.helpers.track_cases import figure

NOBODY = np.zeros((8, 8), bool)
WHOLE = Region(0, 0, 480)
STEP_MS = 35


def standing(x: float, seed: int = 0) -> np.ndarray:
    """A figure with all points seen well, trembling by a percent of its height."""
    points = figure((x, 100), 250, np.random.default_rng(seed), 0.01, gaps=0)
    points[:, 2] = 16000
    return points


def track(points: np.ndarray) -> Tracked:
    """A track that expects these points."""
    return Tracked(
        seen=2,
        size=size_of(points),
        place=points[:, :2].T * 256,
        value=points[:, 2].copy(),
        missing=np.zeros(18, np.int64),
    )


def test_points_that_the_decoder_mixed_go_to_whom_they_belong() -> None:
    one, other = standing(200), standing(225, 1)
    tracks = [track(one), track(other)]
    swapped = np.arange(18)[:, None] % 2 == 0
    people = [np.where(swapped, other, one), np.where(swapped, one, other)]
    crossing = crossing_tracks(tracks)
    assert crossing == {0, 1}
    shares = crossing_share(tracks, people, {0: 0, 1: 1}, crossing, 250, NOBODY)
    assert np.array_equal(shares[0], one)
    assert np.array_equal(shares[1], other)


def test_people_given_to_a_track_outside_keep_their_points() -> None:
    one, other, far = standing(100), standing(120, 1), standing(350, 2)
    tracks = [track(one), track(other), track(far)]
    people = [far, one]
    shares = crossing_share(tracks, people, {2: 0, 0: 1}, crossing_tracks(tracks), 250, NOBODY)
    assert set(shares) == {0, 1}
    assert np.array_equal(shares[0] + shares[1], one)


def test_nobody_gets_points_of_somebody_who_wears_something_else() -> None:
    """One of two who cross is seen, nearer to where the other is expected."""
    one, other = standing(200), standing(215, 1)
    tracks = [track(one), track(other)]
    refused = NOBODY.copy()
    assert crossing_share(tracks, [other], {1: 0}, {0, 1}, 250, refused)[1].any()
    refused[1, 0] = True
    shares = crossing_share(tracks, [other], {0: 0}, {0, 1}, 250, refused)
    assert not shares[1].any()
    assert np.array_equal(shares[0], other)


@pytest.mark.parametrize(("points", "missed"), [(18, 0), (9, 0), (8, STEP_MS), (3, STEP_MS)])
def test_whoever_crosses_is_seen_where_half_of_their_points_are(points: int, missed: int) -> None:
    """Less may be what the decoder made of the one who stands in front."""
    tracker = Tracker()
    one, other = standing(200), standing(225, 1)
    for index in range(10):
        tracker.step([one, other], WHOLE, 1000 + STEP_MS * index)
    other[points:] = 0
    told = tracker.step([one, other], WHOLE, 1000 + STEP_MS * 10)
    assert [track.missed for track in told] == [0, missed]


def test_whoever_is_missed_for_most_of_a_second_is_known_again() -> None:
    """Longer than points are shown."""
    tracker = Tracker()
    for index in range(10):
        tracker.step([standing(200, index)], WHOLE, 1000 + STEP_MS * index)
    for index in range(10, 36):
        tracker.step([], WHOLE, 1000 + STEP_MS * index)
    numbers = []
    for index in range(36, 39):
        told = tracker.step([standing(200, index)], WHOLE, 1000 + STEP_MS * index)
        numbers.append([(track.number, track.missed) for track in told])
    assert numbers == [[(1, 0)]] * 3
