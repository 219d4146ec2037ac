"""Pictures of other people, whose size is known before they are decoded."""

from __future__ import annotations

import io
import os
import struct
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from common.incoming import Unfit
from common.texts import utf8

MAX_PIXELS = 50_000_000
"""A picture of 8,192 x 6,144 decodes to 150 MB; no network here reads more than 256 x 256."""

MAX_BYTES = 256 * 1024 * 1024

SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".jp2"),
)
"""What the names of pictures in a folder end in, in small letters."""

VIDEO_SUFFIXES = (".mp4", ".m4v", ".avi", ".mov", ".mkv", ".webm")

_MANY = (".gif", ".png", ".tif", ".tiff", ".webp")
"""Suffixes of files that may hold several pictures."""

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM", "JPEG2000")

_PNG = b"\x89PNG\r\n\x1a\n"

_TOO_LARGE = f"it has more than {MAX_PIXELS // 1_000_000} million pixels; make it smaller"

_ESTIMATED = (".mkv", ".webm")
"""Videos that say how long they are, not of how many pictures: a tenth less is no damage."""

_EDITED = (".mp4", ".m4v", ".mov")
"""Videos that can hold more pictures than they show."""

# What is wrong with a file is said in a sentence of ours, without lines of libraries between;
# FFmpeg looks at this when the first video is opened.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

warnings.simplefilter("error", Image.DecompressionBombWarning)  # caught below, not printed


def size_of(content: bytes) -> tuple[int, int]:
    """Return columns and rows that the header of a picture file states, without decoding it.

    Raises:
        Unfit: no picture of a format that is read.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            return picture.size
    except UnidentifiedImageError:
        raise Unfit("it is none of the formats that are read; convert it to JPEG or PNG") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Unfit(_TOO_LARGE) from None
    except Exception as error:  # a damaged header raises almost anything
        raise Unfit(f"its header is damaged ({type(error).__name__})") from None


def size_in(path: Path) -> tuple[int, int] | None:
    """Return columns and rows as stored, of which only a file's header is read; None of no picture.

    Orientation tags are not obeyed.
    """
    try:
        with Image.open(path, formats=FORMATS) as picture:
            return picture.size
    except Exception:  # a missing file, a damaged header: whoever decodes it says what is wrong
        return None


def decode(content: bytes, flags: int = cv2.IMREAD_COLOR) -> np.ndarray[Any, Any]:
    """Decode a picture file to uint8 [rows, columns, 3], BGR, or as ``flags`` of OpenCV say.

    What shows through in a transparent picture is white, as on most pages: the colours that stand
    there are seen by nobody.

    Raises:
        Unfit: no picture, a damaged one, or one of more than ``MAX_PIXELS``.
    """
    columns, rows = size_of(content)
    if columns * rows > MAX_PIXELS:
        raise Unfit(_TOO_LARGE)
    if content.startswith(_PNG):
        _check_chunks(content)
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        picture = None
    if picture is None:
        raise Unfit("it cannot be decoded; convert it to JPEG or PNG")
    if picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8:
        return _over_white(content, picture, not flags & cv2.IMREAD_IGNORE_ORIENTATION)
    return picture


def _over_white(
    content: bytes, picture: np.ndarray[Any, Any], upright: bool
) -> np.ndarray[Any, Any]:
    """A decoded picture; on white, in the same size, where its file says that it is transparent.

    Raises:
        Unfit: it is damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            if not opened.mode.lower().endswith("a") and "transparency" not in opened.info:
                return picture
            turned = ImageOps.exif_transpose(opened) if upright else opened
            seen = turned.convert("RGBA")
            if seen.getchannel("A").getextrema() == (255, 255):
                return picture
            paper = Image.new("RGB", seen.size, "white")
            paper.paste(seen, mask=seen)
    except Exception:  # damaged files raise almost anything
        raise Unfit("it cannot be decoded; convert it to JPEG or PNG") from None
    white = cv2.cvtColor(np.asarray(paper), cv2.COLOR_RGB2BGR)
    if white.shape != picture.shape:  # it is decoded smaller
        return cv2.resize(white, picture.shape[1::-1], interpolation=cv2.INTER_AREA)
    return white


def pictures_in(path: Path) -> int:
    """How many pictures a file of pictures holds, pages or steps of an animation; 1 if unknown."""
    if path.suffix.lower() not in _MANY:
        return 1
    try:
        with Image.open(path, formats=FORMATS) as picture:
            return int(getattr(picture, "n_frames", 1))
    except Exception:  # whoever decodes it says what is wrong
        return 1


def _check_chunks(content: bytes) -> None:
    """Look at the lengths that parts of a PNG file state: memory is taken before they are read.

    Raises:
        Unfit: a part is longer than the file.
    """
    at = len(_PNG)
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        at += 12 + length  # length and kind in front, a checksum behind
        if at > len(content) and kind != b"IEND":
            raise Unfit("it is cut off, or damaged")


def open_video(path: str) -> cv2.VideoCapture:
    """Open a video; one that cannot be read, or has larger pictures, is not opened.

    ``isOpened`` of the result says which. Neither is a pipe, which may never begin, nor a file with
    a name that is no UTF-8, at which OpenCV crashes.
    """
    if not Path(path).is_file() or utf8(path) != path:
        return cv2.VideoCapture()
    # Others that OpenCV would try behind FFmpeg read no more, and print lines.
    known = cv2.CAP_FFMPEG in cv2.videoio_registry.getBackends()
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG if known else cv2.CAP_ANY)
    sides = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if sides[0] * sides[1] > MAX_PIXELS:
        capture.release()
    return capture


def early_end(path: str, capture: cv2.VideoCapture, frames: int) -> str | None:
    """What is wrong with a video of which ``frames`` pictures were read, None where it is whole."""
    stated = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    spare = 1 + stated // 10 if Path(path).suffix.lower() in _ESTIMATED else 0
    if frames + spare >= stated:
        return None
    why = "it is cut off, or damaged"
    if Path(path).suffix.lower() in _EDITED:
        why += ", or its edit list leaves pictures out (then convert it: ffmpeg -i IN OUT.mp4)"
    return f"ends after {frames} of {stated} pictures: {why}"
