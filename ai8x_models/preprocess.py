"""The deployment path: any picture -> the signed bytes the chip is given.

Resize with the aspect ratio kept so that the picture fits a square, in the top-left corner; pad
at the right and at the bottom with grey 128; subtract 128.  Channels are red, green, blue.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from common.console import command_line
from common.errors import UserError
from common.files import write_array

GREY = 128


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture made ready for the network.

    Attributes:
        pixels: uint8 [size, size, 3], RGB, padded with grey.
        data: int8 [3, size, size], ``pixels - 128``, channels first.
        scale: (x, y) input pixels per picture pixel.
    """

    pixels: npt.NDArray[np.uint8]
    data: npt.NDArray[np.int8]
    scale: tuple[float, float]

    def to_picture(self, points: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Map keypoints [..., 3] from input pixels to pixels of the original picture.

        Pixel centres are at whole numbers.  Missing points (third value 0 or less) stay 0, 0, 0.
        """
        out = np.array(points, dtype=np.float32)
        out[..., :2] = (out[..., :2] + 0.5) / np.asarray(self.scale, dtype=np.float32) - 0.5
        out[out[..., 2] <= 0] = 0
        return out


def read_picture(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read a picture file as uint8 [h, w, 3] RGB.

    Raises:
        UserError: the file is missing, unreadable or no picture.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"picture {path} does not exist; name a JPEG or PNG file") from None
    except OSError as error:
        raise UserError(f"picture {path} cannot be read: {error.strerror or error}") from None
    picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) if raw else None
    if picture is None:
        raise UserError(f"{path} is no picture that can be decoded; convert it to JPEG or PNG")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def prepare(picture: npt.NDArray[np.uint8], size: int = 128) -> Prepared:
    """Fit ``picture``, uint8 [h, w, 3] RGB, into a square of ``size`` pixels.

    Shrinking averages over areas, enlarging interpolates linearly.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise ValueError(f"uint8 [h, w, 3] is expected, not {picture.dtype} {picture.shape}")
    height, width = picture.shape[:2]
    factor = size / max(height, width)
    new_width, new_height = max(1, round(width * factor)), max(1, round(height * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    pixels = np.full((size, size, 3), GREY, dtype=np.uint8)
    pixels[:new_height, :new_width] = cv2.resize(
        picture, (new_width, new_height), interpolation=how
    )
    return Prepared(pixels, to_bytes(pixels), (new_width / width, new_height / height))


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
    parser = argparse.ArgumentParser(
        prog="python -m ai8x_models.preprocess",
        description="Turn a picture into the signed bytes that the chip is given.",
    )
    parser.add_argument("picture", type=Path, help="JPEG or PNG file")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".npy file to write")
    parser.add_argument("--size", type=int, default=128, help="side of the input (128)")
    options = parser.parse_args(arguments)
    write_array(options.output, prepare(read_picture(options.picture), options.size).data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
