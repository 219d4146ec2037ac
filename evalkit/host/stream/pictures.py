"""Pictures for a board: a folder of photographs or a video, fitted to the network's input.

The fitting is that of the deployment path (``ai8x_models.preprocess``).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from common import pictures as incoming
from common.console import note
from common.errors import UserError
from common.incoming import Unfit, read_bytes
from common.texts import one_line, utf8

_SHOWN_SIDE = 640
_SHOWN_QUALITY = 88

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of a camera.

    Attributes:
        name: file name, or frame of the video.
        pixels: uint8 [rows, columns, 3], RGB.
    """

    name: str
    pixels: Pixels


class Camera(Protocol):
    """Where pictures come from."""

    name: str

    def pictures(self, repeat: bool) -> Iterator[Picture]:
        """One after the other; from the beginning again when ``repeat``."""


class Photographs:
    """All photographs of a folder, by name, or a single one.

    Raises:
        UserError: there is no such folder or no photograph in it.
    """

    def __init__(self, path: Path) -> None:
        self.name = utf8(path.name)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        self.files = [file for file in files if file.suffix.lower() in incoming.SUFFIXES]
        if not self.files:
            raise UserError(f"{path} has no photographs ({', '.join(incoming.SUFFIXES)})")

    def pictures(self, repeat: bool, first: int = 0) -> Iterator[Picture]:
        """See :class:`Camera`; a file that cannot be read is a UserError.

        ``first`` is the number of the file to begin with.
        """
        count = len(self.files)
        for number in itertools.count(first) if repeat else range(first, count):
            file = self.files[number % count]
            yield Picture(utf8(file.name), read_photograph(file))


class Video:
    """The frames of a video file; one that ends before its end is named on the console, once.

    Raises:
        UserError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.name = utf8(path.name)
        self._path, self._told = path, False
        if not incoming.open_video(str(path)).isOpened():
            raise UserError(f"{path} is no video that can be decoded; convert it to MP4 (H.264)")

    def pictures(self, repeat: bool) -> Iterator[Picture]:
        """See :class:`Camera`."""
        while True:
            capture = incoming.open_video(str(self._path))
            for number in itertools.count():
                good, frame = capture.read()
                if not good:
                    break
                yield Picture(f"{self.name} #{number}", _rgb(frame))
            if number == 0:
                raise UserError(f"{self._path} has no picture in it")
            wrong = incoming.early_end(str(self._path), capture, number)
            if wrong and not self._told:
                self._told = True
                note(one_line(f"{self._path} {wrong}"))
            if not repeat:
                return


def open_camera(path: Path) -> Camera:
    """A folder of photographs, one photograph, or a video.

    Raises:
        UserError: it is none of these.
    """
    if not path.exists():
        raise UserError(f"camera {path} does not exist; name a folder of photographs or a video")
    if path.is_file() and path.suffix.lower() in incoming.VIDEO_SUFFIXES:
        return Video(path)
    return Photographs(path)


def decoded(name: str, data: bytes) -> Picture:
    """A picture out of the bytes of its file.

    Raises:
        UserError: they are none.
    """
    try:
        return Picture(name, _rgb(incoming.decode(data)))
    except Unfit as error:
        raise UserError(
            f"{name} is no picture that can be decoded: {error}; drop a JPEG or PNG"
        ) from None


def read_photograph(path: Path) -> Pixels:
    """uint8 [rows, columns, 3], RGB; UserError when it cannot be read."""
    try:
        return _rgb(incoming.decode(read_bytes(path, incoming.MAX_BYTES)))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except Unfit as error:
        raise UserError(
            f"{path} is no picture that can be decoded: {error}, or take it out of the folder"
        ) from None


def _rgb(picture: NDArray[Any]) -> Pixels:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def shown(picture: Pixels, side: int = _SHOWN_SIDE) -> bytes:
    """JPEG to look at, at most ``side`` pixels wide or high."""
    factor = min(1.0, side / max(picture.shape[:2]))
    small = picture
    if factor < 1:
        size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
        small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    good, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _SHOWN_QUALITY])
    if not good:
        raise ValueError("a picture could not be encoded")
    return data.tobytes()
