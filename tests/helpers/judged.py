"""People for the judge: labelled ones, found ones, and the truth of a picture."""

from __future__ import annotations

import numpy as np

from ai8x_models.decode import Person
from ai8x_models.skeleton import from_coco17
from distill.people.judge import Truth
from tests.helpers.decoder_cases import STANDING

COCO = [0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10]


def labelled(x: float, y: float, height: float) -> np.ndarray:
    """A standing figure, float64 [17, 3] in COCO's order."""
    points = np.full((17, 3), 2.0)
    points[:, :2] = STANDING[COCO] * (height / 2, height) + (x, y)
    return points


def truth(*people: np.ndarray, regions: list[list[float]] | None = None) -> Truth:
    points = np.array(people, np.float64).reshape(-1, 17, 3)
    extents = np.ptp(points[..., :2], axis=1) if len(points) else np.zeros((0, 2))
    return Truth(
        points,
        0.5 * extents.prod(axis=1),
        extents[:, 1] / 200,
        np.array(regions or [], np.float64).reshape(-1, 4),
    )


def found(points: np.ndarray, sure: float, shift: float = 0.0) -> Person:
    moved = points + (shift, 0, 0)
    return Person(from_coco17(moved[None])[0], sure)
