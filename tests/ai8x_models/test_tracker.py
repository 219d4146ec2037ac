"""What the tracker promises: numbers that stay, points that rest, people who leave."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ai8x_models.follow.tracker import (
    Region,
    Told,
    Tracker,
    TrackerSettings,
    region_people,
    region_to_picture,
)
from tests.helpers.track_cases import figure

WHOLE = Region(0, 0, 480)
STEP_MS = 35


def standing(x: float, y: float = 100, height: float = 250, seed: int = 0) -> np.ndarray:
    """A figure with all points seen well, trembling by a percent of its height."""
    points = figure((x, y), height, np.random.default_rng(seed), 0.01, gaps=0)
    points[:, 2] = 16000
    return points


def numbers(told: list[Told]) -> list[int]:
    return [track.number for track in told]


def test_a_number_needs_two_pictures_and_survives_missed_ones() -> None:
    tracker = Tracker()
    assert tracker.step([standing(100)], WHOLE, 1000) == []
    assert numbers(tracker.step([standing(101)], WHOLE, 1035)) == [1]
    for index in range(20):
        assert numbers(tracker.step([], WHOLE, 1070 + STEP_MS * index)) == [1]
    assert numbers(tracker.step([standing(103)], WHOLE, 1800)) == [1]


def test_people_leave_after_a_second() -> None:
    tracker = Tracker()
    for index in range(2):
        tracker.step([standing(100)], WHOLE, 1000 + STEP_MS * index)
    times = [1070 + STEP_MS * index for index in range(32)]
    there = [bool(tracker.step([], WHOLE, time)) for time in times]
    gone = times[there.index(False)] - 1035
    assert 1000 < gone <= 1000 + 2 * STEP_MS
    assert numbers(tracker.step([standing(100)], WHOLE, 2400)) == []
    assert numbers(tracker.step([standing(100)], WHOLE, 2435)) == [2]


def test_nobody_is_missed_where_nobody_looked() -> None:
    tracker = Tracker()
    for index in range(2):
        tracker.step([standing(100)], WHOLE, 1000 + STEP_MS * index)
    elsewhere = Region(300, 300, 128)
    for index in range(50):
        told = tracker.step([], elsewhere, 1070 + STEP_MS * index)
        assert numbers(told) == [1]
        assert (told[0].points[:, 2] > 0).all()


def test_two_people_cross_and_keep_their_numbers() -> None:
    tracker = Tracker()
    before: dict[int, int] = {}
    for index in range(120):
        left, right = (
            standing(60 + 3 * index, seed=index),
            standing(420 - 3 * index, seed=500 + index),
        )
        people = [left, right] if index % 2 else [right, left]
        if 55 <= index <= 65:  # the one behind is hidden
            people = [left]
        told = tracker.step(people, WHOLE, 1000 + STEP_MS * index)
        if index == 30:
            before = {track.number: int(track.points[1, 0]) for track in told}
    after = {track.number: int(track.points[1, 0]) for track in told}
    assert sorted(before) == sorted(after) == [1, 2]
    (first, second) = before
    assert (before[first] < before[second]) == (after[first] > after[second])


def test_a_resting_point_trembles_less_than_half() -> None:
    raw, steady = [], []
    tracker = Tracker()
    for index in range(100):
        person = standing(200, seed=index)
        told = tracker.step([person], WHOLE, 1000 + STEP_MS * index)
        if index >= 20:
            raw.append(person[:, :2])
            steady.append(told[0].points[:, :2])

    def tremble(points: list[np.ndarray]) -> float:
        return float(np.abs(np.diff(np.array(points), 2, axis=0)).mean())

    assert tremble(steady) < 0.3 * tremble(raw)
    assert np.abs(np.mean(steady, axis=0) - np.mean(raw, axis=0)).max() < 16


def test_walking_people_are_not_left_behind() -> None:
    tracker = Tracker()
    behind = []
    for index in range(60):
        person = standing(60 + 4 * index, seed=index)  # half a height a second
        told = tracker.step([person], WHOLE, 1000 + STEP_MS * index)
        if index >= 30:
            behind.append((person[:, 0] - told[0].points[:, 0]).mean() / 16)
    assert abs(np.mean(behind)) < 0.01 * 250


def test_a_point_is_held_then_faded_then_unknown() -> None:
    tracker = Tracker()
    for index in range(4):
        tracker.step([standing(200)], WHOLE, 1000 + STEP_MS * index)
    hidden = standing(200)
    hidden[4] = 0
    values = []
    for index in range(20):
        (told,) = tracker.step([hidden], WHOLE, 1140 + STEP_MS * index)
        values.append(int(told.points[4, 2]))
    held = 250 // STEP_MS
    assert values[:held] == [16000] * held
    fading = values[held : 600 // STEP_MS]
    assert all(a > b for a, b in itertools.pairwise(fading))
    assert values[-1] == 0
    assert tuple(told.points[4]) == (0, 0, 0)


def test_a_point_hardly_trusted_moves_less() -> None:
    moved = []
    for value in (13107, 1300):
        tracker = Tracker()
        for index in range(3):
            tracker.step([standing(200)], WHOLE, 1000 + STEP_MS * index)
        person = standing(200)
        person[4, 0] += 160
        person[4, 2] = value
        (told,) = tracker.step([person], WHOLE, 1105)
        moved.append(int(told.points[4, 0] - standing(200)[4, 0]))
    assert 0 < moved[1] < moved[0] / 4


def test_without_smoothing_points_are_what_they_were() -> None:
    tracker = Tracker(TrackerSettings(slow_hz=0))
    for index in range(5):
        person = standing(200 + 9 * index, seed=index)
        told = tracker.step([person], WHOLE, 1000 + STEP_MS * index)
    assert np.array_equal(told[0].points, person)


def test_numbers_are_not_used_again_within_a_second() -> None:
    """Eight strangers in every picture, as often as pictures may come."""
    tracker = Tracker(TrackerSettings(confirm=1))
    last: dict[int, int] = {}
    for index in range(400):
        time = 1000 + 1001 * (index // 100) + index
        people = [standing(40 + 60 * i, 40 + 400 * (index % 2), 40) for i in range(8)]
        for track in tracker.step(people, WHOLE, time):
            if not track.missed and track.number not in last:
                assert track.number == max(last, default=0) + 1
            last[track.number] = time
    tracker.last = 65534
    tracker.step([], WHOLE, 10**6)
    told = tracker.step([standing(50), standing(300)], WHOLE, 10**6 + STEP_MS)
    assert numbers(told) == [65535, 1]


def test_more_people_than_there_is_room_for() -> None:
    tracker = Tracker()
    for index in range(6):
        people = [standing(30 + 55 * i + index, 20, 100) for i in range(8)]
        told = tracker.step(people, WHOLE, 1000 + STEP_MS * index)
    assert len(told) == 8
    moved = [standing(30 + 55 * i, 350, 100) for i in range(8)]
    assert len(tracker.step(moved, WHOLE, 1220)) == 8


@pytest.mark.parametrize("jump", [0, -5000, 10**6, 2**31])
def test_a_clock_that_jumps_keeps_or_forgets_people(jump: int) -> None:
    tracker = Tracker()
    for index in range(3):
        told = tracker.step([standing(200)], WHOLE, 10**6 + STEP_MS * index)
    told = tracker.step([standing(200)], WHOLE, 10**6 + 70 + jump)
    assert numbers(told) == ([1] if jump == 0 else [])
    told = tracker.step([standing(200)], WHOLE, 10**6 + 105 + jump)
    assert numbers(told) == ([1] if jump == 0 else [2])


def test_places_go_back_into_the_camera_picture() -> None:
    # The middle of input pixel 0 shows the first two of 256: theirs is at 0.5.
    assert region_to_picture(np.array([0, 127 * 16]), 0, 256, 128).tolist() == [8, 16 * 254 + 8]
    point = np.zeros((18, 3), np.int64)
    point[3] = (64 * 16, 32 * 16, 500)
    (moved,) = region_people(Region(100, 50, 128), 128, [point])
    assert moved[3].tolist() == [164 * 16, 82 * 16, 500]
    assert not moved[4].any()


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="least 0"):
        TrackerSettings(least=0)
    with pytest.raises(ValueError, match="hold_ms 65536"):
        TrackerSettings(hold_ms=65536)
