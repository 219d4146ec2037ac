"""A picture into the grey student's bytes, and its numbers back into a picture of a skeleton."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ai8x_models.maps import read_maps
from ai8x_models.overlay import draw_people, write_picture
from ai8x_models.preprocess import grey_bytes, prepare, read_picture
from ai8x_models.show import load_outputs
from common.errors import UserError
from common.files import write_array
from distill.tasks.grey.data import pixels_of
from distill.tasks.grey.points import POINTS, Points

SIDE = 480  # longer side of the picture that is drawn
SEEN = 0.5  # visibility from which a point is drawn


def _size(text: str) -> int:
    size = int(text)
    if not 16 <= size <= 1024:
        raise argparse.ArgumentTypeError("it must be 16 to 1024 pixels")
    return size


def sample(arguments: list[str]) -> int:
    """Write the chip's input for a picture, fitted in whole like any other task's."""
    parser = argparse.ArgumentParser(prog="python -m distill grey sample")
    parser.add_argument("picture", type=Path, help="JPEG or PNG file with one person")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".npy file to write")
    parser.add_argument("--size", type=_size, default=64, help="side of the input (%(default)s)")
    options = parser.parse_args(arguments)
    prepared = prepare(read_picture(options.picture), options.size)
    write_array(options.output, grey_bytes(prepared.pixels))
    return 0


def read_points(maps: Path, report: Path) -> npt.NDArray[np.float64]:
    """Points [K, 3] as fractions of the network's picture, from what the chip sent.

    Raises:
        UserError: the files are not of a grey student.
    """
    outputs, arrays = load_outputs(report), read_maps(maps).outputs
    shapes = ", ".join(str(list(array.shape)) for array in arrays)
    if len(outputs) != 1 or len(arrays) != 1 or arrays[0].size not in [3 * k for k in POINTS]:
        known = " or ".join(f"[{3 * k}, 1, 1]" for k in POINTS)
        raise UserError(
            f"the network's outputs are {shapes}, a grey student has one of shape {known}; run "
            "with TASK=grey and a checkpoint of this task"
        )
    return (arrays[0].reshape(-1, 3) * outputs[0].step).astype(np.float64)


def describe(points: npt.NDArray[np.float64], scheme: Points) -> str:
    """A line per point: picture pixels and visibility."""
    lines = ["1 person looked for"]
    lines += [
        f"  {name:<11} x {x:7.1f}  y {y:7.1f}  visible {score:5.2f}"
        for name, (x, y, score) in zip(scheme.names, points, strict=True)
    ]
    return "\n".join(lines)


def show(arguments: list[str]) -> int:
    """Draw the points over the picture."""
    parser = argparse.ArgumentParser(prog="python -m distill grey show")
    parser.add_argument("picture", type=Path, help="the picture the board was given")
    parser.add_argument("--maps", type=Path, required=True, help="numbers the board sent (.npz)")
    parser.add_argument("--report", type=Path, required=True, help="the compiler's report.json")
    parser.add_argument("-o", "--output", type=Path, required=True, help="overlay to write (.png)")
    parser.add_argument("--size", type=_size, default=64, help="side of the input (%(default)s)")
    options = parser.parse_args(arguments)
    found = read_points(options.maps, options.report)
    scheme = POINTS[len(found)]
    picture = read_picture(options.picture)
    scores = found[:, 2].copy()
    found[:, 2] = 1  # places are mapped whether they count as visible or not
    placed = prepare(picture, options.size).to_picture(pixels_of(found, options.size))
    placed[:, 2] = scores
    print(describe(placed.astype(np.float64), scheme))
    write_picture(options.output, overlay(picture, placed, scheme))
    print(f"overlay: {options.output}")
    return 0


def overlay(
    picture: npt.NDArray[np.uint8], points: npt.NDArray[np.float32], scheme: Points
) -> npt.NDArray[np.uint8]:
    """The picture, enlarged or reduced to ``SIDE``, with the visible points [K, 3] and limbs."""
    height, width = picture.shape[:2]
    factor = SIDE / max(height, width)
    shape = (max(1, round(width * factor)), max(1, round(height * factor)))
    shown = np.asarray(cv2.resize(picture, shape, interpolation=cv2.INTER_AREA), np.uint8)
    placed = scheme.spread(points.astype(np.float64)).astype(np.float32)
    placed[:, :2] = (placed[:, :2] + 0.5) * factor - 0.5
    placed[placed[:, 2] < SEEN] = 0
    return draw_people(shown, [placed])
