"""The viewer's page: what was looked at elsewhere, and the integer student as its source."""

from __future__ import annotations

import contextlib
import time
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TextIO

import numpy as np
import numpy.typing as npt

from ai8x_models.preprocess import fit
from ai8x_models.skeleton import NUM_KEYPOINTS
from common.console import say
from evalkit.host.stream.feed import DONE, LIVE, WAITING, Feed, Listener
from evalkit.host.stream.pictures import Camera, Picture, shown
from evalkit.host.stream.player import Gate, Player
from evalkit.host.stream.shots import Shot, brightness
from evalkit.host.viewer.board import Board
from evalkit.host.viewer.server import Server
from evalkit.wire import protocol
from pose78.estimator import Model, Person
from pose78.sources import View

Pixels = npt.NDArray[np.uint8]


def shot_of(
    name: str, pixels: Pixels, people: Sequence[Person], size: int, number: int, micros: int = 0
) -> Shot:
    """A picture and its people as the viewer and recordings want them.

    Args:
        name: of the picture.
        pixels: uint8 [h, w, 3] RGB.
        people: in pixels of the picture.
        size: side of the network's input in pixels.
        number: of the picture, counted by the caller.
        micros: what the network took on this machine, microseconds; 0: not known.
    """
    scale = fit(pixels, size, size).scale
    inside = [protocol.Person(_inside(person.keypoints, scale), person.score) for person in people]
    payload = protocol.poses_payload(protocol.Poses(number & 0xFFFF, tuple(inside), 0, micros, 0))
    height, width = pixels.shape[:2]
    return Shot(time.monotonic(), name, width, height, scale, shown(pixels), payload)


def _inside(points: npt.NDArray[np.float32], scale: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Points [18, 3] in pixels of the network's input; missing ones stay 0, 0, 0."""
    result = points.astype(np.float64)
    result[:, :2] = (result[:, :2] + 0.5) * scale - 0.5
    result[result[:, 2] <= 0] = 0
    return result


class Page:
    """The viewer's page, fed with what is looked at.

    Attributes:
        gate: the page's pause; the work waits for it.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self.gate = Gate()
        self._number = 0

    def add(self, view: View, pixels: Pixels, people: Sequence[Person], size: int) -> None:
        """Show a picture, when the page lets it."""
        while not self.gate.open(0.2):
            pass
        self._number += 1
        self._board.status(LIVE, "looking")
        self._board.shot(shot_of(view.name, pixels, people, size, self._number))

    def ended(self) -> None:
        """Say that nothing more comes."""
        self._board.status(DONE, "all sources have ended")


@contextlib.contextmanager
def served(port: int, open_page: bool, told: TextIO | None = None) -> Iterator[Page]:
    """Serve the viewer's page while the block lasts; its address goes to ``told``.

    Raises:
        UserError: the port is in use.
    """
    board = Board()
    server = Server(board, port)
    server.start()
    say(f"viewer: {server.url}", told)
    if open_page:
        webbrowser.open(server.url)
    try:
        page = Page(board)
        server.connect(page.gate)
        yield page
    finally:
        server.stop()


class StudentFeed(Feed):
    """The integer student on this computer as a source of the viewer.

    Args:
        listener: who is told.
        model: the student.
        camera: what it looks at; None: what is dropped on the page.
        once: hold at the camera's end and say so, rather than begin again.
    """

    def __init__(
        self, listener: Listener, model: Model, camera: Camera | None, once: bool = False
    ) -> None:
        super().__init__(listener)
        self._model = model
        self._pictures = self.player = Player(camera, not once, log=listener.log)
        self._largest = 1
        self._empty = camera is None

    def _run(self) -> None:
        model = self._model
        hello = protocol.Hello(0, 0, (3, model.size, model.size), 1, model.name)
        self.listener.hello(hello, "the integer student on this computer")
        text = f"network {model.name} looks, on this computer"
        waits = "drop a picture or a video here, open one, or let the webcam in"
        self.listener.status(WAITING if self._empty else LIVE, waits if self._empty else text)
        number = 0
        while not self._stop.is_set():
            picture = self._pictures.next()
            if picture is None:
                continue
            number += 1
            self.listener.status(LIVE, text)
            self.listener.shot(self._look(picture, number))
        self.listener.status(DONE, "finished")

    def _look(self, picture: Picture, number: int) -> Shot:
        people = self._model.predict(picture.pixels)
        shot = shot_of(picture.name, picture.pixels, people, self._model.size, number)
        if not self.want_heat:
            return shot
        maps = self._model.maps(picture.pixels)
        heat = np.asarray(maps.heat[:NUM_KEYPOINTS], np.int32)
        self._largest = max(self._largest, int(heat.max()))
        return replace(shot, heat=brightness(heat, self._largest))
