"""The deployment path: any picture -> the signed bytes the chip is given.

Resize with the aspect ratio kept so that the picture fits a square, in the top-left corner; pad
at the right and at the bottom with grey 128; subtract 128.  Channels are red, green, blue.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from common import pictures
from common.arguments import Parser, to_file, whole
from common.console import command_line
from common.errors import UserError
from common.files import write_array
from common.incoming import Unfit, read_bytes

GREY = 128
MOST = 1024
"""Largest side of an input: the chip counts no more rows and columns than 1023 (and pads)."""

Real = TypeVar("Real", np.float32, np.float64)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A picture of the network's input size.

    Attributes:
        pixels: uint8 [rows, columns, 3], RGB, padded with grey.
        scale: (x, y) input pixels per picture pixel.
    """

    pixels: npt.NDArray[np.uint8]
    scale: tuple[float, float]

    def to_picture(self, points: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """``to_picture`` in single precision."""
        return to_picture(np.asarray(points, np.float32), self.scale)


@dataclass(frozen=True, eq=False)
class Prepared(Fitted):
    """A picture made ready for the network.

    Attributes:
        data: int8 [3, rows, columns], ``pixels - 128``, channels first.
    """

    data: npt.NDArray[np.int8]


def to_picture(points: npt.NDArray[Real], scale: tuple[float, float]) -> npt.NDArray[Real]:
    """Map keypoints [..., 3] from input pixels to pixels of the original picture, a copy.

    Pixel centres are at whole numbers.  Missing points (third value 0 or less) are 0, 0, 0.
    """
    out = np.array(points)
    out[..., :2] = (out[..., :2] + 0.5) / np.asarray(scale, dtype=out.dtype) - 0.5
    out[out[..., 2] <= 0] = 0
    return out


def read_picture(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read a picture file as uint8 [h, w, 3] RGB.

    Raises:
        UserError: the file is missing, unreadable or no picture.
    """
    path = Path(path)
    try:
        raw = read_bytes(path, pictures.MAX_BYTES)
        picture = pictures.decode(raw)
    except IsADirectoryError:
        raise UserError(
            f"picture {path} cannot be read: it is a folder; name one picture, or look at all of "
            "them with: pose78 predict"
        ) from None
    except FileNotFoundError:
        raise UserError(f"picture {path} does not exist; name a JPEG or PNG file") from None
    except OSError as error:
        raise UserError(f"picture {path} cannot be read: {error.strerror or error}") from None
    except Unfit as error:
        raise UserError(f"{path} is no picture that can be decoded: {error}") from None
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def fit(picture: npt.NDArray[np.uint8], rows: int, columns: int) -> Fitted:
    """Fit ``picture``, uint8 [h, w, 3] RGB, into the network's input.

    Shrinking averages over areas, enlarging interpolates linearly.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise ValueError(f"uint8 [h, w, 3] is expected, not {picture.dtype} {picture.shape}")
    height, width = picture.shape[:2]
    factor = min(rows / height, columns / width)
    new_width, new_height = max(1, round(width * factor)), max(1, round(height * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    pixels = np.full((rows, columns, 3), GREY, dtype=np.uint8)
    pixels[:new_height, :new_width] = cv2.resize(
        picture, (new_width, new_height), interpolation=how
    )
    return Fitted(pixels, (new_width / width, new_height / height))


def prepare(picture: npt.NDArray[np.uint8], size: int = 128) -> Prepared:
    """Fit ``picture``, uint8 [h, w, 3] RGB, into a square of ``size`` pixels, as signed bytes."""
    fitted = fit(picture, size, size)
    return Prepared(fitted.pixels, fitted.scale, to_bytes(fitted.pixels))


def to_bytes(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    """uint8 [h, w, 3] -> int8 [3, h, w], pixel - 128."""
    # Subtracting 128 from a byte is the same as flipping its top bit.
    return np.ascontiguousarray((pixels ^ 0x80).view(np.int8).transpose(2, 0, 1))


def to_grey(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8 [h, w, 3] RGB -> uint8 [h, w], with OpenCV's weights (those of ITU-R BT.601)."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def grey_bytes(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
    """uint8 [h, w, 3] RGB -> int8 [1, h, w], grey level - 128."""
    return np.ascontiguousarray((to_grey(pixels) ^ 0x80).view(np.int8)[None])


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: picture file -> ``.npy`` of int8 [3, size, size]."""
    parser = Parser(
        prog="python -m ai8x_models.preprocess",
        description="Turn a picture into the signed bytes that the chip is given.",
    )
    parser.add_argument("picture", type=Path, help="JPEG or PNG file")
    parser.add_argument("-o", "--output", type=to_file, required=True, help=".npy file to write")
    parser.add_argument("--size", type=whole(), default=128, help="side of the input (128)")
    options = parser.parse_args(arguments)
    if not 1 <= options.size <= MOST:
        raise UserError(f"--size is {options.size}; 1 to {MOST} pixels a side are possible")
    write_array(options.output, prepare(read_picture(options.picture), options.size).data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
