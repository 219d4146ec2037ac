"""The viewer with a feed of a test's own, and what it may look at."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ai8x_models.preprocess import fit
from evalkit.host.stream.feed import Feed
from evalkit.host.stream.pictures import shown
from evalkit.host.stream.recording import Recorder
from evalkit.host.stream.shots import Shot
from evalkit.host.viewer.board import Board
from evalkit.host.viewer.server import Server
from tests.helpers.fake_board import STANDING, FakeBoard, FakeLink, hello, poses

WIDTH, HEIGHT = 320, 240
BACKGROUND = (40, 90, 140)
PERSON = tuple((x, 0.75 * y) for x, y in STANDING)
"""Inside the known picture: 128 x 96 pixels of the network's input."""
SHOWN = "document.body.classList.contains('seen')"


def known_picture() -> np.ndarray:
    """Plain, with a mark in each corner, uint8 [HEIGHT, WIDTH, 3]."""
    picture = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)
    for rows in (slice(0, 24), slice(-24, None)):
        for columns in (slice(0, 24), slice(-24, None)):
            picture[rows, columns] = (230, 230, 230)
    return picture


class Viewer:
    """Board, feed and server of one test."""

    def __init__(self, make: Callable[[Board], Feed], port: int = 0) -> None:
        self.board = Board()
        self.feed = make(self.board)
        self.server = Server(self.board, port)
        self.server.connect(
            self.feed.player, lambda wanted: setattr(self.feed, "want_heat", wanted)
        )
        self.server.start()
        self.feed.start()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.stop()
        self.server.stop()


def paced(board: FakeBoard, seconds: float = 0.05) -> FakeLink:
    """A link whose answers take a moment, as a board's do."""
    link = FakeLink(board)
    write, wait = link.write, threading.Event()

    def slow(data: bytes) -> None:
        wait.wait(seconds)
        write(data)

    link.write = slow  # type: ignore[method-assign]
    return link


def recording(path: Path, people: tuple[object, ...] = (PERSON,), heat: bool = False) -> Path:
    """A recording of the known picture."""
    recorder = Recorder(path)
    recorder.hello(hello())
    picture = known_picture()
    maps = None
    if heat:
        maps = np.zeros((18, 16, 16), np.uint8)
        maps[0, 2, 8] = 255
    scale = fit(picture, 128, 128).scale
    payload = poses(7, people)  # type: ignore[arg-type]
    recorder.shot(Shot(0.0, "known.png", WIDTH, HEIGHT, scale, shown(picture), payload, maps))
    recorder.close()
    return path
