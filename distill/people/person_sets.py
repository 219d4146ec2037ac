"""Sets of people to crop: COCO-format files and drawn people.

Any set in COCO person-keypoint format is read; the 17 COCO points and the 14 Leeds Sports points
are mapped to the 18 points of :mod:`ai8x_models.skeleton` by their category's joint count.
Pictures are decoded once and kept in memory (scaled so that the long side is at most
``MAX_SIDE``), because decoding would otherwise cost more than all augmentation together.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ai8x_models import skeleton
from common.errors import UserError
from distill.people.annotations import KeypointFile, Skipped, looks_whole, read_pixels
from distill.people.synthetic import make_scene

log = logging.getLogger(__name__)

MAX_SIDE = 384
GREY = 128
CONVERTERS = {
    17: (skeleton.from_coco17, skeleton.COCO17_LABELLED, False),
    14: (skeleton.from_lsp14, skeleton.LSP14_LABELLED, True),
}


@dataclass
class Person:
    """One labelled person: picture, place among its people, keypoints float32 [18, 3]."""

    picture: int
    index: int
    keypoints: np.ndarray
    annotation: dict[str, Any]


@dataclass
class Picture:
    """A decoded picture, its people and the boxes [x, y, w, h] of people without keypoints."""

    pixels: np.ndarray  # uint8 [H, W, 3], RGB
    people: np.ndarray  # float32 [P, 18, 3]
    ignore: np.ndarray  # float32 [B, 4]
    scale: float  # stored pixels over annotation pixels
    source: dict[str, Any]
    broken: bool = False

    def size(self) -> tuple[int, int]:
        """Width and height of the pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


class FilePicture(Picture):
    """A picture that stays in its file and is decoded whenever its pixels are asked for.

    ``broken`` says that it could not be; its pixels are grey then.
    """

    def __init__(
        self, path: Path, people: np.ndarray, ignore: np.ndarray, scale: float,
        source: dict[str, Any],
    ) -> None:  # fmt: skip
        self.path, self.people, self.ignore = path, people, ignore
        self.scale, self.source, self.broken = scale, source, False

    def size(self) -> tuple[int, int]:
        """See :class:`Picture`; nothing is decoded."""
        width, height = (
            max(1, round(self.source[key] * self.scale)) for key in ("width", "height")
        )
        return width, height

    @property
    def pixels(self) -> np.ndarray:
        """uint8 [H, W, 3], RGB."""
        return _resize(self._read())[0]

    @pixels.setter
    def pixels(self, value: np.ndarray) -> None:
        raise UserError("pictures of this kind are kept in memory only; leave in_memory out")

    def reduced(self, zoom: float) -> tuple[np.ndarray, float]:
        """Pixels fine enough for a crop of ``zoom`` crop pixels per stored one, and their size.

        The size is in pixels as stored. JPEG decoders shrink by 2 or 4 at hardly any cost, but
        not as :func:`cv2.resize` does, so this is for training only.
        """
        reduce = next((n for n in (4, 2) if zoom * self.scale * n <= 1), 1)
        if reduce == 1:
            return self.pixels, 1.0
        return self._read(reduce), reduce * self.scale

    def _read(self, reduce: int = 1) -> np.ndarray:
        if not self.broken:
            found = read_pixels(self.path, self.source, Skipped(), reduce)
            if found is not None:
                return found
            log.warning("%s cannot be decoded; nothing is learnt from it", self.path)
            self.broken = True
        return np.full((8, 8, 3), GREY, np.uint8)


def _resize(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    side = max(pixels.shape[:2])
    if side <= MAX_SIDE:
        return pixels, 1.0
    scale = MAX_SIDE / side
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), scale


def _scale_points(points: np.ndarray, scale: float) -> np.ndarray:
    """Pixel centres are at whole numbers, so positions scale about (-0.5, -0.5)."""
    out = points.copy()
    out[..., :2] = (out[..., :2] + 0.5) * scale - 0.5
    return out


class PersonSource:
    """Pictures and labelled people held in memory.

    ``labelled`` is bool [18]: points the set can label. ``mask_missing`` says that an unmarked
    point (v = 0) of a person is unknown rather than absent; then its maps are left out of the
    loss (the 14-point set), otherwise it is taken as not visible (COCO).
    """

    MIN_POINTS = 4  # fewer marked points make no person to crop about

    def __init__(self, labelled: np.ndarray, mask_missing: bool) -> None:
        self.labelled, self.mask_missing = labelled, mask_missing
        self.skipped = Skipped()
        self.pictures: list[Picture] = []
        self.people: list[Person] = []

    def add(self, picture: Picture, annotations: Sequence[dict[str, Any]] = ()) -> None:
        """Append a picture; its people become samples if enough of their points are marked."""
        for index, keypoints in enumerate(picture.people):
            if (keypoints[:, 2] > 0).sum() >= self.MIN_POINTS:
                annotation = annotations[index] if annotations else {}
                self.people.append(Person(len(self.pictures), index, keypoints, annotation))
        self.pictures.append(picture)


class SyntheticSet(PersonSource):
    """Procedural people (:mod:`distill.people.synthetic`), made from the seed: no download.

    ``people`` stand in every picture; 1 to 4, at random, when it is not given.
    """

    def __init__(self, count: int, seed: int, people: int | None = None) -> None:
        super().__init__(skeleton.COCO17_LABELLED, mask_missing=False)
        for index in range(count):
            scene = make_scene(seed * 1_000_003 + index, people=people)
            nobody = np.zeros((0, 4), np.float32)
            self.add(Picture(scene.pixels, scene.keypoints, nobody, 1.0, {"id": index}))
        if not self.people:
            raise UserError(f"synthetic:{count} has no people; ask for at least 1 picture")


class PeopleSet(PersonSource):
    """A COCO-format set. What cannot be used is left out and counted in ``skipped``.

    With ``in_memory`` false the pictures stay in their files, of which only presence and end are
    looked at; for sets that are larger than memory (one of 640 x 480 takes 0.33 MB).
    """

    def __init__(
        self, annotations: Path, images: Path, limit: int | None = None, in_memory: bool = True
    ) -> None:
        self.content = KeypointFile(annotations, boxes=False)
        self.joints = self.content.joints
        self.convert, labelled, mask_missing = CONVERTERS[self.joints]
        super().__init__(labelled, mask_missing)
        self.skipped = self.content.skipped
        for image in self.content.images[:limit]:
            path = images / image["file_name"]
            if not in_memory and {"width", "height"} <= image.keys():
                self._add_file(image, path)
                continue
            pixels = read_pixels(path, image, self.skipped)
            if pixels is not None:
                self._add(image, pixels)
        if self.skipped:
            log.warning("%s: left out %s", annotations, self.skipped)
        if not self.people:
            left = f" (left out: {self.skipped})" if self.skipped else ""
            raise UserError(
                f"{annotations}: no picture with a labelled person under {images}{left}"
            )

    def _add(self, image: dict[str, Any], pixels: np.ndarray) -> None:
        height, width = pixels.shape[:2]
        pixels, scale = _resize(pixels)
        people, ignore, marked = self._people(image, width, height, scale)
        self.add(Picture(pixels, people, ignore, scale, image), marked)

    def _add_file(self, image: dict[str, Any], path: Path) -> None:
        if not looks_whole(path):
            self.skipped.add("pictures missing or broken", path.name)
            return
        width, height = image["width"], image["height"]
        scale = min(1.0, MAX_SIDE / max(width, height))
        people, ignore, marked = self._people(image, width, height, scale)
        self.add(FilePicture(path, people, ignore, scale, image), marked)

    def _people(
        self, image: dict[str, Any], width: int, height: int, scale: float
    ) -> tuple[np.ndarray, np.ndarray, Sequence[dict[str, Any]]]:
        """Keypoints [P, 18, 3] and boxes to ignore in stored pixels, and the annotations."""
        marked, boxes = self.content.people_of(image, width, height)
        points = np.array([a["keypoints"] for a in marked], np.float32)
        points = self.convert(points.reshape(-1, self.joints, 3))
        people = np.where(points[..., 2:] > 0, _scale_points(points, scale), 0).astype(np.float32)
        return people, boxes * scale, marked
