"""Keypoints as COCO JSON: https://cocodataset.org/#format-data, "Keypoint Detection".

The neck of the 18 points is not among COCO's 17 and is left out. Positions are those that COCO's
keypoint annotations use: the centre of the first pixel is at 0. Beside COCO's fields, ``score``
says how sure a person is and ``scores``, one for each of the 17 points, how sure those are (0: not
found).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai8x_models import skeleton
from common.files import write_file
from evalkit.host.stream.shots import Shot


def export(shots: Iterable[Shot]) -> dict[str, Any]:
    """A COCO data set of the pictures and the people in them.

    A picture that was shown several times is exported once, with its latest answer. A picture
    whose name is a number, as in COCO, keeps it as its id; the others are counted.
    """
    latest = {shot.name: shot for shot in shots}
    numbers = {name: _number(name) for name in latest}
    own = all(number is not None for number in numbers.values()) and len(
        set(numbers.values())
    ) == len(numbers)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, (name, shot) in enumerate(latest.items(), 1):
        image = (numbers[name] if own else None) or index
        images.append({"id": image, "file_name": name, "width": shot.width, "height": shot.height})
        for points, score in shot.people():
            annotations.append(_annotation(len(annotations) + 1, image, points, score))
    category = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.COCO17),
        "skeleton": [list(pair) for pair in skeleton.COCO17_LIMBS],
    }
    return {"images": images, "annotations": annotations, "categories": [category]}


def _number(name: str) -> int | None:
    stem = Path(name).stem
    return int(stem) if stem.isascii() and stem.isdigit() and int(stem) > 0 else None


def _annotation(
    number: int, image: int, points: NDArray[np.float64], score: float
) -> dict[str, Any]:
    chosen = points[list(skeleton.COCO17_TO_18)]
    found = chosen[:, 2] > 0
    flat: list[float] = []
    for (x, y, _), is_found in zip(chosen.tolist(), found.tolist(), strict=True):
        flat += [round(x, 2), round(y, 2), 2] if is_found else [0, 0, 0]
    at = chosen[found, :2]
    low, high = (at.min(0), at.max(0)) if len(at) else (np.zeros(2), np.zeros(2))
    box = [round(float(v), 2) for v in (*low, *(high - low))]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "keypoints": flat,
        "num_keypoints": int(found.sum()),
        "score": round(score, 4),
        "scores": [round(float(value), 4) for value in chosen[:, 2]],
        "bbox": box,
        "area": round(box[2] * box[3], 2),
        "iscrowd": 0,
    }


def write(shots: Iterable[Shot], path: Path) -> int:
    """Write a COCO JSON file, whole or not at all; returns how many people are in it.

    Raises:
        UserError: it cannot be written.
    """
    data = export(shots)
    write_file(path, json.dumps(data))
    return len(data["annotations"])
