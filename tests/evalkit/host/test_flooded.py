"""A board that sends without end: the session ends in time, and keeps up."""

from __future__ import annotations

import time

import numpy as np
import pytest

from evalkit.host.serial.links import LinkLost
from evalkit.host.serial.session import Session
from evalkit.wire import protocol
from evalkit.wire.protocol import Frame, encode
from tests.helpers.fake_board import FakeBoard, FakeLink, hello, poses

PIECE = 4096
RATE = 92_160
"""Bytes a second that a line of 921,600 baud brings."""

FLOODS = {
    "one line": b"x" * PIECE,
    "many lines": b"hello\n" * (PIECE // 6),
    "beginnings of frames": encode(Frame(protocol.HELLO, 0, hello()))[:6] * (PIECE // 6),
    "frames of nobody": encode(Frame(200, 0, b"abc")) * (PIECE // 14),
    "late answers": encode(Frame(protocol.POSES, 0, poses(77, ()))) * (PIECE // 28),
    "damaged frames": encode(Frame(protocol.POSES, 0, bytes(60)))[:-1] * (PIECE // 70),
    "noise": np.random.default_rng(1).integers(0, 256, PIECE, np.uint8).tobytes(),
}


class Flooded(FakeLink):
    """A link on which something comes all the time."""

    def __init__(self, flood: bytes) -> None:
        super().__init__(FakeBoard(), name="flood")
        self.flood = flood

    def read(self, seconds: float) -> bytes:
        self._now += len(self.flood) / RATE
        return self.flood

    def write(self, data: bytes) -> None:
        """Nobody listens."""


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_ends_in_a_sentence(kind: str) -> None:
    link = Flooded(FLOODS[kind])
    lines: list[str] = []
    session = Session(link, lambda line: lines.append(line[:0]))
    session.hello = protocol.parse_hello(hello())
    begin = time.process_time()
    with pytest.raises(LinkLost, match="stopped answering"):
        session.look(np.zeros((128, 128, 3), np.uint8), 1, want_maps=False)
    assert time.process_time() - begin < link.clock(), "it cannot keep up with the line"
    with pytest.raises(LinkLost, match=r"does not answer|make no sense"):
        Session(link, lines.append).meet()
