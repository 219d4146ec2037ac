"""Somebody who walks hidden behind somebody else, and is seen again: whose number that is."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_models.follow.events import RULES
from ai8x_models.follow.fixed import Integers
from ai8x_models.follow.region import RegionSettings
from ai8x_models.follow.tracker import Region, Told, Tracker, TrackerSettings
from tests.helpers.track_cases import Course, Shot, check, figure

WHOLE = Region(0, 0, 480)
STEP_MS = 35
BESIDE = 14.0
"""Pixels between two who walk side by side, 200 pixels high."""


def standing(x: float, seed: int = 0) -> Integers:
    points = figure((x, 140), 200, np.random.default_rng(seed), 0.005, gaps=0)
    points[:, 2] = 16000
    return points


class Watched:
    """A tracker and the time. Somebody walks, somebody else beside them or elsewhere."""

    def __init__(self) -> None:
        self.tracker = Tracker()
        self.index = 0

    def look(self, *places: float, pictures: int = 1, speed: float = 0.0) -> list[Told]:
        """People at these places in so many pictures, going on by ``speed`` in each."""
        told: list[Told] = []
        for step in range(pictures):
            found = [standing(x + speed * step, self.index + n) for n, x in enumerate(places)]
            told = self.tracker.step(found, WHOLE, 1000 + STEP_MS * self.index)
            self.index += 1
        return told


def numbers(told: list[Told]) -> list[int]:
    return [one.number for one in told]


def side_by_side(watched: Watched, hidden: int, speed: float = 1.2) -> list[Told]:
    """Two come to walk together; so many pictures long the one behind is not found, then again."""
    apart = np.linspace(60, BESIDE, 60)
    for index, gap in enumerate(apart):
        told = watched.look(20 + speed * index, 20 + speed * index + gap)
    assert numbers(told) == [1, 2]
    x = 20 + speed * len(apart)
    watched.look(x, pictures=hidden, speed=speed)
    x += hidden * speed
    return watched.look(x, x + BESIDE, pictures=3, speed=speed)


@pytest.mark.parametrize("seconds", [0.5, 1.5, 2.5, 3.5])
def test_who_walks_behind_somebody_keeps_the_number(seconds: float) -> None:
    assert numbers(side_by_side(Watched(), round(1000 * seconds / STEP_MS))) == [1, 2]


def test_for_four_seconds() -> None:
    assert numbers(side_by_side(Watched(), round(5000 / STEP_MS), speed=0.5)) == [1]


def test_who_is_hidden_is_not_told() -> None:
    watched = Watched()
    side_by_side(watched, 0)
    told = [numbers(watched.look(95.6 + 1.2 * index)) for index in range(70)]
    assert told[20] == [1, 2]
    assert told[30:] == [[1]] * 40
    assert [track.number for track in watched.tracker.tracks if track.front] == [2]


def test_who_stood_alone_is_gone_after_a_second() -> None:
    watched = Watched()
    watched.look(60, 360, pictures=8)
    watched.look(60, pictures=50)
    assert numbers(watched.look(60, 360, pictures=3)) == [1, 3]


def test_who_went_on_and_was_not_seen_is_gone() -> None:
    """They cross; a second later the one behind ought to be elsewhere, and is not."""
    watched = Watched()
    for index in range(60):
        watched.look(60.0 + 3 * index, 420.0 - 3 * index)
    for index in range(60, 110):
        told = watched.look(60.0 + 3 * index)
    assert numbers(told) == [1]
    assert numbers(watched.look(390, 60, pictures=3)) == [1, 3]


def test_nobody_is_behind_somebody_who_has_gone() -> None:
    watched = Watched()
    side_by_side(watched, 40)
    watched.look(pictures=40)
    assert all(track.seen == 0 for track in watched.tracker.tracks)
    assert numbers(watched.look(100, 100 + 2 * BESIDE, pictures=3)) == [3, 4]


def test_somebody_new_takes_the_place_of_somebody_hidden() -> None:
    watched = Watched()
    places = [20.0 + 60 * n for n in range(7)]
    watched.look(*places, 430, pictures=4)
    for x in range(430, 394, -2):
        watched.look(*places, float(x))
    watched.look(*places, pictures=60)
    hidden = [track.number for track in watched.tracker.tracks if track.front]
    assert hidden == [8]
    assert numbers(watched.look(*places, 460, pictures=3)) == [1, 2, 3, 4, 5, 6, 7, 9]


# ---- C and twin --------------------------------------------------------------------------------


def pairs(seed: int) -> Course:
    """Two to eight people who walk in twos; one of each two is missing for long."""
    rng = np.random.default_rng((82, seed))
    shots, side = [], 480
    count = int(rng.integers(1, 5))
    place, speed = rng.uniform(0, side, (count, 2)), rng.normal(0, 40, (count, 2))
    apart, height = rng.uniform(2, 40, count), rng.uniform(60, 250, count)
    missing = rng.integers(5, 60, (count, 2))
    for index in range(110):
        people = []
        for n in range(count):
            x, y = place[n] + speed[n] * STEP_MS / 1000 * index
            people.append(figure((x, y), height[n], rng, 0.01))
            if not missing[n, 0] <= index < missing[n].sum():
                people.append(figure((x + apart[n], y), height[n], rng, 0.01))
        shots.append(Shot(1000 + STEP_MS * index, WHOLE, people[:8]))
    return Course(TrackerSettings(leave_ms=500), RegionSettings(side), RULES, shots)


def hidden_shots(course: Course) -> int:
    """In how many pictures somebody is hidden."""
    tracker, count = Tracker(course.tracker), 0
    for shot in course.shots:
        tracker.step(shot.people, shot.looked, shot.time)
        count += any(track.front for track in tracker.tracks)
    return count


def test_c_and_twin_agree_where_people_are_hidden() -> None:
    courses = [pairs(seed) for seed in range(12)]
    assert sum(map(hidden_shots, courses)) > 200
    assert check(courses) > 30


@pytest.mark.long
@pytest.mark.parametrize("block", range(4))
def test_c_and_twin_agree_on_many_pairs(block: int) -> None:
    courses = [pairs(1000 + 100 * block + seed) for seed in range(100)]
    assert sum(map(hidden_shots, courses)) > 1500
    assert check(courses) > 200
