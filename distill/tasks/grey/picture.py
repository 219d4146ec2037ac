"""A picture into the grey student's bytes, and its numbers back into a picture of a skeleton."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ai8x_models import point_maps, point_reader
from ai8x_models.maps import read_maps
from ai8x_models.overlay import draw_people, write_picture
from ai8x_models.point_reader import real
from ai8x_models.preprocess import grey_bytes, prepare, read_picture
from ai8x_models.show import load_report
from common.arguments import Parser, to_file, whole
from common.console import say
from common.errors import UserError
from common.files import write_array
from distill.tasks.grey.module import usual_points
from distill.tasks.grey.points import POINTS, Points
from distill.tasks.grey.student import STRIDE

SIDE = 480  # longer side of the picture that is drawn
SEEN = 0.5  # visibility from which a point is drawn


def sample(arguments: list[str]) -> int:
    """Write the chip's input for a picture, fitted in whole like any other task's."""
    parser = Parser(prog="python -m distill grey sample")
    parser.add_argument("picture", type=Path, help="JPEG or PNG file with one person")
    parser.add_argument("-o", "--output", type=to_file, required=True, help=".npy file to write")
    parser.add_argument(
        "--size", type=whole(16, 1024), default=64, help="side of the input (%(default)s)"
    )
    options = parser.parse_args(arguments)
    prepared = prepare(read_picture(options.picture), options.size)
    write_array(options.output, grey_bytes(prepared.pixels))
    return 0


def read_answer(maps: Path, report: Path) -> tuple[npt.NDArray[np.float64], Points]:
    """Points [K, 3] in pixels of the network's picture and probabilities, and which they are.

    Read from the maps that the chip sent as its own firmware reads them.

    Raises:
        UserError: the files are not of a grey student.
    """
    arrays, content = read_maps(maps).outputs, load_report(report)
    settings = point_maps.from_extras(content, str(report))
    shapes = ", ".join(str(list(array.shape)) for array in arrays)
    if settings is None and len(arrays) == 1 and len(arrays[0]) in POINTS:
        settings = usual_points(len(arrays[0]))
    square = len(arrays) == 1 and arrays[0].ndim == 3 and arrays[0].shape[1] == arrays[0].shape[2]
    if settings is None or not square or len(arrays[0]) != len(settings.places):
        raise UserError(
            f"the network's outputs are {shapes}, a grey student has one of as many square maps as "
            "there are points; run with TASK=grey and a checkpoint of this task"
        )
    return real(point_reader.read_points(arrays[0], settings, STRIDE)), Points(settings.places)


def describe(points: npt.NDArray[np.float64], scheme: Points) -> str:
    """A line per point: picture pixels and visibility."""
    lines = ["1 person looked for, who is to fill the picture: of several, or far away, crop one"]
    lines += [
        f"  {name:<11} x {x:7.1f}  y {y:7.1f}  visible {score:5.2f}"
        for name, (x, y, score) in zip(scheme.names, points, strict=True)
    ]
    return "\n".join(lines)


def show(arguments: list[str]) -> int:
    """Draw the points over the picture."""
    parser = Parser(prog="python -m distill grey show")
    parser.add_argument("picture", type=Path, help="the picture the board was given")
    parser.add_argument("--maps", type=Path, required=True, help="numbers the board sent (.npz)")
    parser.add_argument("--report", type=Path, required=True, help="the compiler's report.json")
    parser.add_argument(
        "-o", "--output", type=to_file, required=True, help="overlay to write (.png)"
    )
    parser.add_argument(
        "--size", type=whole(16, 1024), default=64, help="side of the input (%(default)s)"
    )
    options = parser.parse_args(arguments)
    found, scheme = read_answer(options.maps, options.report)
    picture = read_picture(options.picture)
    places = np.concatenate([found[:, :2], np.ones((len(found), 1))], axis=1)
    placed = prepare(picture, options.size).to_picture(places)  # hidden points are somewhere, too
    placed[:, 2] = found[:, 2]
    print(describe(placed.astype(np.float64), scheme))
    write_picture(options.output, overlay(picture, placed, scheme))
    say(f"overlay: {options.output}")
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
