"""Reading COCO keypoint annotations and their pictures, whatever state they are in.

A file that cannot be used at all is refused with a sentence. Single pictures, people or points
that cannot be used are left out and counted, so that one broken file among thousands neither
stops a run of hours nor goes unnoticed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import incoming, pictures
from common.errors import UserError
from common.incoming import Unfit, read_bytes

_MOST = 1e6  # of any number in a file: pictures have fewer columns
TOLERANCE = 1.0  # pixels that a point may lie outside its picture (annotators click on edges)
MAX_ANNOTATION_BYTES = 1 << 30  # all of COCO has a quarter of it
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG_TAIL = 4096  # bytes; cameras write a little behind a picture's end


class Skipped:
    """Counts of what was left out, by reason, with the first example of each."""

    def __init__(self) -> None:
        self.reasons: dict[str, tuple[int, str]] = {}

    def add(self, reason: str, example: object, count: int = 1) -> None:
        """Count ``count`` more; ``reason`` is a plural, "pictures missing"."""
        before, first = self.reasons.get(reason, (0, str(example)))
        self.reasons[reason] = (before + count, first)

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def __str__(self) -> str:
        return ", ".join(
            f"{count} {reason} (first: {first})" for reason, (count, first) in self.reasons.items()
        )


def read_json(path: Path, nobody: bool = False) -> dict[str, Any]:
    """Read an annotation file, with a plain sentence when it cannot be used.

    ``nobody``: pictures without any annotation say something, too.
    """
    try:
        data = incoming.read_json(path, MAX_ANNOTATION_BYTES)
    except OSError as error:
        raise UserError(f"cannot read annotations {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); expected COCO keypoints") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise UserError(f"{path} has no list '{key}'; expected COCO keypoint annotations")
        if not data[key] and not (nobody and key == "annotations"):
            raise UserError(f"{path}: its list '{key}' is empty, so there is nothing to learn")
    return data


def _is_numbers(values: object, count: int) -> bool:
    """Whether ``values`` is a list of ``count`` finite numbers, none of them beyond a picture."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(v, int | float) and abs(v) < _MOST for v in values)
    )


def _is_picture(entry: object) -> bool:
    """Whether an entry of the file has an id and a file name, and no size that is none."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("id"), int)
        and isinstance(entry.get("file_name"), str)
        and all(
            isinstance(entry.get(side, 1), int | float) and 0 < entry.get(side, 1) < _MOST
            for side in ("width", "height")
        )
    )


def _names_points(category: object) -> bool:
    """Whether a category of the file lists names of keypoints."""
    names = category.get("keypoints") if isinstance(category, dict) else None
    return isinstance(names, list) and bool(names) and all(isinstance(n, str) for n in names)


class KeypointFile:
    """The usable content of a COCO keypoint file.

    Args:
        path: the file.
        nobody: whether a set of pictures without anybody is of use.

    Attributes:
        raw: the file as read.
        names: the keypoints' names, of the first category that has any.
        joints: how many these are.
        category: that category's number.
        images: entries with an id and a file name, by id.
        skipped: what is left out, and why.
    """

    def __init__(self, path: Path, nobody: bool = False) -> None:
        self.path, self.skipped = path, Skipped()
        self.raw = read_json(path, nobody)
        people = [c for c in self.raw["categories"] if _names_points(c)]
        if not people:
            raise UserError(f"{path}: no category lists keypoints; expected a person category")
        self.names: list[str] = people[0]["keypoints"]
        self.joints, self.category = len(self.names), people[0].get("id")
        images = []
        for index, entry in enumerate(self.raw["images"]):
            if _is_picture(entry):
                images.append(entry)
            else:
                self.skipped.add("picture entries without id, file name or size", f"entry {index}")
        self.images = sorted(images, key=lambda entry: entry["id"])
        self._by_image: dict[int, list[dict[str, Any]]] = {i["id"]: [] for i in images}
        for index, annotation in enumerate(self.raw["annotations"]):
            self._sort_in(index, annotation)

    def _sort_in(self, index: int, annotation: Any) -> None:
        """File an annotation under its picture, if it has one."""
        number = annotation.get("image_id") if isinstance(annotation, dict) else None
        if not isinstance(number, int) or number not in self._by_image:
            self.skipped.add("annotations of no listed picture", f"entry {index}")
        elif annotation.get("category_id", self.category) == self.category:
            self._by_image[number].append(annotation)

    def annotations_of(self, image: dict[str, Any]) -> list[dict[str, Any]]:
        """Annotations of a picture, crowds too, whose keypoints and box are well formed."""
        return [
            annotation
            for annotation in self._by_image[image["id"]]
            if _is_numbers(annotation.get("keypoints"), 3 * self.joints)
            and _is_numbers(annotation.get("bbox"), 4)
        ]

    def people_of(
        self, image: dict[str, Any], width: int, height: int
    ) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Annotations with keypoints, and boxes float32 [n, 4] of people to be ignored.

        ``width`` and ``height`` are the picture's; points outside it are unmarked in what is
        returned (the file's content stays as it is).
        """
        marked, boxes = [], []
        for annotation in self._by_image[image["id"]]:
            points = annotation.get("keypoints")
            given = annotation.get("num_keypoints", 1) and not annotation.get("iscrowd")
            sound = _is_numbers(points, 3 * self.joints)
            if given and sound:
                marked.append({**annotation, "keypoints": self._inside(annotation, width, height)})
                continue
            if given:
                self.skipped.add("people with broken keypoints", f"annotation {annotation['id']}"
                                 if "id" in annotation else image["file_name"])  # fmt: skip
            if _is_numbers(annotation.get("bbox"), 4):
                boxes.append(annotation["bbox"])
        return marked, np.asarray(boxes, np.float32).reshape(-1, 4)

    def _inside(self, annotation: dict[str, Any], width: int, height: int) -> list[float]:
        """Keypoints with those outside the picture unmarked and counted."""
        points = np.array(annotation["keypoints"], np.float64).reshape(-1, 3)
        limit = np.array([width, height]) - 1 + TOLERANCE
        outside = ((points[:, :2] < -TOLERANCE) | (points[:, :2] > limit)).any(axis=1)
        outside &= points[:, 2] > 0
        if outside.any():
            self.skipped.add(
                "points outside their picture", f"annotation {annotation.get('id')}", outside.sum()
            )
            points[outside] = 0
        return list(points.reshape(-1))


def looks_whole(path: Path) -> bool:
    """Whether a file is there and, if it is a JPEG, has its end; it is not decoded."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_JPEG_START))
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - _JPEG_TAIL))
            return bool(start) and (start != _JPEG_START or _JPEG_END in file.read())
    except OSError:
        return False


_REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}


def read_pixels(
    path: Path, image: dict[str, Any], skipped: Skipped, reduce: int = 1
) -> np.ndarray | None:
    """Pixels uint8 [h, w, 3] RGB of a set's picture; None, and counted, when it is unusable.

    Orientation tags are not obeyed: annotations refer to the pixels as they are stored. With
    ``reduce`` 2 or 4 the picture is that many times as small (rounded up), and decoded faster.
    """
    try:
        raw = read_bytes(path, pictures.MAX_BYTES)
    except (OSError, Unfit):
        skipped.add("pictures missing or unreadable", path.name)
        return None
    pixels = None
    if raw and not (raw.startswith(_JPEG_START) and _JPEG_END not in raw[-_JPEG_TAIL:]):
        flags = _REDUCED[reduce] | cv2.IMREAD_IGNORE_ORIENTATION
        try:
            pixels = pictures.decode(raw, flags)
        except Unfit:
            pixels = None
    if pixels is None:
        skipped.add("pictures broken", path.name)
        return None
    height, width = pixels.shape[:2]
    expected = (-(-image.get(n, size * reduce) // reduce) for n, size in
                (("width", width), ("height", height)))  # fmt: skip
    if tuple(expected) != (width, height):
        skipped.add("pictures of another size than annotated", path.name)
        return None
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
