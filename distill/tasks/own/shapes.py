"""Drawn shapes: six classes of outlines and areas, of any colour, size and turn, on a busy ground.

``python -m distill.tasks.own.shapes OUT --count 1200`` writes pictures into ``OUT/CLASS/``. They
are a small problem that is neither trivial nor in need of a download.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from common.arguments import Parser, to_folder, whole
from common.console import command_line, say
from common.errors import UserError
from common.texts import counted

CLASSES = ("circle", "cross", "ring", "square", "star", "triangle")
SIDE = 32


def drawn(kind: str, seed: int, side: int = SIDE) -> np.ndarray:
    """One picture, uint8 [side, side, 3].

    Args:
        kind: one of :data:`CLASSES`.
        seed: decides everything else.
        side: in pixels.
    """
    rng = np.random.default_rng([CLASSES.index(kind), seed])
    size = rng.uniform(0.22, 0.42) * side
    middle = rng.uniform(size, side - size, 2)
    turn = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[0:side, 0:side] + 0.5
    y, x = (rows - middle[0]) / size, (columns - middle[1]) / size
    x, y = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    inside = np.clip(-_distance(kind, x, y) * size + 0.5, 0, 1)[..., None]
    ground, front = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    while np.abs(ground - front).max() < 70:
        front = rng.uniform(0, 255, 3)
    slope = rng.normal(0, 40, 2)
    shade = slope[0] * (rows / side - 0.5) + slope[1] * (columns / side - 0.5)
    picture = ground + shade[..., None] + (front - ground) * inside
    picture += rng.normal(0, rng.uniform(0, 16), picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _distance(kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance to the outline in units of the size, negative inside."""
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    if kind == "circle":
        return radius - 1
    if kind == "ring":
        return np.abs(radius - 0.75) - 0.25
    if kind == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.75
    if kind == "triangle":
        return np.maximum.reduce([x * np.cos(a) + y * np.sin(a) for a in _thirds()]) - 0.5
    if kind == "cross":
        bars = [np.maximum(np.abs(x) - a, np.abs(y) - b) for a, b in ((0.28, 1), (1, 0.28))]
        return np.minimum(*bars)
    return radius - (0.7 + 0.3 * np.cos(5 * angle))  # a star of five points


def _thirds() -> tuple[float, ...]:
    return tuple(2 * np.pi * k / 3 + np.pi / 2 for k in range(3))


def pictures(count: int, seed: int = 0, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and classes, evenly over the classes: uint8 [N, side, side, 3], int64 [N]."""
    labels = np.arange(count) % len(CLASSES)
    drawn_ = [drawn(CLASSES[k], seed * 1_000_000 + i, side) for i, k in enumerate(labels)]
    return np.stack(drawn_), labels


def write(out: Path, count: int, seed: int = 0, side: int = SIDE) -> None:
    """Write pictures as PNG into a folder per class.

    Raises:
        UserError: the folder cannot be written.
    """
    from PIL import Image

    made, labels = pictures(count, seed, side)
    try:
        for number, (picture, label) in enumerate(zip(made, labels, strict=True)):
            folder = out / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / f"{seed}_{number:05d}.png")
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from None


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Write a folder of drawn shapes; exit status 2 with one sentence for bad input."""
    parser = Parser(prog="python -m distill.tasks.own.shapes", description=__doc__)
    parser.add_argument("out", type=to_folder, help="folder to write into")
    parser.add_argument("--count", type=whole(), default=1200, help="pictures (%(default)s)")
    parser.add_argument("--seed", type=whole(0), default=0, help="another seed, other pictures")
    options = parser.parse_args(arguments)
    write(options.out, options.count, options.seed)
    say(f"{counted(options.count, 'picture')} of {len(CLASSES)} classes written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
