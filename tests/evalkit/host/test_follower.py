"""Following people where the host sends the pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ai8x_models.follow.events import RULES
from common.errors import UserError
from evalkit.host.stream.feed import LiveFeed, Options
from evalkit.host.stream.follower import SIDE, Follower
from evalkit.host.stream.pictures import Picture
from evalkit.host.stream.shots import Shot
from evalkit.wire import protocol
from evalkit.wire.protocol import Frame
from tests.helpers.fake_board import STANDING, FakeBoard, FakeLink, Person, poses

HEIGHT = 100
COUNT = 40


class Walk:
    """Somebody, who is a white rectangle, walks across and out; 40 pictures."""

    name = "walk"

    def pictures(self, repeat: bool) -> Iterator[Picture]:
        for index in range(COUNT):
            pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
            x = 300 + 5 * index
            pixels[190 : 190 + HEIGHT, x : x + HEIGHT // 2] = 255
            yield Picture(f"walk #{index}", pixels)


class Listener:
    """Remembers."""

    def __init__(self) -> None:
        self.shots: list[Shot] = []
        self.lines: list[str] = []

    def status(self, state: str, text: str) -> None: ...
    def hello(self, hello: protocol.Hello, source: str) -> None: ...

    def shot(self, shot: Shot) -> None:
        self.shots.append(shot)

    def log(self, text: str) -> None:
        self.lines.append(text)


def person_in(pixels: np.ndarray) -> list[Person]:
    """Somebody who fills the rectangle, as a board would see them."""
    rows, columns = np.nonzero(pixels[..., 0] > 128)
    if not len(rows):
        return []
    at = np.array(STANDING, float)
    low, high = at.min(axis=0), at.max(axis=0)
    size = np.array([np.ptp(columns), np.ptp(rows)])
    placed = (at - low) / (high - low) * size + (columns.min(), rows.min())
    return [[(float(x), float(y)) for x, y in placed]]


def watched() -> tuple[FakeBoard, Listener]:
    board = FakeBoard()
    board.answer = lambda number: [
        Frame(protocol.POSES, 0, poses(number, person_in(board.pictures[-1])))
    ]
    listener = Listener()
    feed = LiveFeed(listener, lambda: FakeLink(board), Options(Walk(), count=COUNT, follow=True))
    feed.start()
    feed.wait()
    feed.check()
    return board, listener


def test_somebody_is_looked_at_more_closely_until_they_leave() -> None:
    board, listener = watched()
    tracks = [shot.tracks for shot in listener.shots]
    assert len(tracks) == len(board.pictures) == COUNT
    seen = [int((picture[..., 0] > 128).any(axis=1).sum()) for picture in board.pictures]
    assert max(seen) > 2.5 * seen[0]  # rows that the person takes
    for index, told in enumerate(tracks):
        assert told is not None
        x, y, side = told.region
        assert 128 <= side <= SIDE - max(x, y)
        if 2 <= index <= 25:
            (somebody,) = told.people
            assert somebody.number == 1
            left, top = 300 + 5 * index, 190
            low, high = (getattr(somebody.points[:, :2], which)(axis=0) for which in ("min", "max"))
            assert np.abs(low - (left, top)).max() < 16
            assert np.abs(high - (left + HEIGHT // 2, top + HEIGHT)).max() < 16
    assert f"{RULES[0].name}: 1" in listener.lines


def test_a_network_that_cannot_follow() -> None:
    with pytest.raises(UserError, match="leave --follow out"):
        Follower(64)
    with pytest.raises(UserError, match="leave --colour out"):
        Follower(96, colour=True)
