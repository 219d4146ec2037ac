"""A board that is no board: it speaks the protocol and sees what it is told to see."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import threading
import tty
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evalkit.host.serial.links import LinkLost
from evalkit.wire import protocol
from evalkit.wire.protocol import Frame, Parser, encode

CHECKSUM = 0x1234ABCD
Person = Sequence[tuple[float, float]]
"""x and y of the 18 keypoints, pixels of the network's input; (-1, -1) where there is none."""

STANDING: Person = (
    (64, 20), (64, 34), (52, 35), (46, 52), (42, 68), (76, 35), (82, 52), (86, 68), (56, 70),
    (54, 92), (52, 114), (72, 70), (74, 92), (76, 114), (61, 17), (67, 17), (57, 19), (71, 19),
)  # fmt: skip


def hello(
    network: str = "seed", shape: Sequence[int] = (3, 128, 128), checksum: int = CHECKSUM
) -> bytes:
    """Payload of a hello frame."""
    return struct.pack("<IIHHHH", 1 << 16, checksum, *shape, 2) + network.encode()


def poses(
    number: int, people: Sequence[Person], micros: Sequence[int] = (1900, 22900, 2500)
) -> bytes:
    """Payload of a poses frame."""
    payload = struct.pack("<HHIII", number, len(people), *micros)
    for person in people:
        found = sum(point[0] >= 0 for point in person)
        payload += struct.pack("<HH", 1 << 14, found)
        for x, y in person:
            value = 1 << 15 if x >= 0 else 0
            payload += struct.pack("<hhH", round(16 * max(x, 0)), round(16 * max(y, 0)), value)
    return payload


def poses3d(number: int, people: Sequence[np.ndarray], known: int = 0xFFFF) -> bytes:
    """Payload of a poses3d frame; of each person int [16, 3], millimetres."""
    payload = struct.pack("<HHI", number, len(people), 260)
    for index, joints in enumerate(people):
        payload += struct.pack("<HH", index, known) + joints.astype("<i2").tobytes()
    return payload


def maps(peaks: Sequence[tuple[int, int, int]]) -> list[bytes]:
    """Payloads of map frames: 19 channels of 16 x 16 with peaks at (channel, row, column)."""
    values = np.zeros((19, 16, 16), "<i4")
    for channel, row, column in peaks:
        values[channel, row, column] = 10_000
    return [
        struct.pack("<6HI", 0, channel, 19, 16, 16, 1, 0) + values[channel].tobytes()
        for channel in range(19)
    ] + [
        struct.pack("<6HI", 1, channel, 38, 16, 16, 1, 0) + bytes(4 * 256) for channel in range(38)
    ]


def picture_frames(number: int, scene: np.ndarray) -> list[Frame]:
    """A camera picture, uint8 [rows, columns, 3], row by row as RGB565."""
    rows, columns, _ = scene.shape
    red, green, blue = (scene[..., i].astype(np.uint16) for i in range(3))
    pixels = (red >> 3 << 11 | green >> 2 << 5 | blue >> 3).astype(">u2")
    return [
        Frame(
            protocol.PICTURE,
            0,
            struct.pack("<4HI", number, 0, rows, columns, 2 * columns * y) + pixels[y].tobytes(),
        )
        for y in range(rows)
    ]


@dataclass
class FakeBoard:
    """Answers to bytes with bytes.

    Attributes:
        ignore: how many pictures to leave unanswered.
        pictures: what was received, uint8 [rows, columns, 3].
        lifted: the people in 3D, int [16, 3] each; None: it does not lift.
        scene: what its own camera sees, uint8 [128, 128, 3]; None: it has none.
    """

    identity: bytes = field(default_factory=hello)
    people: Sequence[Person] = (STANDING,)
    peaks: Sequence[tuple[int, int, int]] = ((0, 2, 8),)
    ignore: int = 0
    answer: Callable[[int], list[Frame]] | None = None
    pictures: list[np.ndarray] = field(default_factory=list)
    scene: np.ndarray | None = None
    lifted: Sequence[np.ndarray] | None = None
    _parser: Parser = field(default_factory=Parser)
    _received: bytearray = field(default_factory=bytearray)
    _number: int = -1

    def feed(self, data: bytes) -> bytes:
        return b"".join(
            encode(answer) for frame in self._parser.feed(data) for answer in self._take(frame)
        )

    def _take(self, frame: Frame) -> list[Frame]:
        if frame.type == protocol.ASK:
            return [Frame(protocol.HELLO, 0, self.identity)]
        if self.scene is not None and frame.type == protocol.SHOW:
            return self._show(struct.unpack("<H", frame.payload)[0])
        assert frame.type == protocol.IMAGE
        number, flags, offset = struct.unpack_from("<HHI", frame.payload)
        if offset == 0 or number != self._number:
            self._received.clear()
            self._number = number
        if offset == len(self._received):
            self._received += frame.payload[8:]
        if not flags & protocol.IMAGE_LAST:
            return []
        if len(self._received) != 128 * 128 * 3:
            text = struct.pack("<HH", 3, number) + b"pieces of the picture are missing"
            return [Frame(protocol.ERROR, 0, text)]
        self.pictures.append(np.frombuffer(bytes(self._received), np.uint8).reshape(128, 128, 3))
        self._received.clear()
        if self.ignore:
            self.ignore -= 1
            return []
        if self.answer is not None:
            return self.answer(number)
        answers = [Frame(protocol.POSES, 0, poses(number, self.people))]
        if flags & protocol.IMAGE_WANT_MAPS:
            answers += [Frame(protocol.MAP, 0, payload) for payload in maps(self.peaks)]
        if self.lifted is not None:  # its poses come last
            answers.append(Frame(protocol.POSES3D, 0, poses3d(number, self.lifted)))
            answers.append(answers.pop(0))
        return answers

    def _show(self, step: int) -> list[Frame]:
        """The next picture of its own camera and what it sees there."""
        assert self.scene is not None
        self._number += 1
        pace = struct.pack("<HH6I", self._number, 0, 40_000, 34_000, 3_000, 22_900, 1_000, 2_500)
        return [
            *picture_frames(self._number, self.scene[::step, ::step]),
            Frame(protocol.POSES, 0, poses(self._number, self.people)),
            Frame(protocol.PACE, 0, pace),
        ]


class FakeLink:
    """A link to a fake board, with a clock that runs only while nothing comes."""

    baud: int | None = 115200

    def __init__(self, board: FakeBoard, greeting: bytes = b"", name: str = "fake") -> None:
        self.name = name
        self.board = board
        self.gone = False
        self._pending = greeting
        self._now = 0.0

    def read(self, seconds: float) -> bytes:
        self._check()
        data, self._pending = self._pending, b""
        if not data:
            self._now += seconds
        return data

    def write(self, data: bytes) -> None:
        self._check()
        self._pending += self.board.feed(data)

    def clock(self) -> float:
        return self._now

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        self.gone = True

    def _check(self) -> None:
        if self.gone:
            raise LinkLost(f"{self.name} went away; is the cable still plugged in?")


@contextlib.contextmanager
def plugged_in(board: FakeBoard, port: Path) -> Iterator[None]:
    """A pseudo terminal named ``port`` with the board behind it; leaving it pulls the plug."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    port.symlink_to(os.ttyname(theirs))
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            if not select.select([ours], [], [], 0.05)[0]:
                continue
            try:
                answer = board.feed(os.read(ours, 4096))
                while answer and not stop.is_set():
                    if select.select([], [ours], [], 0.05)[1]:
                        answer = answer[os.write(ours, answer[:512]) :]
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        port.unlink()
        thread.join(10)
        os.close(theirs)
        os.close(ours)
