"""Tracker and region chooser together, with what goes wrong in front of a camera."""

from __future__ import annotations

import numpy as np

from ai8x_models.follow.region import Chooser, RegionSettings
from ai8x_models.follow.tracker import Region, Told, Tracker
from tests.helpers.track_cases import figure

SIDE = 480
STEP_MS = 35


def seen(person: np.ndarray, looked: Region) -> list[np.ndarray]:
    """The person as a network sees them in a region: points inside, at least three."""
    places = person[:, :2] // 16 - (looked.x, looked.y)
    inside = ((places >= 0) & (places < looked.side)).all(axis=1)
    there = np.where(inside[:, None], person, 0)
    return [there] if inside.sum() >= 3 else []


def watch(places: list[tuple[float, float]]) -> list[tuple[Region, list[Told]]]:
    """Somebody at these places (top middle), 100 pixels high, a picture each."""
    tracker, chooser = Tracker(), Chooser(RegionSettings(SIDE))
    told: list[Told] = []
    answers = []
    for index, place in enumerate(places):
        looked = chooser.next(told, 1000 + STEP_MS * index)
        person = figure(place, 100, np.random.default_rng(78), 0, gaps=0)
        told = tracker.step(seen(person, looked), looked, 1000 + STEP_MS * index)
        answers.append((looked, told))
    return answers


def test_a_frozen_picture() -> None:
    answers = watch([(200, 150)] * 200)
    assert [len(told) for _, told in answers[1:]] == [1] * 199
    assert {told[0].number for _, told in answers[1:]} == {1}
    last = [told[0].points for _, told in answers[-50:]]
    assert np.ptp(last, axis=0).max() == 0
    closer = {looked for looked, _ in answers[20:] if looked.side < SIDE}
    assert len(closer) == 1


def test_somebody_leaves_at_the_border_and_comes_back() -> None:
    way = [(300.0 + 4 * i, 150.0) for i in range(70)]
    answers = watch([*way, *[(900.0, 150.0)] * 60, *way[::-1]])
    for looked, _ in answers:
        assert 0 <= looked.x <= SIDE - looked.side
        assert 0 <= looked.y <= SIDE - looked.side
    assert any(looked.x + looked.side == SIDE and looked.side < SIDE for looked, _ in answers[5:60])
    numbers = [[track.number for track in told] for _, told in answers]
    assert numbers[30] == [1]
    assert numbers[110] == []  # more than a second later
    assert numbers[-1] == [2]
