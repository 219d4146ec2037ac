"""Views of pictures: which part of a picture a student gets to see, as an affine map.

As in deployment, the whole picture fitted into the input, or a part of it, from people that are
small in the view to one that fills it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Views:
    """Ranges of the random views.

    Attributes:
        whole: share of views that show the whole picture.
        exact: share of these that are fitted exactly as deployment does, but for mirroring.
        size: extent of the chosen person over the side of the view, smallest and largest.
        zoom: most view pixels per picture pixel, at 128 pixels.
        rotate: standard deviation of the angle, in degrees.
        stretch: largest change of the proportions, as a logarithm.
        shift: how far the person may be from the view's middle, in sides.
        flip: probability of the mirrored view.
        beside: share of the views of parts that look past all labelled people.
    """

    whole: float = 0.45
    exact: float = 0.6
    size: tuple[float, float] = (0.2, 1.0)
    zoom: float = 1.7
    rotate: float = 10.0
    stretch: float = 0.12
    shift: float = 0.2
    flip: float = 0.5
    beside: float = 0.12


def draw_view(
    views: Views,
    shape: tuple[int, int],
    people: np.ndarray,
    side: int,
    rng: np.random.Generator,
    rotate: float = 1.0,
) -> tuple[np.ndarray, bool]:
    """A random view: map float64 [2, 3] from picture to view pixels, and whether it is mirrored.

    ``shape`` is the picture's (width, height), ``people`` float32 [P, 18, 3], ``side`` the view's,
    ``rotate`` a factor on the usual angle.
    """
    flip = bool(rng.random() < views.flip)
    if rng.random() < views.whole or min(shape) < 2:
        linear, offset = _whole(views, shape, side, rng)
    else:
        linear, offset = _part(views, shape, people, side, rng, rotate)
    matrix = np.hstack([linear, offset[:, None]])
    if flip:
        matrix[0] = -matrix[0]
        matrix[0, 2] += side - 1
    return matrix, flip


def _turned(scale: float, stretch: float, angle: float) -> np.ndarray:
    radians = np.deg2rad(angle)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    return np.asarray(scale * turn @ np.diag([np.exp(stretch / 2), np.exp(-stretch / 2)]))


def _whole(
    views: Views, shape: tuple[int, int], side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    fitted = side / max(shape)
    if rng.random() < views.exact:
        return np.eye(2) * fitted, np.full(2, (fitted - 1) / 2)
    stretch = views.stretch * rng.uniform(-1, 1)
    linear = _turned(
        fitted * np.exp(rng.uniform(-0.3, 0.2)), stretch, 0.5 * views.rotate * rng.normal()
    )
    extent = np.abs(linear) @ np.asarray(shape, float)
    room = side - extent
    middle = extent / 2 + room * rng.uniform(0, 1, 2)
    return linear, middle - 0.5 - linear @ ((np.asarray(shape) - 1) / 2)


def _beside(
    marked: list[np.ndarray], shape: tuple[int, int], rng: np.random.Generator, tries: int = 8
) -> tuple[np.ndarray, float] | None:
    """Centre and side of a square of the picture that holds none of the marked points, if found."""
    points = np.concatenate(marked)
    for _ in range(tries):
        side = max(shape) * rng.uniform(0.3, 0.7)
        centre = rng.uniform(0, 1, 2) * shape
        if (np.abs(points - centre).max(axis=1) > 0.6 * side).all():
            return centre, side
    return None


def _part(
    views: Views,
    shape: tuple[int, int],
    people: np.ndarray,
    side: int,
    rng: np.random.Generator,
    rotate: float,
) -> tuple[np.ndarray, np.ndarray]:
    longest = max(shape)
    marked = [person[person[:, 2] > 0, :2] for person in people]
    marked = [points for points in marked if len(points) >= 3]
    aside = _beside(marked, shape, rng) if marked and rng.random() < views.beside else None
    if aside is not None:
        centre, wanted = aside
    elif marked:
        points = marked[rng.integers(len(marked))]
        low, high = points.min(axis=0), points.max(axis=0)
        centre, extent = (low + high) / 2, float(max(high - low)) * 1.15
        wanted = extent / np.exp(rng.uniform(*np.log(views.size)))
    else:
        centre = rng.uniform(0, 1, 2) * shape
        wanted = longest * rng.uniform(0.3, 1.0)
    # At most so many view pixels per picture pixel, and not much more than the whole picture.
    taken = np.clip(wanted, 128 / views.zoom, 1.15 * longest)
    linear = _turned(
        side / taken, views.stretch * rng.uniform(-1, 1), rotate * views.rotate * rng.normal()
    )
    shift = (aside is None) * views.shift * side * rng.uniform(-1, 1, 2)
    return linear, (side - 1) / 2 + shift - linear @ centre
