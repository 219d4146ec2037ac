"""Reading COCO keypoint annotations and their pictures, whatever state they are in.

A file that cannot be used at all is refused with a sentence. Single pictures, people or points
that cannot be used are left out and counted, so that one broken file among thousands neither
stops a run of hours nor goes unnoticed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from common import incoming, pictures
from common.errors import UserError
from common.incoming import Unfit, read_bytes
from common.texts import one_line, shortened, shown
from distill.people import annotation_checks as checks

TOLERANCE = 1.0  # pixels that a point may lie outside its picture (annotators click on edges)
MAX_ANNOTATION_BYTES = 1 << 30  # all of COCO has a quarter of it
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_EXAMPLE = 120  # characters of an example of what is left out
_JPEG_TAIL = 4096  # bytes; cameras write a little behind a picture's end


_ONE = {  # a reason's first words where only one is meant
    "picture entries ": "picture entry ",
    "pictures ": "picture ",
    "annotations ": "annotation ",
    "people ": "person ",
    "points ": "point ",
}


class Skipped:
    """Counts of what was left out, by reason, with the first example of each."""

    def __init__(self) -> None:
        self.reasons: dict[str, tuple[int, str]] = {}

    def add(self, reason: str, example: object, count: int = 1) -> None:
        """Count ``count`` more; ``reason`` is a plural without a verb, "pictures missing"."""
        said = shortened(one_line(str(example)), _EXAMPLE)
        before, first = self.reasons.get(reason, (0, said))
        self.reasons[reason] = (before + count, first)

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def __str__(self) -> str:
        return ", ".join(
            f"{count} {_worded(reason, count)} (first: {first})"
            for reason, (count, first) in self.reasons.items()
        )


def _worded(reason: str, count: int) -> str:
    """The reason as it is said of so many: "1 picture missing"."""
    words = next((words for words in _ONE if reason.startswith(words)), "")
    return _ONE[words] + reason.removeprefix(words) if words and count == 1 else reason


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


class _Sorted(NamedTuple):
    """An annotation, and whether nothing is wrong with it."""

    annotation: dict[str, Any]
    sound: bool


def _is_person(annotation: dict[str, Any]) -> bool:
    """Whether somebody is marked with points, and not a crowd."""
    return bool(annotation.get("num_keypoints", 1)) and not annotation.get("iscrowd")


_SIDES = ("width", "height")


def _pictures_of(entries: list[tuple[int, dict[str, Any]]]) -> list[list[tuple[int, Any]]] | None:
    """Entries of one file as those of one picture each, by the sizes they state.

    None where some state less than others that differ: of which pixels they are nobody knows.
    """
    stated = [{key: entry[key] for key in _SIDES if key in entry} for _, entry in entries]
    if all(len(sides) == len(_SIDES) for sides in stated):
        groups: dict[tuple[Any, ...], list[tuple[int, Any]]] = {}
        for sides, numbered in zip(stated, entries, strict=True):
            groups.setdefault(tuple(sides.values()), []).append(numbered)
        return list(groups.values())
    if any(len({sides[key] for sides in stated if key in sides}) > 1 for key in _SIDES):
        return None
    size = {key: value for sides in stated for key, value in sides.items()}
    (number, first), *others = entries
    return [[(number, {**first, **size}), *others]]


class KeypointFile:
    """The usable content of a COCO keypoint file.

    Somebody whose entry is broken is left out and counted; the box stays as a region of which
    nothing is known. Entries of one file are one picture with the people of all: else each would
    lack the others' people, and have them called wrong. Where they state different sizes, only
    those count whose size the file has, with their people; where one states none as well, none.

    Args:
        path: the file.
        nobody: whether a set of pictures without anybody is of use.
        boxes: whether people are of use only with a sound box and area, by which they are measured.

    Attributes:
        raw: the file as read.
        names: the keypoints' names, of the first category that has any.
        joints: how many these are.
        category: that category's number.
        images: entries with an id and a file name, by id.
        skipped: what is left out, and why.

    Raises:
        UserError: the file is unreadable, no keypoint file, or of another skeleton.
    """

    def __init__(self, path: Path, nobody: bool = False, boxes: bool = True) -> None:
        self.path, self.skipped, self._boxes = path, Skipped(), boxes
        self.raw = read_json(path, nobody)
        people = [c for c in self.raw["categories"] if checks.names_points(c)]
        if not people:
            raise UserError(f"{path}: no category lists keypoints; expected a person category")
        self.names: list[str] = people[0]["keypoints"]
        checks.check_names(path, self.names)
        self.joints, self.category = len(self.names), people[0].get("id")
        self.images = self._pictures()
        self._by_image: dict[int, list[_Sorted]] = {image["id"]: [] for image in self.images}
        self._seen: set[int] = set()
        for index, annotation in enumerate(self.raw["annotations"]):
            self._sort_in(index, annotation)

    def _pictures(self) -> list[dict[str, Any]]:
        """The pictures' entries by id; in ``_same``, whose people belong to another's."""
        images: dict[int, dict[str, Any]] = {}
        files: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        seen: set[int] = set()
        self._same: dict[int, int] = {}
        for index, entry in enumerate(self.raw["images"]):
            if not checks.is_picture(entry):
                self.skipped.add("picture entries without id, file name or size", f"entry {index}")
                continue
            if entry["id"] in seen:
                self.skipped.add("picture entries with the id of another", f"entry {index}")
                continue
            seen.add(entry["id"])
            name = os.path.normpath(entry["file_name"])
            files.setdefault(name, []).append((index, entry))
        for entries in files.values():
            pictures = _pictures_of(entries)
            if pictures is None:
                reason = "picture entries without a size, of a file of which others differ"
                self.skipped.add(reason, f"entry {entries[0][0]}", len(entries))
            for (_, first), *others in pictures or []:
                images[first["id"]] = first
                for index, entry in others:
                    self.skipped.add("picture entries with the file of another", f"entry {index}")
                    self._same[entry["id"]] = first["id"]
        return [images[number] for number in sorted(images)]

    def _sort_in(self, index: int, annotation: Any) -> None:
        """File an annotation under its picture, if it has one, as a person or as a region."""
        number = annotation.get("image_id") if isinstance(annotation, dict) else None
        if isinstance(number, int):
            number = self._same.get(number, number)
        if not isinstance(number, int) or number not in self._by_image:
            self.skipped.add("annotations of no listed picture", f"entry {index}")
            return
        name = f"annotation {shown(annotation['id'])}" if "id" in annotation else f"entry {index}"
        category = annotation.get("category_id", self.category)
        if category != self.category:
            self.skipped.add(
                "annotations of other categories", f"{name}, category {shown(category)}"
            )
            return
        if self._is_doubled(number, annotation):
            self.skipped.add("annotations there twice", name)
            return
        reason = self._wrong_with(annotation)
        if reason:
            self.skipped.add(reason, name)
        self._by_image[number].append(_Sorted(annotation, not reason))

    def _is_doubled(self, picture: int, annotation: dict[str, Any]) -> bool:
        """Whether the same box and points were there before in the same picture."""
        content = [picture, *(annotation.get(key) for key in ("bbox", "keypoints", "iscrowd"))]
        try:
            key = hash(repr(content))
        except (ValueError, RecursionError):  # thousands of digits: broken, and counted as such
            return False
        doubled = key in self._seen
        self._seen.add(key)
        return doubled

    def _wrong_with(self, annotation: dict[str, Any]) -> str:
        """Why somebody cannot be used, as a plural; nothing where all is well."""
        if not checks.is_flag(annotation.get("iscrowd")):
            return "annotations whose iscrowd is neither 0 nor 1"
        count = annotation.get("num_keypoints", 1)
        if not isinstance(count, int | float) or not 0 <= count <= self.joints:
            return "annotations whose num_keypoints is no number of points"
        points = annotation.get("keypoints")
        if not _is_person(annotation):
            marked = checks.is_numbers(points, 3 * self.joints) and any(
                annotation["keypoints"][2::3]
            )
            contrary = marked and not annotation.get("iscrowd")
            return "people with points although num_keypoints is 0" if contrary else ""
        if not checks.is_numbers(points, 3 * self.joints):
            return "people with broken keypoints"
        if not checks.are_visibilities(annotation["keypoints"]):
            return "people with points whose visibility is not 0, 1 or 2"
        if self._boxes and not checks.is_box(annotation.get("bbox")):
            return "people without a sound box"
        if self._boxes and not checks.is_area(annotation.get("area", 1)):
            return "people whose area is no positive number"
        return ""

    def annotations_of(self, image: dict[str, Any]) -> list[dict[str, Any]]:
        """Annotations of a picture, crowds too, whose keypoints and box are well formed."""
        return [
            one.annotation
            for one in self._by_image[image["id"]]
            if one.sound
            and checks.is_numbers(one.annotation.get("keypoints"), 3 * self.joints)
            and checks.is_box(one.annotation.get("bbox"))
        ]

    def left_out_of(self, image: dict[str, Any]) -> list[list[float]]:
        """Boxes of those in a picture whose entries are broken: they are there, unmeasured."""
        broken = [one.annotation for one in self._by_image[image["id"]] if not one.sound]
        return [box for annotation in broken if (box := self._region(annotation))]

    def people_of(
        self, image: dict[str, Any], width: int, height: int
    ) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Annotations with keypoints, and boxes float32 [n, 4] of people to be ignored.

        ``width`` and ``height`` are the picture's; points outside it are unmarked in what is
        returned (the file's content stays as it is).
        """
        marked, boxes = [], []
        for one in self._by_image[image["id"]]:
            if one.sound and _is_person(one.annotation):
                points = self._inside(one.annotation, width, height)
                marked.append({**one.annotation, "keypoints": points})
            elif box := self._region(one.annotation):
                boxes.append(box)
        return marked, np.asarray(boxes, np.float32).reshape(-1, 4)

    def _region(self, annotation: dict[str, Any]) -> list[float] | None:
        """The box of somebody of whom nothing else is used, else what the points take up."""
        if checks.is_box(annotation.get("bbox")):
            return list(annotation["bbox"])
        if not checks.is_numbers(annotation.get("keypoints"), 3 * self.joints):
            return None
        points = np.array(annotation["keypoints"], np.float64).reshape(-1, 3)
        marked = points[points[:, 2] > 0, :2]
        if not len(marked):
            return None
        low, high = marked.min(axis=0), marked.max(axis=0)
        return [*low.tolist(), *(high - low).tolist()]

    def _inside(self, annotation: dict[str, Any], width: int, height: int) -> list[float]:
        """Keypoints with those outside the picture unmarked and counted."""
        points = np.array(annotation["keypoints"], np.float64).reshape(-1, 3)
        limit = np.array([width, height]) - 1 + TOLERANCE
        outside = ((points[:, :2] < -TOLERANCE) | (points[:, :2] > limit)).any(axis=1)
        outside &= points[:, 2] > 0
        if outside.any():
            name = f"annotation {shown(annotation.get('id', 'without id'))}"
            self.skipped.add("points outside the picture", name, outside.sum())
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
    except (OSError, ValueError):  # a name that no file can have
        return False


_REDUCED = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}


def read_pixels(
    path: Path, image: dict[str, Any], skipped: Skipped, reduce: int = 1
) -> np.ndarray | None:
    """Pixels uint8 [h, w, 3] RGB of a set's picture; None, and counted, when it is unusable.

    As :func:`pixels_of`. With ``reduce`` 2 or 4 the picture is that many times as small (rounded
    up), and decoded faster.
    """
    try:
        raw = read_bytes(path, pictures.MAX_BYTES)
    except (OSError, Unfit):
        skipped.add("pictures missing or unreadable", path.name)
        return None
    return pixels_of(raw, path.name, image, skipped, reduce)


def pixels_of(
    raw: bytes, name: str, image: dict[str, Any], skipped: Skipped, reduce: int = 1
) -> np.ndarray | None:
    """Decode a set's picture, upright as its orientation tag says, as :func:`read_pixels`.

    Where the entry states a size that only the pixels as they are stored have, labels refer to
    those, and they are taken.
    """
    for flags in (0, cv2.IMREAD_IGNORE_ORIENTATION):
        pixels = _decoded(raw, _REDUCED[reduce] | flags)
        if pixels is None:
            skipped.add("pictures broken", name)
            return None
        height, width = pixels.shape[:2]
        if all(
            -(-image.get(key, size * reduce) // reduce) == size
            for key, size in (("width", width), ("height", height))
        ):
            return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    skipped.add("pictures of another size than annotated", name)
    return None


def _decoded(raw: bytes, flags: int) -> np.ndarray | None:
    """uint8 [h, w, 3] BGR; None of a picture that is broken or cut off."""
    if not raw or (raw.startswith(_JPEG_START) and _JPEG_END not in raw[-_JPEG_TAIL:]):
        return None
    try:
        return pictures.decode(raw, flags)
    except Unfit:
        return None
