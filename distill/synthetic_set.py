"""Synthetic people as a data set in memory: training that needs no download."""

from __future__ import annotations

import numpy as np

from ai8x_models.skeleton import COCO17_LABELLED, NUM_KEYPOINTS
from distill.data import Person, Picture
from distill.synthetic import make_scene
from synthesize.chip.errors import UserError

_MIN_POINTS = 4  # people with fewer are drawn, and in the targets, but get no crop of their own
_SEED_STRIDE = 1_000_003  # keeps the pictures of neighbouring seeds apart


class SyntheticSet:
    """``count`` pictures of procedural people, with the interface of :class:`PeopleSet`.

    The same (count, seed) gives the same pictures.  Everything is labelled: a point without a
    label is out of sight, and its map is empty.
    """

    mask_missing = False

    def __init__(self, count: int, seed: int = 0, size: int = 192) -> None:
        if count < 1:
            raise UserError(f"synthetic:{count} has no pictures; ask for at least synthetic:1")
        self.labelled = COCO17_LABELLED
        self.joints = NUM_KEYPOINTS
        self.skipped = 0
        self.pictures: list[Picture] = []
        self.people: list[Person] = []
        nobody = np.zeros((0, 4), np.float32)
        for index in range(count):
            scene = make_scene(seed * _SEED_STRIDE + index, size, size)
            source = {"id": index, "width": size, "height": size}
            for place, points in enumerate(scene.keypoints):
                if (points[:, 2] > 0).sum() >= _MIN_POINTS:
                    self.people.append(Person(index, place, points, {}))
            self.pictures.append(Picture(scene.pixels, scene.keypoints, nobody, 1.0, source))
