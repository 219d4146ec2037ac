"""What the camera of the virtual board sees: photographs, a video, or arrays.

    camera = Camera(Path("photos/"), frames=100)
    kit = Kit("firmware.elf", camera=camera)
    kit.run_until(lambda: camera.over and ...)
    camera.sent[0].data  # the bytes that were on the wires

**How a picture becomes a frame.** The sensor's registers say how many rows and columns it puts out
and which part of its 640 x 480 array they come from. With ``fit="crop"`` (what a lens does) the
largest part in the middle of the picture that has the aspect ratio of that part is taken; with
``fit="pad"`` the whole picture is put into the top left corner and the rest is grey 128, as the
deployment path does it for photographs. Either is scaled to the rows and columns of the output in
one step: by the mean of the area when it shrinks, linearly when it grows (OpenCV's ``INTER_AREA``
and ``INTER_LINEAR``). Flips and the pixel format follow (``evalkit.hardware.around.ov7692``). Every
frame that is captured takes the next picture.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from ai8x_models.preprocess import fit
from common.errors import UserError
from evalkit.hardware.around.ov7692 import FITS, SensorFrame
from evalkit.host.stream.pictures import Photographs, Picture, Pixels, Video, open_camera

KEPT = 1024
"""Frames that ``sent`` remembers."""


class Camera:
    """A source of pictures for the sensor of the virtual board.

    Args:
        pictures: folder of photographs, photograph or video; or pictures; or arrays uint8
            [height, width, 3] RGB.
        frames: as many frames are sent, then none; None: no limit.
        repeat: from the beginning again when all pictures have been sent; else none after that.
        fit: ``crop`` or ``pad``.

    Attributes:
        sent: the last ``KEPT`` frames that the sensor has sent.
        count: how many it has sent in all.

    Raises:
        UserError: the path is missing, has no pictures, or one that cannot be decoded (that one
            when its turn comes).
    """

    def __init__(
        self,
        pictures: str | Path | Iterable[Picture | Pixels],
        frames: int | None = None,
        repeat: bool = True,
        fit: str = "crop",
    ) -> None:
        if frames is not None and frames < 1:
            raise UserError(f"--frames {frames} makes no sense; ask for 1 or more, or leave it out")
        if fit not in FITS:
            raise UserError(f"pictures are fitted by {' or '.join(FITS)}, not by {fit!r}")
        self.sent: deque[SensorFrame] = deque(maxlen=KEPT)
        self.count = 0
        self._left = frames
        self._fit = fit
        self._coming = _open(pictures, repeat)
        self._ahead: Picture | None = next(self._coming, None)
        if self._ahead is None:
            raise UserError("the camera was given no pictures")

    @property
    def over(self) -> bool:
        """No further frame will come."""
        return not self.has_next()

    def has_next(self) -> bool:
        """Whether another picture will come."""
        return self._ahead is not None and self._left != 0

    def next_picture(self, rows: int, columns: int, aspect: float) -> tuple[str, Pixels] | None:
        """Name and uint8 [rows, columns, 3] of the next picture; None when they are over."""
        picture = self._ahead
        if picture is None or self._left == 0:
            return None
        if self._left is not None:
            self._left -= 1
        # The next one is decoded now, so that a broken file is found before a frame begins.
        self._ahead = next(self._coming, None) if self._left != 0 else picture
        return picture.name, frame_pixels(picture.pixels, rows, columns, aspect, self._fit)

    def record(self, frame: SensorFrame) -> None:
        """Remember what the sensor sent."""
        self.sent.append(frame)
        self.count += 1


def _open(pictures: str | Path | Iterable[Picture | Pixels], repeat: bool) -> Iterator[Picture]:
    if isinstance(pictures, (str, Path)):
        source: Photographs | Video = open_camera(Path(pictures))  # type: ignore[assignment]
        return source.pictures(repeat)
    named = [
        p if isinstance(p, Picture) else Picture(f"picture {i}", np.asarray(p, np.uint8))
        for i, p in enumerate(pictures)
    ]
    return itertools.cycle(named) if repeat else iter(named)


def frame_pixels(picture: Pixels, rows: int, columns: int, aspect: float, how: str) -> Pixels:
    """The sensor's view of a picture before flips and packing.

    Args:
        picture: uint8 [height, width, 3].
        rows, columns: of the frame.
        aspect: width by height of the part of the array.
        how: ``crop`` or ``pad``; see the module.

    Returns:
        uint8 [rows, columns, 3].
    """
    if how == "pad":
        return fit(picture, rows, columns).pixels
    height, width = picture.shape[:2]
    used_width = min(width, max(1, round(height * aspect)))
    used_height = min(height, max(1, round(width / aspect)))
    top, left = (height - used_height) // 2, (width - used_width) // 2
    part = picture[top : top + used_height, left : left + used_width]
    shrinks = used_width >= columns and used_height >= rows
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (columns, rows), interpolation=method), np.uint8)
