"""Tracker and region chooser in C against their Python twins, bit for bit."""

from __future__ import annotations

import pytest

from tests.helpers.track_cases import check, random_course


def test_three_hundred_random_tracks() -> None:
    assert check([random_course(seed) for seed in range(100)]) > 300


@pytest.mark.long
@pytest.mark.parametrize("block", range(20))
def test_ten_thousand_random_tracks(block: int) -> None:
    assert check([random_course(1000 + 80 * block + i) for i in range(80)]) > 300
