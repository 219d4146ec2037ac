"""A camera that goes slowly over a photograph: films of real people with the truth known.

The photograph is moved and scaled so that its one labelled person is as high as wanted, and what
lies beyond its edges repeats them. The person does not move; the camera does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from distill.people.crops import transform_points
from distill.people.film import RATE, SIDE, Frame
from distill.people.person_sets import PersonSource

_GRAIN = 2.0
_TORSO = (1, 8, 11)


@dataclass(frozen=True)
class Pan:
    """How the camera goes: everything in fractions of its picture's side.

    Attributes:
        seconds: how long.
        height: of the person (the longer side of the box around the points), first and last.
        place: (x, y) of the middle of the person, first and last.
    """

    seconds: float = 2.0
    height: tuple[float, float] = (0.23, 0.27)
    place: tuple[tuple[float, float], tuple[float, float]] = ((0.35, 0.45), (0.65, 0.55))


@dataclass(frozen=True, eq=False)
class Photograph:
    """uint8 [h, w, 3] and the one person in it, float64 [18, 3]: x, y, marked."""

    pixels: npt.NDArray[np.uint8]
    person: npt.NDArray[np.float64]


def photographs(source: PersonSource, limit: int) -> list[Photograph]:
    """The first pictures with exactly one person, most of whose points are marked."""
    found: list[Photograph] = []
    for picture in source.pictures:
        marked = [int((person[:, 2] > 0).sum()) for person in picture.people]
        alone = len(marked) == 1 and not len(picture.ignore)
        if alone and marked[0] >= 12 and (picture.people[0][_TORSO, 2] > 0).all():
            found.append(Photograph(picture.pixels, picture.people[0].astype(np.float64)))
    return found[:limit]


def _matrix(photograph: Photograph, pan: Pan, share: float, side: int) -> npt.NDArray[np.float64]:
    """From the photograph's pixels to the camera's, float64 [2, 3]."""
    known = photograph.person[photograph.person[:, 2] > 0, :2]
    low, high = known.min(axis=0), known.max(axis=0)
    first, last = (np.array(value) for value in (pan.place[0], pan.place[1]))
    height = pan.height[0] + (pan.height[1] - pan.height[0]) * share
    scale = height * side / float((high - low).max())
    shift = (first + (last - first) * share) * side - scale * (low + high) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def panned(
    photograph: Photograph, pan: Pan, side: int = SIDE, rate: float = RATE
) -> Iterator[Frame]:
    """The camera's pictures, one after the other; the person is number 0."""
    count = round(pan.seconds * rate)
    for index in range(count):
        matrix = _matrix(photograph, pan, index / max(count - 1, 1), side)
        pixels = cv2.warpAffine(
            photograph.pixels, matrix, (side, side), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        grain = np.random.default_rng(index).normal(0, _GRAIN, pixels.shape)
        points = transform_points(photograph.person, matrix).astype(np.float64)
        points[:, 2] = np.where(photograph.person[:, 2] > 0, 2, 0)
        inside = ((points[:, :2] >= 0) & (points[:, :2] <= side - 1)).all(axis=1)
        points[~inside] = 0
        yield Frame(np.clip(pixels + grain, 0, 255).astype(np.uint8), {0: points})
