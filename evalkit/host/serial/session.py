"""A conversation with a board over a link: who are you, look at this picture.

Questions are repeated when no answer comes, as docs/protocol.md asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai8x_models.skeleton import NUM_HEATMAPS, NUM_KEYPOINTS, NUM_PAFS
from common.errors import UserError
from evalkit.host.serial.links import Link, LinkLost
from evalkit.wire import pieces, protocol
from evalkit.wire.protocol import Frame

HELLO_SECONDS = 3.0
ANSWER_SECONDS = 3.0
TRIES = 3
_BITS_PER_BYTE = 10
_MAPS_BYTES = 4 * 57 * 32 * 32
"""Allowed for when the time for an answer is worked out."""
_MANY_STRANGE = 8
"""Bytes above 126 that are no text and no frame."""

NOT_FINISHED = 4
INCOMPLETE = 3


@dataclass(frozen=True, eq=False)
class Answer:
    """What the board saw in one picture.

    Attributes:
        payload: the poses frame's payload, as it came.
        poses: the same, decoded.
        maps: int32 [channels, rows, columns] of each output, empty when not asked for.
        payload3d: the poses3d frame's payload, empty when the firmware does not lift.
    """

    payload: bytes
    poses: protocol.Poses
    maps: list[NDArray[np.int32]]
    payload3d: bytes = b""


_BANNER = re.compile(rb"\*\*\* (.+) \*\*\*")
"""What a program says when it starts."""

_LOOKING_AT_NOTHING = ("known-answer test", "energy", "two networks")
"""Programs that are given no pictures."""


class Session:
    """One conversation.

    Args:
        link: an open link.
        log: called with sentences, and with text lines of the board.

    Attributes:
        hello: who answered; its payload is ``hello_payload``.
    """

    def __init__(self, link: Link, log: Callable[[str], None]) -> None:
        self.link = link
        self.hello: protocol.Hello | None = None
        self.hello_payload = b""
        self._log = log
        self._parser = protocol.Parser()
        self._waiting: list[Frame] = []
        self._sequence = 0
        self._line = b""
        self._strange = 0
        self._rejected = 0
        self._program = ""

    # ---- frames --------------------------------------------------------------------------------

    def next_frame(self, seconds: float) -> Frame | None:
        """The next frame, or None when none comes within ``seconds`` of the link's clock."""
        end = self.link.clock() + seconds
        while not self._waiting:
            left = end - self.link.clock()
            if left <= 0:
                return None
            self._take(self.link.read(min(left, 0.25)))
        return self._waiting.pop(0)

    def _take(self, data: bytes) -> None:
        self._waiting += self._parser.feed(data)
        if self._parser.rejected > self._rejected:
            count = self._parser.rejected - self._rejected
            self._rejected = self._parser.rejected
            self._log(f"{count} damaged frame{'s' if count > 1 else ''} thrown away")
        text, self._parser.text = bytes(self._parser.text), bytearray()
        *lines, self._line = (self._line + text).split(b"\n")
        self._line = self._line[-200:]
        for line in lines:
            clean = line.strip(b"\r")
            if clean and all(byte in range(32, 127) for byte in clean):
                self._log(f"board: {clean.decode('ascii')}")
                if (banner := _BANNER.fullmatch(clean)) is not None:
                    self._program = banner[1].decode("ascii")
        self._strange += sum(byte > 126 for byte in text)

    def send(self, *frames: Frame) -> None:
        """Send frames as they are."""
        self.link.write(b"".join(map(protocol.encode, frames)))
        self._sequence = (frames[-1].sequence + 1) & 0xFF

    # ---- who are you ---------------------------------------------------------------------------

    def meet(self) -> protocol.Hello:
        """Ask who is there.

        Raises:
            LinkLost: nobody answers, or not in frames; or the firmware is of another network.
        """
        for _ in range(TRIES):
            self.send(Frame(protocol.ASK, self._sequence, b""))
            end = self.link.clock() + HELLO_SECONDS
            while (left := end - self.link.clock()) > 0:
                frame = self.next_frame(left)
                if frame is not None and frame.type == protocol.HELLO:
                    return self.learn(frame)
        raise LinkLost(self._why_no_answer())

    def learn(self, frame: Frame) -> protocol.Hello:
        """Take a hello frame; LinkLost when its network is none that looks at pictures."""
        try:
            hello = protocol.parse_hello(frame.payload)
        except ValueError as error:
            raise LinkLost(f"{self.link.name} answers strangely: {error}") from None
        channels, rows, columns = hello.input_shape
        if channels != 3 or rows < 1 or columns < 1:
            raise LinkLost(
                f"{self.link.name} runs network {hello.network}, whose input is {channels} x "
                f"{rows} x {columns}; the viewer needs one that takes colour pictures (3 channels)"
            )
        self.hello, self.hello_payload = hello, frame.payload
        return hello

    def _why_no_answer(self) -> str:
        if self._strange >= _MANY_STRANGE and self.link.baud is not None:
            return (
                f"{self.link.name} sends bytes that make no sense at {self.link.baud} baud; "
                "give --baud the rate the firmware was built with"
            )
        return (
            f"{self.link.name} does not answer; flash the frame-injection firmware, press the "
            "board's reset button, and check that this is its port and its baud rate"
        )

    # ---- look at this --------------------------------------------------------------------------

    def look(self, pixels: NDArray[np.uint8], number: int, want_maps: bool) -> Answer:
        """Send a picture and wait for the answer.

        Args:
            pixels: uint8 [rows, columns, 3] of the network's input size.
            number: 0..65535.
            want_maps: ask for the maps as well.

        Raises:
            UserError: the picture has another size.
            LinkLost: no answer after three tries, the board refuses, or another firmware answers.
        """
        hello = self.hello or self.meet()
        _check_size(pixels, hello)
        for attempt in range(TRIES):
            frames = protocol.image_frames(pixels, number, self._sequence, want_maps)
            size = sum(len(frame.payload) for frame in frames)
            self.send(*frames)
            answer = self._wait(number, want_maps, size)
            if answer is not None:
                return answer
            if attempt < TRIES - 1:
                self._log(f"no answer to picture {number}; sending it again")
        raise LinkLost(f"{self.link.name} stopped answering; is the board still powered?")

    def _wait(self, number: int, want_maps: bool, size: int) -> Answer | None:
        """The answer; None when the picture should be sent again."""
        size += _MAPS_BYTES if want_maps else 0
        on_line = size * _BITS_PER_BYTE / (self.link.baud or 115200)
        end = self.link.clock() + ANSWER_SECONDS + on_line
        answer: Answer | None = None
        collector = pieces.MapCollector()
        lifted = b""
        while (left := end - self.link.clock()) > 0:
            frame = self.next_frame(left)
            if frame is None:
                return None
            if frame.type == protocol.HELLO:
                self._met_again(frame)
            if frame.type == protocol.ERROR and self._refused(frame, number):
                return None
            if frame.type == protocol.POSES and answer is None:
                answer = self._poses(frame, number)
            elif frame.type == protocol.POSES3D:
                lifted = _lifted(frame, number) or lifted
            elif frame.type == protocol.MAP:
                self._add_map(collector, frame)
                if answer is None and not want_maps:
                    raise LinkLost(self._no_poses())
            # Maps come behind the poses, or, from firmware that lifts, in front of them.
            maps = self._all_maps(collector) if want_maps else []
            if answer is not None and maps is not None:
                return Answer(answer.payload, answer.poses, maps, lifted)
        return None

    def _poses(self, frame: Frame, number: int) -> Answer | None:
        answer = read_answer(frame)
        # An answer to a picture sent before, which came too late.
        return answer if answer.poses.number == number else None

    def _add_map(self, collector: pieces.MapCollector, frame: Frame) -> None:
        try:
            collector.add(frame.payload)
        except ValueError as error:
            raise LinkLost(f"{self.link.name} sends maps that do not fit: {error}") from None

    def _all_maps(self, collector: pieces.MapCollector) -> list[NDArray[np.int32]] | None:
        """The maps of all outputs; None while some are missing."""
        try:
            maps = collector.maps()
        except ValueError:
            return None
        return maps if self.hello is not None and len(maps) == self.hello.outputs else None

    def _no_poses(self) -> str:
        name = self.hello.network if self.hello else "?"
        if self._program in _LOOKING_AT_NOTHING:
            return (
                f"{self.link.name} runs the program '{self._program}', which looks at no pictures; "
                "flash the frame-injection firmware (make injection)"
            )
        return (
            f"{self.link.name} answers with maps only: network {name} has no pose outputs; "
            "flash the firmware of a pose network"
        )

    def _met_again(self, frame: Frame) -> None:
        before = self.hello
        hello = self.learn(frame)
        if before is not None and hello != before:
            raise LinkLost(
                f"{self.link.name} now runs network {hello.network} "
                f"(checksum {hello.checksum:08x}) instead of {before.network}"
            )

    def _refused(self, frame: Frame, number: int) -> bool:
        """Whether an error is about this picture; UserError when sending it again is no use."""
        try:
            error = protocol.parse_error(frame.payload)
        except ValueError as wrong:
            raise LinkLost(f"{self.link.name} answers strangely: {wrong}") from None
        text = f"the board says: {error.text} (code {error.code})"
        if error.number not in (0, number):
            return False
        if error.code not in (INCOMPLETE, NOT_FINISHED):
            raise LinkLost(text)
        self._log(text)
        return True


def _check_size(pixels: NDArray[np.uint8], hello: protocol.Hello) -> None:
    channels, rows, columns = hello.input_shape
    if pixels.shape != (rows, columns, channels):
        got = " x ".join(map(str, pixels.shape))
        raise UserError(
            f"a picture of {got} does not fit network {hello.network}, which takes "
            f"{rows} x {columns} x {channels}; resize it"
        )


def read_answer(frame: Frame) -> Answer:
    """A poses frame; LinkLost in one sentence when it is none."""
    try:
        return Answer(frame.payload, protocol.parse_poses(frame.payload), [])
    except ValueError as error:
        raise LinkLost(f"the board's answer has another size than it should: {error}") from None


def _lifted(frame: Frame, number: int) -> bytes:
    """Payload of a poses3d frame, empty for another picture's; LinkLost when broken."""
    try:
        lifted = protocol.parse_poses3d(frame.payload)
    except ValueError as error:
        raise LinkLost(
            f"the board's 3D poses have another size than they should: {error}"
        ) from None
    return frame.payload if lifted.number == number else b""


def heatmaps(maps: list[NDArray[np.int32]]) -> NDArray[np.int32] | None:
    """The 18 keypoint maps among a network's outputs, int32 [18, rows, columns], or None.

    They are the first of the heatmap channels (keypoints, then the background), of an output of
    their own or in front of the part-affinity channels.
    """
    for output in maps:
        if output.shape[0] in (NUM_HEATMAPS, NUM_HEATMAPS + NUM_PAFS):
            return output[:NUM_KEYPOINTS]
    return None
