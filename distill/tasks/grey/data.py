"""Square grey crops of single people, with their points as fractions of the crop.

A point's coordinates are ``(x + 0.5) / size``: 0 is the left edge of the crop, 1 the right one,
whatever its size in pixels. Training is split from validation by photo series, so that no picture
of a series validates what another one of it has taught.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch

from ai8x_models.preprocess import to_grey
from ai8x_models.skeleton import FLIP_KEYPOINTS
from common.errors import UserError
from distill.people.crops import Augmentation, CropDataset, evaluation_crop, transform_points, warp
from distill.people.mixture import Mixture, open_set
from distill.people.person_sets import GREY, PeopleSet, PersonSource, Picture, SyntheticSet
from distill.people.recipe import SetConfig
from distill.tasks.grey.points import Points, points_of
from distill.tasks.grey.recipe import GreyRecipe, GreyRun


class _Grey(PersonSource):
    """Keeps the pictures in grey, a third of the memory."""

    def add(self, picture: Picture, annotations: Any = ()) -> None:
        """See :meth:`PersonSource.add`."""
        picture.pixels = to_grey(picture.pixels)
        super().add(picture, annotations)


class GreyPeople(_Grey, PeopleSet):
    """A COCO-format set in grey."""


class GreySynthetic(_Grey, SyntheticSet):
    """Procedural people in grey."""


def open_grey(config: SetConfig, seed: int) -> PersonSource:
    """As :func:`distill.people.mixture.open_set`, in grey."""
    return open_set(config, seed, drawn=GreySynthetic, read=GreyPeople)


def fractions(points: np.ndarray, size: int) -> np.ndarray:
    """Points [..., 3] in crop pixels -> fractions of the crop; points outside become invisible."""
    out = points.astype(np.float32, copy=True)
    out[..., :2] = (out[..., :2] + 0.5) / size
    outside = ((out[..., :2] < 0) | (out[..., :2] > 1)).any(axis=-1) | (out[..., 2] <= 0)
    out[outside] = 0
    return out


def fractions_of(points: np.ndarray, size: int) -> np.ndarray:
    """Points [..., 3] in crop pixels -> fractions of the crop; the third value stays."""
    out = points.astype(np.float64, copy=True)
    out[..., :2] = (out[..., :2] + 0.5) / size
    return out


def pixels_of(points: np.ndarray, size: int) -> np.ndarray:
    """The inverse of :func:`fractions_of`."""
    out = points.astype(np.float64, copy=True)
    out[..., :2] = out[..., :2] * size - 0.5
    return out


class GreyCrops(CropDataset):
    """Random or evaluation crops about some people of a set.

    Items: ``image`` uint8 [1, size, size]; ``points`` float32 [K, 3], fractions and 1 (in the crop)
    or 0; ``known`` float32 [K], 0 where nobody can say whether the point is visible; ``taught``
    float32 [K, 3], the teacher's points in this crop, where :attr:`lesson` holds them.

    Attributes:
        chosen: indices of the people.
        lesson: float64 [people of the set, 18, 3], the teacher's points in picture pixels, or None.
    """

    def __init__(
        self,
        people: PersonSource,
        points: Points,
        size: int,
        augment: Augmentation,
        seed: int = 0,
        chosen: list[int] | None = None,
    ) -> None:
        super().__init__(people, size, augment, seed)
        self.points = points
        self.chosen = list(range(len(people.people))) if chosen is None else chosen
        self.lesson: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.chosen)

    def _fractions(self, points: np.ndarray, matrix: np.ndarray, flip: bool) -> np.ndarray:
        """Points [18, 3] of the picture as this task's points of the crop."""
        moved = transform_points(points, matrix)
        if flip:
            moved = moved[list(FLIP_KEYPOINTS)]
        return self.points.take(fractions(moved, self.size))

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        number = self.chosen[index]
        person = self.set.people[number]
        rng = np.random.default_rng((self.seed, self.epoch, number))
        matrix, flip = self._matrix(person.keypoints, rng)
        image = warp(self.set.pictures[person.picture].pixels, matrix, self.size)
        image = _changed(image, self.augment, rng)
        points = self._fractions(person.keypoints, matrix, flip)
        points[:, 2] = points[:, 2] > 0
        marked = person.keypoints[:, 2] > 0
        # An unmarked point is unknown in a set that marks what it can see, hidden in any other.
        known = marked if self.set.mask_missing else self.set.labelled
        known = known[list(FLIP_KEYPOINTS)] if flip else known
        item = {
            "image": torch.from_numpy(image[None]),
            "points": torch.from_numpy(points),
            "known": torch.from_numpy(known[list(self.points.places)].astype(np.float32)),
        }
        if self.lesson is not None:
            item["taught"] = torch.from_numpy(self._fractions(self.lesson[number], matrix, flip))
        return item

    def evaluation(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The unchanged crop uint8 [size, size] of a person and its matrix."""
        person = self.set.people[self.chosen[index]]
        return evaluation_crop(self.set.pictures[person.picture], person.keypoints, self.size)

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
        """Unchanged crops uint8 [n, 1, size, size] with their matrices [n, 2, 3]."""
        for first in range(0, len(self), size):
            pairs = [self.evaluation(i) for i in range(first, min(first + size, len(self)))]
            images = torch.from_numpy(np.stack([image for image, _ in pairs])[:, None])
            yield images, np.stack([matrix for _, matrix in pairs])


def _changed(image: np.ndarray, augment: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Random contrast and brightness, and a random rectangle of one value."""
    if augment.colour:
        gain = 1 + augment.colour * rng.uniform(-1, 1)
        offset = GREY * augment.colour * rng.uniform(-1, 1)
        table = (np.arange(256) - GREY) * gain + GREY + offset
        image = cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8))
    if rng.random() < augment.cutout:
        size = len(image)
        height, width = rng.integers(size // 10, size // 4, 2)
        top, left = rng.integers(0, size - height), rng.integers(0, size - width)
        image[top : top + height, left : left + width] = rng.integers(0, 256)
    return image


def split_by_series(people: PersonSource, share: float) -> tuple[list[int], list[int]]:
    """People for training and for validation, about ``share`` of them, photo series undivided.

    A picture without ``series_id`` is a series of its own. The split depends on the series' names
    alone, so it is the same in every run.

    Raises:
        UserError: one of the parts would be empty.
    """
    parts: tuple[list[int], list[int]] = ([], [])
    for index, person in enumerate(people.people):
        source = people.pictures[person.picture].source
        series = str(source.get("series_id", f"picture {source.get('id')}"))
        parts[zlib.crc32(series.encode()) % 10_000 < share * 10_000].append(index)
    if not all(parts):
        raise UserError(
            f"{len(people.people)} people cannot be split with validation_share {share}; name a "
            "larger set, or one under 'validation'"
        )
    return parts


class GreyData(Mixture[GreyCrops]):
    """Training and validation crops of a recipe."""

    recipe: GreyRun

    def __init__(self, recipe: GreyRun) -> None:
        super().__init__(recipe)

    def start(self, epoch: int) -> None:
        """Small crops may come first."""
        super().start(epoch)
        if isinstance(self.recipe, GreyRecipe):
            for dataset in self.train:
                dataset.size = self.recipe.side(epoch)

    def setup(self, stage: str) -> None:
        """Read all sets; the second call does nothing."""
        if self.train:
            return
        recipe = self.recipe
        points, augment = points_of(recipe.keypoints), recipe.augment.build()
        for config in (c for c in recipe.train if c.weight > 0):
            people = open_grey(config, recipe.seed)
            chosen = list(range(len(people.people)))
            kept: list[int] = []
            if not recipe.validation:
                chosen, kept = split_by_series(people, recipe.validation_share)
            crops = GreyCrops(people, points, recipe.size, augment, recipe.seed, chosen)
            self.train.append(crops)
            self.weights.append(config.weight)
            if kept:
                unchanged = GreyCrops(people, points, recipe.size, Augmentation(), 0, kept)
                self.validation.append(unchanged)
        if not self.train:
            raise UserError("the recipe names no data set under 'train'")
        self.validation += [
            GreyCrops(open_grey(c, recipe.seed + 1), points, recipe.size, Augmentation())
            for c in recipe.validation
        ]
