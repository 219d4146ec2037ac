"""Square crops of people with masked 18-point targets.

The people come from :mod:`distill.people.person_sets`; an evaluation crop depends on its person
alone, a training crop on (seed, epoch, person).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from ai8x_models import codec, skeleton
from distill.people.person_sets import GREY, FilePicture, PersonSource, Picture

CROP_FACTOR = 1.3  # side of an evaluation crop over the longer side of the marked joints


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes; the defaults change nothing but the evaluation crop."""

    scale: tuple[float, float] = (CROP_FACTOR, CROP_FACTOR)  # crop side over person size
    rotate: float = 0.0  # degrees, either way
    shift: float = 0.0  # of the crop side, either way
    flip: float = 0.0  # probability
    colour: float = 0.0  # strength of brightness, contrast, and per-channel gain changes
    cutout: float = 0.0  # probability
    whole: float = 0.0  # probability of the whole picture, fitted in as in deployment


def person_box(keypoints: np.ndarray) -> tuple[float, float, float]:
    """Centre (x, y) of the marked joints and the longer side of their extent, in pixels."""
    marked = keypoints[keypoints[:, 2] > 0, :2]
    low, high = marked.min(axis=0), marked.max(axis=0)
    centre = (low + high) / 2
    return float(centre[0]), float(centre[1]), float(max(high - low))


def crop_matrix(
    centre: tuple[float, float], side: float, size: int, angle: float = 0.0, flip: bool = False
) -> np.ndarray:
    """Affine map float64 [2, 3] from picture to crop pixels (pixel centres at whole numbers)."""
    scale = size / max(side, 1.0)
    radians = np.deg2rad(angle)
    linear = scale * np.array(
        [[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]]
    )
    if flip:
        linear[0] *= -1
    offset = (size - 1) / 2 - linear @ np.asarray(centre)
    return np.hstack([linear, offset[:, None]])


def whole_matrix(shape: tuple[int, int], size: int, flip: bool = False) -> np.ndarray:
    """Affine map of a picture (width, height) into ``size`` pixels as in deployment.

    The longer side fills the input, the rest at the right and below is grey (flipped: mirrored).
    """
    matrix = _scale_matrix(np.eye(2, 3), size / max(shape))
    if flip:
        matrix[0] = -matrix[0]
        matrix[0, 2] += size - 1
    return matrix


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply an affine map to points [..., 3], keeping visibility and zeroing missing ones."""
    out = points.copy()
    out[..., :2] = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    out[points[..., 2] <= 0] = 0
    return out


def warp(pixels: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Crop uint8 [size, size, 3]; outside the picture it is grey 128."""
    scale = _zoom(matrix)
    if scale < 0.5:  # bilinear sampling alone would skip pixels
        columns, rows = (max(1, round(2 * scale * side)) for side in pixels.shape[1::-1])
        small = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA)
        step = np.array([pixels.shape[1] / small.shape[1], pixels.shape[0] / small.shape[0]])
        matrix = _matrix_from(matrix, step)
        pixels = small
    return cv2.warpAffine(
        pixels, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=(GREY, GREY, GREY)
    )


def evaluation_crop(picture: Picture, keypoints: np.ndarray, size: int) -> tuple[Any, Any]:
    """Crop of the deployment evaluation: side 1.3 x the longer side of the marked joints."""
    x, y, extent = person_box(keypoints)
    matrix = crop_matrix((x, y), CROP_FACTOR * extent, size)
    return warp(picture.pixels, matrix, size), matrix


def _matrix_from(matrix: np.ndarray, step: float | np.ndarray) -> np.ndarray:
    """The affine map to the same crop from a picture whose pixels are ``step`` (x, y) wide."""
    factor = np.broadcast_to(step, 2)
    offset = matrix[:, 2] + matrix[:, :2] @ (0.5 * factor - 0.5)
    return np.hstack([matrix[:, :2] * factor, offset[:, None]])


def _zoom(matrix: np.ndarray) -> float:
    """Crop pixels per pixel of the picture."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def _scale_matrix(matrix: np.ndarray, factor: float) -> np.ndarray:
    """The affine map to the same crop in pixels ``factor`` times as small."""
    out = matrix * factor
    out[:, 2] += (factor - 1) / 2  # positions scale about (-0.5, -0.5)
    return out


def colour_table(strength: float, rng: np.random.Generator) -> np.ndarray:
    """Look-up table uint8 [1, 256, 3] of a random change of brightness, contrast and tint."""
    gain = 1 + strength * rng.uniform(-1, 1)
    channels = gain * (1 + 0.5 * strength * rng.uniform(-1, 1, 3))
    offset = 128 * strength * rng.uniform(-1, 1)
    table = np.arange(256)[:, None] * channels + offset + 128 * (1 - gain)
    return np.clip(table, 0, 255).astype(np.uint8).reshape(1, 256, 3)


def cut_out(pixels: np.ndarray, rng: np.random.Generator) -> None:
    """Paint a random rectangle of a square picture in one colour, in place."""
    size = pixels.shape[0]
    height, width = rng.integers(size // 10, size // 4, 2)
    top, left = rng.integers(0, size - height), rng.integers(0, size - width)
    pixels[top : top + height, left : left + width] = rng.integers(0, 256, 3)


def _ignore_map(boxes: np.ndarray, matrix: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Spatial loss weight float32 [h, w]: zero where people without keypoints are."""
    weight = np.ones((size // stride, size // stride), np.uint8)
    for x, y, w, h in boxes:
        corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
        mapped = (corners @ matrix[:, :2].T + matrix[:, 2] - (stride - 1) / 2) / stride
        cv2.fillConvexPoly(weight, np.round(mapped).astype(np.int32), (0,))
    return weight.astype(np.float32)


class CropDataset(Dataset[dict[str, torch.Tensor]]):
    """Random or evaluation crops about every person of a set.

    Items: ``image`` uint8 [3, size, size] RGB, ``keypoints`` float32 [P, 18, 3] padded to
    ``MAX_PEOPLE``, ``target_person`` float32 [18, 3] (the person the crop was made for),
    ``channels`` float32 [57] and ``area`` float32 [h, w] loss weights, ``sample`` int64 [3]:
    which set of the mixture (``number``), which random variant, which person. With
    ``teacher_size`` also ``teacher_image``, the same crop at another size, without cut-out.
    With ``variants`` each person has so many random crops, one per epoch in turn, instead of a
    new one in every epoch.
    Targets are made per batch by :func:`collate`, which is several times faster.
    """

    MAX_PEOPLE = 8

    def __init__(
        self,
        people: PersonSource,
        size: int,
        augment: Augmentation,
        seed: int = 0,
        *,
        number: int = 0,
        variants: int = 0,
        teacher_size: int = 0,
    ) -> None:
        self.set, self.size, self.augment, self.seed = people, size, augment, seed
        self.number, self.variants, self.teacher_size = number, variants, teacher_size
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.set.people)

    def _view(
        self, picture: Picture, keypoints: np.ndarray, rng: np.random.Generator
    ) -> tuple[Any, bool]:
        """The map into a crop about a person, or now and then of the whole picture."""
        if self.augment.whole and rng.random() < self.augment.whole:
            flip = bool(rng.random() < self.augment.flip)
            return whole_matrix(picture.size(), self.size, flip), flip
        return self._matrix(keypoints, rng)

    def _matrix(self, keypoints: np.ndarray, rng: np.random.Generator) -> tuple[Any, bool]:
        augment = self.augment
        x, y, extent = person_box(keypoints)
        side = extent * rng.uniform(*augment.scale)
        shift = augment.shift * side * rng.uniform(-1, 1, 2)
        angle = augment.rotate * rng.uniform(-1, 1)
        flip = bool(rng.random() < augment.flip)
        return crop_matrix((x + shift[0], y + shift[1]), side, self.size, angle, flip), flip

    def _crops(self, picture: Picture, matrix: np.ndarray) -> list[np.ndarray]:
        """The student's crop and, where it is to see another size, the teacher's."""
        views = [(matrix, self.size)]
        if self.teacher_size:
            larger = _scale_matrix(matrix, self.teacher_size / self.size)
            views.append((larger, self.teacher_size))
        if not isinstance(picture, FilePicture) or self.augment == Augmentation():
            pixels = picture.pixels
            return [warp(pixels, view, size) for view, size in views]
        pixels, step = picture.reduced(max(_zoom(view) for view, _ in views))
        return [warp(pixels, _matrix_from(view, step), size) for view, size in views]

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        person = self.set.people[index]
        picture = self.set.pictures[person.picture]
        variant = self.epoch % self.variants if self.variants else self.epoch
        rng = np.random.default_rng((self.seed, variant, index))
        matrix, flip = self._view(picture, person.keypoints, rng)
        crops = self._crops(picture, matrix)
        if self.augment.colour:
            table = colour_table(self.augment.colour, rng)
            crops = [cv2.LUT(pixels, table) for pixels in crops]
        if rng.random() < self.augment.cutout:
            cut_out(crops[0], rng)
        points = transform_points(picture.people, matrix)
        if flip:  # the picture is mirrored by the matrix; left and right change names
            points = points[:, list(skeleton.FLIP_KEYPOINTS)]
        labelled = self.set.labelled
        if self.set.mask_missing:
            labelled = labelled & (points[..., 2] > 0).all(axis=0)
        if picture.broken:
            points, labelled = np.zeros_like(points), np.zeros_like(labelled)
        heat, pafs = skeleton.loss_masks(labelled)
        area = _ignore_map(picture.ignore, matrix, self.size, codec.STRIDE)
        images = [torch.from_numpy(np.ascontiguousarray(c.transpose(2, 0, 1))) for c in crops]
        item = {
            "image": images[0],
            "keypoints": torch.from_numpy(_pad(points, self.MAX_PEOPLE)),
            "target_person": torch.from_numpy(points[person.index]),
            "channels": torch.from_numpy(np.concatenate([heat, pafs])),
            "area": torch.from_numpy(area),
            "sample": torch.tensor([self.number, variant, index]),
        }
        if self.teacher_size:
            item["teacher_image"] = images[1]
        return item


def _pad(points: np.ndarray, count: int) -> np.ndarray:
    """Keep the ``count`` people with most points; fill up with invisible ones."""
    order = np.argsort(-(points[..., 2] > 0).sum(axis=1), kind="stable")[:count]
    out = np.zeros((count, 18, 3), np.float32)
    out[: len(order)] = points[order]
    return out


def collate(
    items: Sequence[dict[str, torch.Tensor]], sigma: float = codec.SIGMA
) -> dict[str, torch.Tensor]:
    """Stack items and encode their targets: adds ``target`` float32 [N, 57, h, w].

    ``sigma`` is the width in pixels of the heatmaps' Gaussians.
    """
    batch = {key: torch.stack([item[key] for item in items]) for key in items[0]}
    size = batch["image"].shape[-1]
    people = int((batch["keypoints"][..., 2] > 0).any(-1).sum(1).max())
    heat, pafs = codec.encode_batch(
        batch["keypoints"][:, : max(people, 1)].numpy(), size, sigma=sigma
    )
    batch["target"] = torch.from_numpy(np.concatenate([heat, pafs], axis=1))
    return batch


def to_input(image: torch.Tensor) -> torch.Tensor:
    """uint8 pixels -> network input float32 (pixel - 128) / 128."""
    return (image.float() - GREY) / GREY
