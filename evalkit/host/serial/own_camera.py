"""Brings the frames of a board with a camera of its own together: skeletons and their picture."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalkit.wire import pieces, protocol
from evalkit.wire.protocol import Frame

PATIENCE_SECONDS = 3.0
"""A picture that was asked for and did not come by then is asked for again."""
_KEPT = 8


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture of the board's camera.

    Attributes:
        payload: the poses frame's payload.
        pixels: uint8 [rows, columns, 3], or None when no pictures are asked for.
        tracks: the tracks frame's payload; empty when the board does not follow people.
    """

    payload: bytes
    pixels: NDArray[np.uint8] | None
    tracks: bytes = b""


class OwnCamera:
    """What has come so far.

    Args:
        step: ask for every ``step``-th pixel each way; 0: skeletons only.

    Attributes:
        pace: times of the latest picture, None before the first.
    """

    def __init__(self, step: int) -> None:
        self.pace: protocol.Pace | None = None
        self._step = step
        self._asked = -PATIENCE_SECONDS
        self._collector = pieces.PictureCollector()
        self._poses: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self._tracks: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self._told = -1
        self._picture: tuple[int, NDArray[np.uint8]] | None = None

    def request(self, now: float) -> Frame | None:
        """The frame to send now, if any; ``now`` in seconds by any clock that does not jump."""
        if not self._step or now - self._asked < PATIENCE_SECONDS:
            return None
        self._asked = now
        return protocol.show_frame(self._step)

    def take(self, frame: Frame) -> Seen | None:
        """Take a frame; what has become complete by it.

        Raises:
            ValueError: its payload makes no sense.
        """
        if frame.type == protocol.PACE:
            self.pace = protocol.parse_pace(frame.payload)
        elif frame.type == protocol.POSES:
            protocol.parse_poses(frame.payload)
            self._poses.append((_number(frame.payload), frame.payload))
            return self._match()
        elif frame.type == protocol.TRACKS:
            protocol.parse_tracks(frame.payload)
            self._tracks.append((_number(frame.payload), frame.payload))
            return self._match()
        elif frame.type == protocol.PICTURE:
            whole = self._collector.add(frame.payload)
            if whole is not None:
                self._picture = whole
                self._asked = -PATIENCE_SECONDS  # the next one, please
                return self._match()
        return None

    def _match(self) -> Seen | None:
        """Picture, poses and, from a board that follows people, tracks with the same number."""
        if not self._poses or (self._step and self._picture is None):
            return None
        number, pixels = self._picture or (self._poses[-1][0], None)
        payload = dict(self._poses).get(number)
        tracks = dict(self._tracks).get(number, b"")
        if payload is None or number == self._told or (self._tracks and not tracks):
            return None
        self._picture = None
        self._told = number
        return Seen(payload, pixels, tracks)


def _number(payload: bytes) -> int:
    """Of the picture that a frame is about."""
    return int(struct.unpack_from("<H", payload)[0])


def enlarged(pixels: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """A picture of which every n-th pixel came, at its full size, uint8 [rows, columns, 3]."""
    row = np.arange(rows) * pixels.shape[0] // rows
    column = np.arange(columns) * pixels.shape[1] // columns
    return pixels[row][:, column]
