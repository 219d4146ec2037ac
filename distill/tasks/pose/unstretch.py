"""``python -m distill pose unstretch FOLDER OUT --teacher FILE``: squares that were other shapes.

Sets for training classifiers often hold photographs stretched into squares. Most were landscapes
or portraits of about 7 to 5; a teacher of maps is surer of people in the right one of the two, and
that one is written. The shape of pictures without people does not matter: a share of them is kept,
as landscapes, to learn from that there is nobody.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

import cv2
import numpy as np

from ai8x_models.codec import BACKGROUND
from common.arguments import Parser, real, to_folder
from common.console import progress, say
from common.errors import UserError
from common.files import whole_folder
from common.incoming import Unfit, read_bytes
from common.pictures import MAX_BYTES, SUFFIXES, decode
from common.texts import counted
from distill.engine.inputs import need_folder
from distill.people.picture_maps import STRIDE, Look, fit_square
from distill.tasks.pose.train import picture_look

SHAPES = ((216, 154), (154, 216))
"""Columns and rows of a landscape and a portrait, 1.4 to 1: between 4 to 3 and 3 to 2."""
SIDE = 24 * STRIDE
NOBODY, SOMEBODY = 0.25, 0.12
"""Nobody: no value of any point's map reaches the one. Somebody: the mean of the ten surest points
reaches the other."""
QUALITY = 88


class Kept(Enum):
    """What became of a picture."""

    PEOPLE = "with people"
    EMPTY = "without"
    UNSURE = "left out"


def choose(rgb: np.ndarray, look: Look) -> tuple[Kept, int]:
    """What is in a picture uint8 [H, W, 3], and which of :data:`SHAPES` it had."""
    sure, highest = [], []
    for shape in SHAPES:
        picture = cv2.resize(rgb, shape, interpolation=cv2.INTER_AREA)
        peaks = np.sort(look(fit_square(picture, SIDE))[:BACKGROUND].max(axis=(1, 2)))
        sure.append(float(peaks[-10:].mean()))
        highest.append(float(peaks[-1]))
    if max(highest) < NOBODY:
        return Kept.EMPTY, 0
    return (Kept.PEOPLE if max(sure) >= SOMEBODY else Kept.UNSURE), int(np.argmax(sure))


def _read(path: Path) -> np.ndarray | None:
    """uint8 [H, W, 3] BGR; None where the file is broken, or no square."""
    try:
        pixels = decode(read_bytes(path, MAX_BYTES))
    except (OSError, Unfit):
        return None
    return pixels if pixels.shape[0] == pixels.shape[1] else None


def unstretch(files: Sequence[Path], out: Path, look: Look, empty_share: float) -> Counter[str]:
    """Write what is kept of ``files`` into ``out``, as JPEG; how many there were of each kind."""
    count: Counter[str] = Counter()
    for path in progress(files, title="pictures", unit="picture"):
        pixels = _read(path)
        if pixels is None:
            count["broken or no square"] += 1
            continue
        kind, shape = choose(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), look)
        chance = zlib.crc32(path.name.encode()) / 2**32  # the same share whatever else lies there
        count[kind.value] += 1
        if kind is Kept.PEOPLE or (kind is Kept.EMPTY and chance < empty_share):
            picture = cv2.resize(pixels, SHAPES[shape], interpolation=cv2.INTER_AREA)
            options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
            (out / f"{path.stem}.jpg").write_bytes(
                cv2.imencode(".jpg", picture, options)[1].tobytes()
            )
            count["written"] += 1
    return count


def main(arguments: list[str] | None = None) -> int:
    """Read a folder of squares, write a folder of pictures.

    Raises:
        UserError: no pictures, no teacher, or no room.
    """
    parser = Parser(prog="python -m distill pose unstretch", description=__doc__)
    parser.add_argument("squares", type=Path, help="folder of square pictures")
    parser.add_argument("out", type=to_folder, help="folder to write, new or empty")
    parser.add_argument("--teacher", type=Path, required=True, help="network of maps, or its ONNX")
    parser.add_argument(
        "--empty", type=real(0, 1), default=0.12, help="share of the empty ones to keep (0.12)"
    )
    options = parser.parse_args(arguments)
    need_folder("squares", options.squares)
    if options.out.exists() and any(options.out.iterdir()):
        raise UserError(f"{options.out} is not empty; name a new folder to write")
    files = sorted(p for p in options.squares.iterdir() if p.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"{options.squares} holds no pictures ({', '.join(SUFFIXES)})")
    look = picture_look(options.teacher)
    with whole_folder(options.out) as folder:
        count = unstretch(files, folder, look, options.empty)
        if not count["written"]:
            raise UserError(
                f"{options.squares}: of {counted(len(files), 'picture')} none is a square with "
                "people; give pictures that were stretched into squares"
            )
    say("; ".join(f"{number} {kind}" for kind, number in count.items()))
    return 0
