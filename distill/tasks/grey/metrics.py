"""How good points of single people are: PCK relative to the torso, and OKS average precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distill.people.metrics import Pck, oks_ap, pck
from distill.tasks.grey.points import Points

# A person's area over that of the box about its joints, where a set gives none.
AREA_OF_BOX = 0.5


def grey_pck(found: np.ndarray, truth: np.ndarray, points: Points) -> Pck:
    """PCK@0.2 of points [n, K, 2 or more] against [n, K, 3], both in the same unit."""
    return pck(points.spread(found[..., :2].astype(np.float64)), points.spread(truth))


def _box(points: np.ndarray) -> list[float]:
    """[x, y, width, height] of the marked points."""
    marked = points[points[:, 2] > 0, :2]
    if not len(marked):
        return [0.0, 0.0, 0.0, 0.0]
    low, size = marked.min(axis=0), np.ptp(marked, axis=0)
    return [float(value) for value in (*low, *size)]


def grey_oks(
    found: np.ndarray, truth: np.ndarray, areas: Sequence[float], points: Points
) -> dict[str, float]:
    """OKS average precision, one person per picture, by pycocotools.

    Args:
        found: [n, K, 3], the third value the score of a point.
        truth: [n, K, 3] with visibility.
        areas: the people's areas in the square of the same unit; 0 where unknown.
        points: whose sigmas count.
    """
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for index, (person, guess) in enumerate(zip(truth, found, strict=True)):
        box = _box(person)
        annotations.append(
            {
                "id": index + 1, "image_id": index + 1, "category_id": 1, "iscrowd": 0, "bbox": box,
                "keypoints": [float(value) for value in person.reshape(-1)],
                "num_keypoints": int((person[:, 2] > 0).sum()),
                "area": float(areas[index]) or AREA_OF_BOX * box[2] * box[3],
            }
        )  # fmt: skip
        results.append(
            {
                "image_id": index + 1, "category_id": 1,
                "keypoints": [float(value) for value in guess.reshape(-1)],
                "score": float(guess[:, 2].mean()),
            }
        )  # fmt: skip
    content = {
        "images": [{"id": index + 1} for index in range(len(truth))],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(points.names)}],
    }
    return oks_ap(content, results, points.sigmas)
