"""A region of a picture averaged to the network's size: the twin of ``track/crop.c``.

The header there says which pixels are averaged.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ai8x_models.follow.fixed import Integers
from ai8x_models.follow.tracker import Region

MOST_OUTPUT, MOST_TIMES = 128, 5


def _chosen_lines(side: int, output: int, ends: Integers) -> list[list[int]]:
    """Lines of the region that each output row is the mean of."""
    rows, begin = [], 0
    every = 1 if 2 * side < 5 * output else 2
    for end in map(int, ends):
        lines = [line for line in range(begin, end) if line % every == 0]
        rows.append(lines or [end - 1])
        begin = end
    return rows


def crop(pixels: npt.NDArray[np.integer], region: Region, output: int) -> npt.NDArray[np.integer]:
    """The mean of the region's pixels for each pixel of the output.

    Args:
        pixels: [side, side, channels] of the camera picture, any unsigned range up to 8 bits.
        region: inside the picture; ``output`` to ``MOST_TIMES * output`` pixels a side.
        output: pixels a side.

    Returns:
        the same type, [output, output, channels], rounded to the nearest.

    Raises:
        ValueError: the region is outside the picture or of another size.
    """
    x, y, side = region
    if not output <= side <= MOST_TIMES * output or output > MOST_OUTPUT:
        raise ValueError(f"a region of {side} pixels for {output} of output")
    if not (0 <= x <= pixels.shape[1] - side and 0 <= y <= pixels.shape[0] - side):
        raise ValueError(f"{region} is outside a picture of {pixels.shape[:2]}")
    part = pixels[y : y + side, x : x + side].astype(np.int64)
    ends = (np.arange(output) + 1) * side // output
    widths = np.diff(ends, prepend=0)
    across = np.add.reduceat(part, ends - widths, axis=1)
    rows = _chosen_lines(side, output, ends)
    sums = np.stack([across[lines].sum(axis=0) for lines in rows])
    count = np.array([len(lines) for lines in rows])[:, None] * widths
    reciprocal = (65536 + count // 2) // count
    return ((sums * reciprocal[..., None] + 32768) >> 16).astype(pixels.dtype)


def crop_rgb565(data: bytes, picture: int, region: Region, output: int) -> bytes:
    """The same for the bytes of a square camera picture in RGB565, the first byte highest."""
    pixel = np.frombuffer(data, ">u2").astype(np.int64).reshape(picture, picture)
    colours = np.stack([pixel >> 11, pixel >> 5 & 0x3F, pixel & 0x1F], axis=-1)
    red, green, blue = np.moveaxis(crop(colours, region, output), -1, 0)
    return (red << 11 | green << 5 | blue).astype(">u2").tobytes()
