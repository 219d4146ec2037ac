"""What the viewer shows and a recording holds: pictures with the board's answers to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai8x_models.preprocess import to_picture
from evalkit.wire import protocol


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture and what the board saw in it.

    Attributes:
        seconds: when the answer came, since the source was opened.
        name: of the picture.
        width, height: of the picture, pixels.
        scale: (x, y) pixels of the network's input per pixel of the picture.
        jpeg: the picture to look at, at most 640 pixels wide or high; empty when the board has
            its own camera and sends none.
        payload: the poses frame's payload, as it came.
        heat: uint8 [18, rows, columns] when asked for, 255 is the largest value; else None.
        payload3d: the poses3d frame's payload, empty when the firmware does not lift.
        followed: the tracks frame's payload, empty when the firmware does not follow people;
            recordings do not hold it.
    """

    seconds: float
    name: str
    width: int
    height: int
    scale: tuple[float, float]
    jpeg: bytes
    payload: bytes
    heat: NDArray[np.uint8] | None = None
    payload3d: bytes = b""
    followed: bytes = b""

    @property
    def poses(self) -> protocol.Poses:
        """The board's answer; ValueError when the payload is none."""
        return protocol.parse_poses(self.payload)

    @property
    def poses3d(self) -> protocol.Poses3D | None:
        """The same people in 3D, if the board lifts; ValueError when the payload is none."""
        return protocol.parse_poses3d(self.payload3d) if self.payload3d else None

    @property
    def tracks(self) -> protocol.Tracks | None:
        """Who is followed and where the board looked; ValueError when the payload is none."""
        return protocol.parse_tracks(self.followed) if self.followed else None

    def people(self) -> list[tuple[NDArray[np.float64], float]]:
        """Points float64 [18, 3] in pixels of the picture (missing: 0, 0, 0) and score, of each."""
        return [(to_picture(p.points, self.scale), p.score) for p in self.poses.people]


def brightness(heat: NDArray[np.int32], largest: int) -> NDArray[np.uint8]:
    """Maps int32 as brightness: 0 and below are 0, ``largest`` is 255."""
    return np.asarray(np.clip(heat / max(largest, 1), 0, 1) * 255, np.uint8)


def heat_bytes(shot: Shot) -> tuple[list[int], bytes] | None:
    """Shape and bytes of a shot's heatmaps, row by row."""
    if shot.heat is None:
        return None
    return list(shot.heat.shape), np.ascontiguousarray(shot.heat).tobytes()
