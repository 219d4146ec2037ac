"""Pictures with everybody in them, seen through random views: ordinary photographs to learn from.

Unlike :class:`distill.people.crops.CropDataset`, which goes from person to person, this goes from
picture to picture: with several people, with nobody, labelled or not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from ai8x_models import codec, skeleton
from common import pictures
from common.errors import UserError
from common.incoming import Unfit, read_bytes
from distill.people.annotations import KeypointFile, Skipped, pixels_of, read_pixels
from distill.people.crops import colour_table, cut_out, transform_points, warp
from distill.people.person_sets import CONVERTERS, GREY
from distill.people.picture_maps import CHANNELS, NoMaps, PictureMaps, cell_map, through_crops
from distill.people.views import Views, draw_view

MARGIN = 0.15  # of a person's extent, around the marked points, where unmarked ones may be
HIDDEN = 1  # COCO's visibility of a point that is labelled and not seen
SEEN = 0.15  # a teacher's heatmap value from which unlabelled people are not called background


@dataclass
class Entry:
    """One picture: file name, people float32 [P, 18, 3], boxes to ignore [B, 4] in its pixels.

    ``size`` has the ``width`` and ``height`` that the labels are about, if any.
    """

    name: str
    people: np.ndarray
    ignore: np.ndarray
    size: dict[str, Any] = field(default_factory=dict)


class Pictures:
    """A folder of pictures with or without labels.

    ``annotations`` None: nothing is labelled, and a teacher speaks alone. ``in_memory``: encoded
    files are read once and kept; otherwise they are read whenever they are looked at.
    ``draw_labels``: labelled people are drawn into a teacher's maps (:func:`with_labels`).
    ``complete``: what is not marked is not there, and no teacher is asked. ``hidden`` false: points
    marked as hidden count as not marked.
    """

    def __init__(
        self, images: Path, annotations: Path | None, rotate: float = 1.0, in_memory: bool = True,
        draw_labels: bool = True, complete: bool = False, hidden: bool = True,
    ) -> None:  # fmt: skip
        self.in_memory, self.draw_labels = in_memory, draw_labels
        self.complete, self.hidden = complete, hidden
        self.images, self.labelled, self.rotate = images, annotations is not None, rotate
        self.skipped = Skipped()
        if annotations is None:
            names = sorted(
                p.name for p in images.iterdir() if p.suffix.lower() in pictures.SUFFIXES
            )
            nobody = np.zeros((0, 18, 3), np.float32)
            self.entries = [Entry(name, nobody, np.zeros((0, 4), np.float32)) for name in names]
        else:
            self.entries = self._read(annotations)
            if not any(os.path.isfile(images / entry.name) for entry in self.entries):
                raise UserError(f"none of the pictures of {annotations} is in {images}")
        if not self.entries:
            raise UserError(f"{images} holds no pictures that could be learnt from")
        self.files: dict[str, bytes] = {}
        self.maps: PictureMaps | NoMaps | None = None

    def _read(self, annotations: Path) -> list[Entry]:
        content = KeypointFile(annotations, nobody=True, boxes=False)
        convert = CONVERTERS[content.joints][0]
        entries = []
        for image in content.images:
            size = self._size(image, content.skipped)
            if size is None:
                continue
            marked, boxes = content.people_of(image, size["width"], size["height"])
            points = np.array([a["keypoints"] for a in marked], np.float32)
            people = convert(points.reshape(-1, content.joints, 3))
            if not self.hidden:
                people = _seen(people)
            if self.complete and len(boxes):
                raise UserError(
                    f"{annotations} has people without points, as crowds are, in "
                    f"{image['file_name']}, so its labels do not say everything; "
                    "leave out 'complete: true'"
                )
            entries.append(Entry(image["file_name"], people, boxes, size))
        self.skipped = content.skipped
        return entries

    def _size(self, image: dict[str, Any], skipped: Skipped) -> dict[str, Any] | None:
        """The size that a picture's labels are about; None, and counted, if it has another."""
        path = self.images / image["file_name"]
        if not {"width", "height"} <= image.keys():
            pixels = read_pixels(path, image, skipped)
            return None if pixels is None else _sides(pixels.shape[1::-1])
        stated = image["width"], image["height"]
        stored = pictures.size_in(path)
        if stored is not None and stated not in (stored, stored[::-1]):
            skipped.add("pictures of another size than annotated", path.name)
            return None
        return _sides(stated)

    def pixels(self, entry: Entry) -> np.ndarray | None:
        """uint8 [H, W, 3] RGB, or None when the file cannot be decoded or has another size."""
        data = self.files.get(entry.name)
        if data is None:
            try:
                data = read_bytes(self.images / entry.name, pictures.MAX_BYTES)
            except (OSError, Unfit):
                data = b""
            if self.in_memory:
                self.files[entry.name] = data
        if not data:
            self.skipped.add("pictures missing or unreadable", entry.name)
            return None
        return pixels_of(data, entry.name, entry.size, self.skipped)


def _seen(people: np.ndarray) -> np.ndarray:
    """People float32 [P, 18, 3] without their hidden points, and without whom that leaves none."""
    seen = np.where(people[..., 2:] == HIDDEN, np.float32(0), people)
    return seen[(seen[..., 2] > 0).any(axis=1)]


def _sides(size: Sequence[float]) -> dict[str, Any]:
    return dict(zip(("width", "height"), size, strict=True))


def known_cells(people: np.ndarray, ignore: np.ndarray, side: int, stride: int) -> np.ndarray:
    """Where labels can be believed: bool [57, h, w] for ``people`` [P, 18, 3] in view pixels.

    ``ignore``: polygons [B, 4, 2] in view pixels. A point that is not marked is unknown around its
    person, not absent; so are the limbs that it ends.
    """
    cells = side // stride
    known = np.ones((CHANNELS, cells, cells), bool)
    for person in people:
        marked = person[:, 2] > 0
        if marked.all() or not marked.any():
            continue
        heat, pafs = skeleton.loss_masks(marked)
        unknown = np.concatenate([heat, pafs]) == 0
        left, top, right, bottom = _cells_around(person[marked, :2], stride, cells)
        known[unknown, top:bottom, left:right] = False
    if len(ignore):
        area = np.ones((cells, cells), np.uint8)
        for corners in ignore:
            placed = np.round((corners - (stride - 1) / 2) / stride).astype(np.int32)
            cv2.fillConvexPoly(area, placed, (0,))
        known &= area.astype(bool)
    return known


def labelled_cells(people: np.ndarray, side: int, stride: int) -> np.ndarray:
    """Where labels say all there is to say: bool [57, h, w], the marked points' maps around people.

    A teacher that takes a left hand for a right one must not put both into the answer.
    """
    cells = side // stride
    said = np.zeros((CHANNELS, cells, cells), bool)
    for person in people:
        marked = person[:, 2] > 0
        if not marked.any():
            continue
        heat, pafs = skeleton.loss_masks(marked)
        left, top, right, bottom = _cells_around(person[marked, :2], stride, cells)
        said[np.concatenate([heat, pafs]) > 0, top:bottom, left:right] = True
    return said


def _cells_around(points: np.ndarray, stride: int, cells: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom cell of the box around some points, with a margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = MARGIN * float(max(high - low)) + stride
    left, top = np.floor((low - margin) / stride).astype(int).clip(0, cells)
    right, bottom = np.ceil((high + margin) / stride).astype(int).clip(0, cells)
    return int(left), int(top), int(right), int(bottom)


def _corners(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    x, y, w, h = boxes.reshape(-1, 4).T
    corners = np.stack([[x, y], [x + w, y], [x + w, y + h], [x, y + h]]).transpose(2, 0, 1)
    return np.asarray(corners @ matrix[:, :2].T + matrix[:, 2])


class ViewDataset(Dataset[dict[str, Any]]):
    """Random views of pictures; items are merged by :func:`merge`.

    Randomness depends on (seed, epoch, picture) alone.
    """

    MAX_PEOPLE = 12

    def __init__(
        self, pictures: Pictures, size: int, stride: int, views: Views, colour: float,
        cutout: float, seed: int,
    ) -> None:  # fmt: skip
        self.pictures, self.size, self.stride, self.views = pictures, size, stride, views
        self.colour, self.cutout, self.seed, self.epoch = colour, cutout, seed, 0
        self.entries = list(pictures.entries)
        self.refresh()

    def refresh(self) -> None:
        """Take up the pictures whose maps have been made meanwhile."""
        maps = self.pictures.maps
        if isinstance(maps, PictureMaps):
            known = maps.known()
            entries = self.pictures.entries
            self.entries = [e for e in entries if maps.place.get(e.name, known) < known]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> dict[str, Any]:
        entry = self.entries[index]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        pixels = self.pictures.pixels(entry)
        broken = pixels is None
        if pixels is None:
            pixels = np.full((8, 8, 3), GREY, np.uint8)
        shape = (pixels.shape[1], pixels.shape[0])
        matrix, flip = draw_view(
            self.views, shape, entry.people, self.size, rng, self.pictures.rotate
        )
        view = _recolour(warp(pixels, matrix, self.size), self.colour, rng)
        if rng.random() < self.cutout:
            cut_out(view, rng)
        people = transform_points(entry.people, matrix)
        if flip:
            people = people[:, list(skeleton.FLIP_KEYPOINTS)]
        inside = ((people[..., :2] >= -0.5) & (people[..., :2] <= self.size - 0.5)).all(-1)
        people = people[((people[..., 2] > 0) & inside).any(-1)][: self.MAX_PEOPLE]
        padded = np.zeros((self.MAX_PEOPLE, 18, 3), np.float32)
        padded[: len(people)] = people
        item: dict[str, Any] = {
            "image": view.transpose(2, 0, 1).copy(),
            "keypoints": padded,
            "known": self._known(entry, people, matrix, broken),
            "complete": np.bool_(self.pictures.complete and not broken),
        }
        if self.pictures.maps is not None:
            maps = self.pictures.maps
            zoom = maps.size / max(shape)
            item["maps"] = maps.get(entry.name)
            item["cells"] = cell_map(matrix, zoom, self.stride, self.size)
            item["flip"] = np.bool_(flip)
            item["said"] = self._said(people, broken)
            draw = self.pictures.draw_labels or self.pictures.complete
            item["draw"] = np.bool_(draw and not broken)
        return item

    def _known(
        self, entry: Entry, people: np.ndarray, matrix: np.ndarray, broken: bool
    ) -> np.ndarray:
        """Where the labels of a view can be believed, bool [57, h, w]."""
        if broken or not self.pictures.labelled:
            return np.zeros((CHANNELS, *[self.size // self.stride] * 2), bool)
        if self.pictures.complete:
            return self._said(people, broken)
        return known_cells(people, _corners(entry.ignore, matrix), self.size, self.stride)

    def _said(self, people: np.ndarray, broken: bool) -> np.ndarray:
        """Where the labels of a view say all there is to say, bool [57, h, w]."""
        if self.pictures.complete and not broken:
            return np.ones((CHANNELS, *[self.size // self.stride] * 2), bool)
        return labelled_cells(people, self.size, self.stride)


def _recolour(view: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    if strength:
        view = cv2.LUT(view, colour_table(strength, rng))
        if rng.random() < 0.1:
            grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)
            view = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
        kind = rng.random()
        if kind < 0.1:
            view = cv2.GaussianBlur(view, (3, 3), float(rng.uniform(0.3, 0.9)))
        elif kind < 0.2:
            noise = rng.normal(0, rng.uniform(2, 8), view.shape)
            view = np.clip(view + noise, 0, 255).astype(np.uint8)
    return view


def with_labels(teacher: torch.Tensor, drawn: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
    """The teacher's maps [N, 57, h, w] with the people it overlooked, drawn from their labels.

    The labels come from larger networks and larger pictures, so where they say that there is a
    point or a limb, a teacher that is silent must not talk the student out of it; and where they
    say all there is (``said`` bool [N, 57, h, w]), a teacher's other opinions do not count.
    """
    points, pafs = slice(0, codec.BACKGROUND), slice(codec.NUM_HEATMAPS, None)
    out = teacher.clone()
    out[:, points] = torch.maximum(teacher[:, points], drawn[:, points])
    out[:, codec.BACKGROUND] = torch.minimum(
        teacher[:, codec.BACKGROUND], drawn[:, codec.BACKGROUND]
    )
    fields, vectors = out[:, pafs].unflatten(1, (-1, 2)), drawn[:, pafs].unflatten(1, (-1, 2))
    limb = (vectors != 0).any(2, keepdim=True)
    out[:, pafs] = torch.where(limb, vectors, fields).flatten(1, 2)
    return torch.where(said, drawn, out)


def merge(items: Sequence[dict[str, Any]], stride: int, sigma: float) -> dict[str, torch.Tensor]:
    """A batch: ``image`` uint8 [N, 3, s, s], ``target`` float32 [N, 57, h, w] drawn from labels,
    ``known`` bool [N, 57, h, w], ``complete`` bool [N] (the labels say everything), and ``teacher``
    float32 [N, 57, h, w] where there are maps.

    Where a teacher sees somebody whom no label names, the labels are not believed. In the items
    that say ``draw`` labelled people are drawn into the teacher's maps (:func:`with_labels`).
    """
    batch = {key: torch.from_numpy(np.stack([i[key] for i in items])) for key in items[0]}
    size = batch["image"].shape[-1]
    people = int((batch["keypoints"][..., 2] > 0).any(-1).sum(1).max())
    points = batch.pop("keypoints")[:, : max(people, 1)].numpy()
    heat, pafs = codec.encode_batch(points, size, stride=stride, sigma=sigma)
    target = torch.from_numpy(np.concatenate([heat, pafs], axis=1))
    out = {key: batch[key] for key in ("image", "known", "complete")} | {"target": target}
    if "maps" in batch:
        side = size // stride
        teacher = through_crops(batch["maps"], batch["cells"], batch["flip"], side)
        seen = teacher[:, : codec.BACKGROUND].amax(1) > SEEN
        drawn = target.abs()[:, : codec.BACKGROUND].amax(1) > 0
        near = torch.nn.functional.max_pool2d(drawn.float()[:, None], 5, 1, 2)[:, 0] > 0
        out["known"] = out["known"] & ~(seen & ~near)[:, None]
        draw = batch["draw"]
        if draw.any():
            mended = with_labels(teacher[draw], target[draw], batch["said"][draw])
            teacher[draw] = mended
        out["teacher"] = teacher
    return out
