"""Rules over people: what begins and ends an event."""

from __future__ import annotations

import numpy as np

from ai8x_models.follow.events import RULES, Event
from ai8x_models.follow.tracker import Told
from tests.helpers.decoder_cases import STANDING
from tests.helpers.track_cases import own_rules, rule_words

SOMEBODY, PEOPLE, HAND, LYING = RULES


def person(number: int = 1, hand: float = 0.6, lying: bool = False) -> Told:
    """A figure of 200 pixels; the right wrist at that height (0 is the top of the head)."""
    places = STANDING.copy()
    places[4, 1] = hand
    points = np.zeros((18, 3), np.int64)
    points[:, :2] = np.round((places[:, ::-1] if lying else places) * 200 * 16)
    points[:, 2] = 9000
    return Told(number, 0, 200 * 16, (0, 0), points)


def test_the_firmware_has_the_same_rules() -> None:
    assert own_rules().tolist() == [rule_words(rule) for rule in RULES]


def test_somebody_is_there_after_a_tenth_of_a_second() -> None:
    event = Event(SOMEBODY)
    changed = [event.step([person()], 1000 + 35 * i) for i in range(6)]
    assert changed == [False, False, False, True, False, False]
    assert event.count == 1


def test_a_gap_is_no_end() -> None:
    event = Event(SOMEBODY)
    for i in range(6):
        event.step([person()], 35 * i)
    assert not any(event.step([], 210 + 35 * i) for i in range(20))
    assert not event.step([person()], 1000)
    assert not any(event.step([], 1035 + 35 * i) for i in range(29))
    assert event.step([], 2070)
    assert event.count == 0


def test_people_are_counted() -> None:
    event = Event(PEOPLE)
    crowd = [person(i) for i in range(3)]
    counts = []
    for i in range(60):
        if event.step(crowd[: 1 + (i > 20) + (i > 40)], 35 * i):
            counts.append(event.count)
    assert counts == [1, 2, 3]


def test_a_hand_above_the_head_and_its_slack() -> None:
    event = Event(HAND)
    for i in range(20):
        event.step([person(hand=0.04)], 35 * i)  # not far enough above the eyes at 0.06
    assert event.count == 0
    for i in range(20, 40):
        event.step([person(hand=-0.1)], 35 * i)
    assert event.count == 1
    for i in range(40, 60):
        event.step([person(hand=0.04)], 35 * i)
    assert event.count == 1
    for i in range(60, 80):
        event.step([person(hand=0.3)], 35 * i)
    assert event.count == 0


def test_somebody_lies() -> None:
    event = Event(LYING)
    for i in range(40):
        event.step([person(lying=i < 10 or i > 30)], 35 * i)
        assert event.count == 0
    for i in range(40, 80):
        event.step([person(lying=True)], 35 * i)
    assert event.count == 1


def test_unknown_points_prove_nothing() -> None:
    hidden = person(hand=-0.1)
    hidden.points[[0, 14, 15, 16, 17]] = 0
    event = Event(HAND)
    assert not any(event.step([hidden], 35 * i) for i in range(40))
