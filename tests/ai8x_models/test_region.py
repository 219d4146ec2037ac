"""Where the region chooser looks."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_models.follow.region import Chooser, RegionSettings
from ai8x_models.follow.tracker import Region, Told

SIDE = 480
SETTINGS = RegionSettings(SIDE)


def person(x: int, y: int, height: int, number: int = 1, missed: int = 0) -> Told:
    """Two points, head and feet; speed 0."""
    points = np.zeros((18, 3), np.int64)
    points[0] = (16 * x, 16 * y, 9000)
    points[10] = (16 * x, 16 * (y + height), 9000)
    return Told(number, missed, 16 * height, (0, 0), points)


def holds(region: Region, x: int, y: int, height: int) -> bool:
    inside = region.x <= x < region.x + region.side
    return inside and region.y <= y and y + height < region.y + region.side


def test_everywhere_while_nobody_is_known() -> None:
    """The whole picture twice, nine squares twice each, and again; somebody ends it."""
    chooser = Chooser(SETTINGS)
    looked = [chooser.next([], 35 * i) for i in range(40)]
    assert looked[:2] == looked[20:22] == [SETTINGS.whole] * 2
    squares = [Region(x, y, 240) for y in (0, 120, 240) for x in (0, 120, 240)]
    assert looked[2:20] == looked[22:40] == [square for square in squares for _ in range(2)]
    chooser.next([], 1400)
    chooser.next([person(200, 150, 120)], 1435)
    assert chooser.next([], 1470) == SETTINGS.whole


def test_a_person_is_looked_at_with_a_margin() -> None:
    chooser = Chooser(SETTINGS)
    chooser.next([], 0)
    region = chooser.next([person(200, 150, 120)], 35)
    assert region.side == 180 + 4  # one and a half times the height
    assert holds(region, 200, 150, 120)


def test_never_less_than_128_pixels() -> None:
    chooser = Chooser(SETTINGS)
    chooser.next([], 0)
    assert chooser.next([person(200, 150, 20)], 35).side == 128


def test_the_region_rests_while_people_are_well_inside() -> None:
    chooser = Chooser(SETTINGS)
    chooser.next([], 0)
    first = chooser.next([person(200, 150, 120)], 35)
    assert chooser.next([person(206, 146, 122)], 70) == first
    moved = chooser.next([person(300, 150, 120)], 105)
    assert moved != first
    assert holds(moved, 300, 150, 120)


def test_the_whole_picture_every_second_and_more_often_when_somebody_is_lost() -> None:
    for missed, most in ((0, 2), (200, 6)):
        chooser = Chooser(SETTINGS)
        chooser.next([], 0)
        regions = [
            chooser.next([person(200, 150, 120, missed=missed)], 35 * i) for i in range(1, 50)
        ]
        whole = [region == SETTINGS.whole for region in regions]
        assert 1 <= sum(whole) <= most
        assert sum(whole) == {0: 1, 200: 6}[missed]


def test_several_people_together_or_in_turn() -> None:
    people = [person(60, 100, 90, 3), person(420, 300, 90, 7)]
    together = Chooser(SETTINGS)
    together.next([], 0)
    assert together.next(people, 35).side == SIDE
    in_turn = Chooser(RegionSettings(SIDE, alternate=1))
    in_turn.next([], 0)
    first, second, third = (in_turn.next(people, 35 * i) for i in (1, 2, 3))
    assert holds(first, 60, 100, 90)
    assert holds(second, 420, 300, 90)
    assert first == third
    assert first.side == second.side == 136 + 4 * (136 % 4 != 0)


@pytest.mark.parametrize("place", [(-3000, -3000), (3000, 3000), (0, 479), (479, 0)])
def test_always_inside_the_picture(place: tuple[int, int]) -> None:
    for alternate in (0, 1):
        chooser = Chooser(RegionSettings(SIDE, refresh_ms=0, alternate=alternate))
        for height in (1, 100, 600):
            for x in (place[0], 240):
                region = chooser.next([person(x, place[1], height), person(100, 100, 50, 2)], 0)
                assert region.side >= 128
                assert 0 <= region.x <= SIDE - region.side
                assert 0 <= region.y <= SIDE - region.side
                assert region.x % 2 == region.y % 2 == region.side % 4 == 0


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="picture 2000"):
        RegionSettings(2000)
    with pytest.raises(ValueError, match="multiples of 4"):
        RegionSettings(322)
