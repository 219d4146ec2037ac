"""Points of one person from maps in whole numbers, the twin of ``firmware_templates/decoder``'s
``point_reader.c``: the same results, bit for bit.

A point lies at the centre of mass of the cells about its map's highest one (the first such, row by
row), negative cells counting as nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ai8x_models.decode_fixed import FixedPerson
from ai8x_models.point_maps import LEVELS, REACH, SHIFT, SKELETON_POINTS, PointMaps

Q4 = 16
"""Positions are in steps of 1/16 pixel, as those of the pose decoder."""


def read_points(
    maps: npt.NDArray[np.integer], settings: PointMaps, stride: int
) -> npt.NDArray[np.int32]:
    """Points of int8 maps.

    Args:
        maps: integers [..., K, rows, columns] in -128..127; 1.0 is 128.
        settings: of K points.
        stride: pixels of the network's input per cell.

    Returns:
        int32 [..., K, 3]: x and y in sixteenths of a pixel, 0 being the centre of the first pixel,
        and the visibility in steps of 2**-15.
    """
    *lead, count, rows, columns = maps.shape
    if count != len(settings.places):
        raise ValueError(f"{count} maps for {len(settings.places)} points")
    cells = np.maximum(maps.reshape(-1, rows, columns).astype(np.int64), 0)
    highest = cells.reshape(len(cells), -1).argmax(axis=1)
    row, column = highest // columns, highest % columns
    steps = np.arange(-REACH, REACH + 1)
    padded = np.pad(cells, ((0, 0), (REACH, REACH), (REACH, REACH)))
    index = np.arange(len(cells))[:, None, None]
    around = padded[
        index,
        (row[:, None] + steps + REACH)[:, :, None],
        (column[:, None] + steps + REACH)[:, None],
    ]
    mass = around.sum(axis=(1, 2))
    down = (around.sum(axis=2) * steps).sum(axis=1)
    right = (around.sum(axis=1) * steps).sum(axis=1)
    found = np.stack(
        [
            _position(column, right, mass, stride),
            _position(row, down, mass, stride),
            np.array(settings.visibility())[cells[np.arange(len(cells)), row, column]],
        ],
        axis=-1,
    )
    return found.astype(np.int32).reshape(*lead, count, 3)


def _position(
    cell: npt.NDArray[np.int64], moment: npt.NDArray[np.int64], mass: npt.NDArray[np.int64],
    stride: int,
) -> npt.NDArray[np.int64]:  # fmt: skip
    """Sixteenths of a pixel of the centre of mass, rounded half up; without any, of the cell."""
    mass, moment = np.where(mass > 0, mass, 1), np.where(mass > 0, moment, 0)
    # The centre of the cell is (stride - 1) / 2 pixels after its first pixel's.
    middle = Q4 * stride * cell + Q4 // 2 * (stride - 1)
    return middle + (2 * Q4 * stride * moment + mass) // (2 * mass)


def as_bytes(maps: npt.NDArray[np.floating]) -> npt.NDArray[np.int8]:
    """Maps in real numbers as the bytes that the chip would hold."""
    return np.clip(np.floor(maps * LEVELS + 0.5), -LEVELS, LEVELS - 1).astype(np.int8)


def real(points: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """What :func:`read_points` gives as pixels and probabilities, float64 [..., K, 3]."""
    return points / np.array([Q4, Q4, 2.0**SHIFT])


def as_person(points: npt.NDArray[np.integer], settings: PointMaps) -> FixedPerson | None:
    """The one person that points int32 [K, 3] of :func:`read_points` are, as the firmware tells it.

    Points more likely hidden than visible are not found; the score is the mean visibility of all.
    None where no point is found.
    """
    placed = np.zeros((SKELETON_POINTS, 3), np.int64)
    likely = points[:, 2] >= 1 << SHIFT - 1
    placed[np.array(settings.places)[likely]] = points[likely]
    score = int(points[:, 2].sum()) // (2 * len(points))
    return FixedPerson(placed, score) if likely.any() else None
