"""What the integer student sees, on the viewer's page."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ai8x_models.preprocess import fit
from evalkit.host.stream.pictures import shown
from evalkit.host.stream.shots import Shot
from evalkit.wire import protocol
from pose78.estimator import Person

Pixels = npt.NDArray[np.uint8]


def shot_of(
    name: str, pixels: Pixels, people: Sequence[Person], size: int, number: int, micros: int = 0
) -> Shot:
    """A picture and its people as the viewer and recordings want them.

    Args:
        name: of the picture.
        pixels: uint8 [h, w, 3] RGB.
        people: in pixels of the picture.
        size: side of the network's input in pixels.
        number: of the picture, counted by the caller.
        micros: what the network took on this machine, microseconds; 0: not known.
    """
    scale = fit(pixels, size, size).scale
    inside = [protocol.Person(_inside(person.keypoints, scale), person.score) for person in people]
    payload = protocol.poses_payload(protocol.Poses(number & 0xFFFF, tuple(inside), 0, micros, 0))
    height, width = pixels.shape[:2]
    return Shot(time.monotonic(), name, width, height, scale, shown(pixels), payload)


def _inside(points: npt.NDArray[np.float32], scale: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Points [18, 3] in pixels of the network's input; missing ones stay 0, 0, 0."""
    result = points.astype(np.float64)
    result[:, :2] = (result[:, :2] + 0.5) * scale - 0.5
    result[result[:, 2] <= 0] = 0
    return result
