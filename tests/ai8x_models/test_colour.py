"""Who is who by the colour of the clothes: what it is to do, and where it must do nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ai8x_models.follow.colour import colours_of, thumbnail_rgb565
from ai8x_models.follow.fixed import Integers
from ai8x_models.follow.tracker import Region, Told, Tracker
from tests.helpers.track_cases import Course, c_thumbnail, check, figure, packed, random_course

WHOLE = Region(0, 0, 480)
STEP_MS = 35
Clothes = tuple[int, int, int]
People = Sequence[tuple[float, Clothes | None]]
"""Where somebody stands and what they wear; None: something of everything."""
RED, BLUE, GREEN, WALL = (10, 2, 2), (2, 2, 10), (2, 9, 2), (6, 6, 6)
MANY = ((0, 0, 0), (15, 15, 15), (15, 0, 8), (0, 15, 8))


def standing(x: float) -> Integers:
    return figure((x, 150), 200, np.random.default_rng(78), 0, gaps=0)


def thumb(people: People, light: int = 0) -> Integers:
    """People in their colours before a grey wall, the last in front."""
    cells = np.empty((32, 32, 3), np.int64)
    cells[:] = WALL
    for x, colour in people:
        column = round(x / 15)
        body = cells[8:26, max(column - 2, 0) : column + 3]
        rows, columns = np.indices(body.shape[:2])
        body[:] = np.array(MANY)[(2 * rows + columns) % 4] if colour is None else colour
    return np.clip(cells + light, 0, 15)


class Watched:
    """A tracker that is given thumbnails, one that is not, and the time."""

    def __init__(self) -> None:
        self.tracker, self.plain = Tracker(), Tracker()
        self.now = 1000

    def look(
        self, *people: tuple[float, Clothes | None], pictures: int = 1, light: int = 0
    ) -> list[Told]:
        """The same people in so many pictures; who is told in the last."""
        told: list[Told] = []
        for _ in range(pictures):
            self.now += STEP_MS
            found = [standing(x) for x, _ in people]
            told = self.tracker.step(found, WHOLE, self.now, thumb(people, light))
            self.without = self.plain.step(found, WHOLE, self.now)
        return told


def here(told: list[Told]) -> dict[int, int]:
    """Place of the neck, of those who were found, by number."""
    return {one.number: int(one.points[1, 0]) >> 4 for one in told if one.missed == 0}


def numbers(told: list[Told]) -> list[int]:
    return [one.number for one in told]


# ---- what it is for ----------------------------------------------------------------------------


def test_somebody_known_in_the_place_of_another() -> None:
    watched = Watched()
    assert list(here(watched.look((100, RED), (380, BLUE), pictures=10))) == [1, 2]
    assert list(here(watched.look((105, BLUE), pictures=3))) == [2]
    assert list(here(watched.without)) == [1]


def test_who_comes_back_half_hidden_waits_for_the_colour() -> None:
    """A new number half a second later, if no colour is ever seen."""
    watched = Watched()
    watched.look((100, RED), (380, BLUE), pictures=10)
    watched.look((100, RED), pictures=60)
    hidden = ((100.0, RED), (300.0, None))
    assert list(here(watched.look(*hidden, pictures=10))) == [1]
    assert list(here(watched.look((100, RED), (300, BLUE), pictures=2))) == [1, 2]
    watched.look((100, RED), pictures=60)
    assert list(here(watched.look(*hidden, pictures=20))) == [1, 3]


def test_of_two_who_are_gone_the_nearer_colour_is_meant() -> None:
    """Thirty-two steps of 255 apart; where they are sixteen apart nobody knows."""
    for other, numbers_then in (((10, 4, 4), [1]), ((10, 2, 3), [3])):
        watched = Watched()
        watched.look((100, RED), (380, other), pictures=10)
        watched.look(pictures=60)
        assert list(here(watched.look((240, RED), pictures=3))) == numbers_then


def test_colours_that_are_hard_to_tell_apart() -> None:
    """Forty-eight steps of 255: the nearer one is meant."""
    watched = Watched()
    watched.look((100, (3, 8, 6)), (380, (6, 5, 9)), pictures=10)
    assert list(here(watched.look((375, (3, 8, 6)), pictures=3))) == [1]
    assert list(here(watched.without)) == [2]


def test_a_mixture_of_two_colours_is_no_other_light() -> None:
    """Of two people one is half hidden for a moment; the other one's colour was to be seen."""
    watched = Watched()
    watched.look((100, RED), (380, BLUE), pictures=10)
    watched.look((100, RED), (380, (6, 2, 6)), pictures=2)
    assert list(here(watched.look((105, BLUE), pictures=3))) == [2]


def test_two_who_change_sides_unseen() -> None:
    watched = Watched()
    before = here(watched.look((100, RED), (380, BLUE), pictures=10))
    watched.look(pictures=5)
    after = here(watched.look((300, RED), (180, BLUE), pictures=10))
    assert before[1] < before[2]
    assert after[2] < after[1]
    assert len(before) == len(after) == 2


@pytest.mark.parametrize(("seconds", "number"), [(8, 1), (12, 2)])
def test_who_comes_back_gets_the_old_number_for_ten_seconds(seconds: int, number: int) -> None:
    watched = Watched()
    watched.look((100, RED), pictures=10)
    watched.look(pictures=round(seconds * 1000 / STEP_MS))
    assert list(here(watched.look((400, RED), pictures=3))) == [number]


def test_whose_clothes_are_seen_where_two_stand() -> None:
    """Each cell that the other one's torso covers is left out, on both sides; four are needed."""
    seen = thumb([(100, RED), (300, BLUE)])
    for gap, known in ((0.0, 0), (20.0, 0), (200.0, 1)):
        people = [standing(100), standing(100 + gap)]
        colours = colours_of(people, seen, WHOLE)
        assert [one.known for one in colours] == [known, known]
    child = figure((100, 170), 80, np.random.default_rng(78), 0, gaps=0)
    both = colours_of([standing(100), child], seen, WHOLE)
    assert [one.known for one in both] == [1, 0]
    assert (both[0].channels >> 4 == np.array(RED) * 16 + 8).all()


def test_who_is_told_by_the_clothes_is_not_hidden_but_remembered() -> None:
    """For ten seconds, and wherever they come back."""
    watched = Watched()
    watched.look((100, RED), (200, BLUE), pictures=10)
    for gap in np.linspace(100, 20, 40):  # nobody sees colours
        watched.now += STEP_MS
        for tracker in (watched.tracker, watched.plain):
            tracker.step([standing(200 - gap), standing(200)], WHOLE, watched.now)
    watched.look((180, RED), pictures=60)
    assert all(track.front == 0 for track in watched.tracker.tracks)
    assert any(track.front for track in watched.plain.tracks)
    assert list(here(watched.look((180, RED), (400, BLUE), pictures=3))) == [1, 2]


# ---- where it does nothing ---------------------------------------------------------------------


@pytest.mark.parametrize("light", [-8, -5, 5, 8])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_light_that_jumps_changes_no_number(count: int, light: int) -> None:
    """80 or 128 of 255, up and down again and again; everybody keeps their number."""
    people = [(100.0, RED), (240.0, BLUE), (380.0, GREEN)][:count]
    watched = Watched()
    before = here(watched.look(*people, pictures=10))
    for _ in range(3):
        assert here(watched.look(*people, pictures=1, light=light)).keys() == before.keys()
        assert here(watched.look(*people, pictures=12, light=light)) == before
        assert here(watched.look(*people, pictures=12)) == before


def test_light_that_jumps_while_somebody_is_hidden() -> None:
    watched = Watched()
    both = ((100, RED), (380, BLUE))
    before = here(watched.look(*both, pictures=10))
    watched.look(both[0], pictures=5)
    watched.look(both[0], pictures=5, light=8)
    assert here(watched.look(*both, pictures=5, light=8)) == before


def test_a_light_in_which_one_looks_like_another() -> None:
    watched = Watched()
    people = ((100, (3, 3, 3)), (380, (8, 8, 8)))
    before = here(watched.look(*people, pictures=10))
    assert here(watched.look(*people, pictures=10, light=5)) == before


def test_somebody_alone_keeps_the_number_in_any_colour() -> None:
    watched = Watched()
    for colour in (RED, BLUE, GREEN, WALL):
        assert list(here(watched.look((200, colour), pictures=10))) == [1]


def test_a_colour_that_nobody_wore_changes_no_number() -> None:
    """A shadow on one of several."""
    watched = Watched()
    others = ((250, GREEN), (380, BLUE))
    before = here(watched.look((100, RED), *others, pictures=10))
    assert here(watched.look((100, (3, 0, 3)), *others, pictures=30)) == before


@pytest.mark.parametrize("colour", [WALL, RED, (0, 0, 0), (15, 15, 15)])
def test_people_dressed_alike_are_told_as_without_colours(colour: Clothes) -> None:
    """They cross, leave and come."""
    watched = Watched()
    for index in range(200):
        x = 60 + 1.8 * index
        people = [(x, colour), (480 - x, colour)]
        if 95 < index < 105:  # hidden
            people = people[:1]
        if index > 150:
            people.append((240, colour))
        told = watched.look(*people)
        assert numbers(told) == numbers(watched.without)


def test_colours_that_are_nearly_alike_change_nothing() -> None:
    """Fifty steps of 255 apart: neither another person nor surely the same."""
    watched = Watched()
    for index in range(60):
        x = 100 + 5 * index
        told = watched.look((float(x), (5, 5, 5)), (500.0 - x, (8, 8, 8)))
        assert numbers(told) == numbers(watched.without)


# ---- C and twin --------------------------------------------------------------------------------


def test_the_thumbnail_is_that_of_the_c_code() -> None:
    rng = np.random.default_rng(78)
    for data in (rng.bytes(32768), b"\xff" * 32768, bytes(32768)):
        assert c_thumbnail(data) == packed(thumbnail_rgb565(data))


def courses(seeds: range) -> list[Course]:
    return [random_course(seed, colour=True) for seed in seeds]


def test_random_tracks_with_colours() -> None:
    assert check(courses(range(100)), colour=True) > 300


@pytest.mark.long
@pytest.mark.parametrize("block", range(20))
def test_ten_thousand_random_tracks_with_colours(block: int) -> None:
    first = 1000 + 80 * block
    assert check(courses(range(first, first + 80)), colour=True) > 300
