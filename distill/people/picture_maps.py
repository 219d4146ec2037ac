"""A teacher's maps of whole pictures, made once and then looked at through any crop.

A teacher sees more at 256 pixels than a student at 128, and its maps of a picture cost more than a
training step of the student. So they are made once per picture, kept as bytes, and carried into
each random crop by the crop's own affine map: positions are interpolated, vectors are turned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ai8x_models.codec import BACKGROUND, FLIP_HEATMAPS, FLIP_PAFS, NUM_HEATMAPS, NUM_PAFS
from common.errors import UserError
from common.files import write_file

CHANNELS = NUM_HEATMAPS + NUM_PAFS
SCALE = 127  # the byte that stands for 1.0
STRIDE = 8  # of every teacher
GREY = 128
SPOT = 0.99
"""Cells, half width (standard deviation) of the teacher's spots at 368 pixels: median over the sure
points of 2,500 photographs, four fifths between 0.88 and 1.18."""
_FLIP = (*FLIP_HEATMAPS, *(NUM_HEATMAPS + channel for channel in FLIP_PAFS))

# RGB picture uint8 [size, size, 3] -> maps float32 [57, size / 8, size / 8]
Look = Callable[[np.ndarray], np.ndarray]


def fit_square(pixels: np.ndarray, size: int) -> np.ndarray:
    """The picture uint8 [H, W, 3] in a square of ``size``: longer side fitted, the rest grey.

    Small pictures are enlarged (cubic), large ones averaged over areas.
    """
    height, width = pixels.shape[:2]
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    canvas = np.full((size, size, 3), GREY, np.uint8)
    canvas[: shape[1], : shape[0]] = cv2.resize(pixels, shape, interpolation=method)
    return canvas


def wider(look: Look, factor: float) -> Look:
    """A teacher whose spots are ``factor`` times as wide and no higher; limbs stay as they are.

    A teacher that looks at more pixels draws narrower spots, in the student's pixels, than labels
    do, down to less than a cell of the student's grid, where a spot between two cells is half lost.
    """
    if factor == 1:
        return look
    blur = SPOT * float(np.sqrt(factor**2 - 1))

    def widened(pixels: np.ndarray) -> np.ndarray:
        maps = look(pixels).copy()
        spots = np.ascontiguousarray(maps[:BACKGROUND].transpose(1, 2, 0))
        wide = cv2.GaussianBlur(spots, (0, 0), blur) * factor**2
        highest = np.maximum(cv2.dilate(spots, np.ones((3, 3), np.uint8)), 0)
        maps[:BACKGROUND] = np.minimum(wide, highest).transpose(2, 0, 1)
        maps[BACKGROUND] = 1 - maps[:BACKGROUND].max(axis=0)
        return maps

    return widened


class PictureMaps:
    """Maps int8 [pictures, 57, side, side] of a folder's pictures, in one file that only grows.

    A killed writer leaves whole records and perhaps a torn last one, which is cut off.
    ``names`` are the pictures' file names in the order of the records.
    """

    def __init__(self, path: Path, names: Sequence[str], size: int) -> None:
        self.path, self.size, self.side = path, size, size // STRIDE
        self.names = list(names)
        self.place = {name: index for index, name in enumerate(self.names)}
        self.shape = (CHANNELS, self.side, self.side)
        self._maps: np.ndarray | None = None

    @property
    def record(self) -> int:
        """Bytes of one picture's maps."""
        return int(np.prod(self.shape))

    def known(self) -> int:
        """Pictures whose maps are there."""
        return self.path.stat().st_size // self.record if self.path.exists() else 0

    def fill(self, look: Look, read: Callable[[str], np.ndarray | None]) -> None:
        """Make the maps that are missing; pictures that cannot be read are grey.

        Raises:
            UserError: no room, or the file cannot be written.
        """
        self._describe()
        try:
            with self.path.open("ab") as file:
                file.truncate(self.known() * self.record)
                for name in self.names[self.known() :]:
                    pixels = read(name)
                    if pixels is None:
                        pixels = np.full((8, 8, 3), GREY, np.uint8)
                    maps = look(fit_square(pixels, self.size))
                    file.write(np.clip(np.rint(maps * SCALE), -127, 127).astype(np.int8).tobytes())
                    file.flush()
        except OSError as error:
            raise UserError(
                f"cannot write the teacher's maps {self.path}: {error.strerror or error}; make "
                "room and run again, what is there is kept"
            ) from None

    def _describe(self) -> None:
        facts = {"size": self.size, "names": self.names}
        write_file(self.path.with_suffix(".json"), json.dumps(facts))

    def get(self, name: str) -> np.ndarray:
        """int8 [57, side, side] of one picture."""
        if self._maps is None or self.place[name] >= len(self._maps):
            self._maps = np.memmap(self.path, np.int8, "r", shape=(self.known(), *self.shape))
        found: np.ndarray = self._maps[self.place[name]]
        return found


class NoMaps:
    """In the place of a teacher's maps, for pictures whose labels say everything.

    ``size``: as of :class:`PictureMaps`, whose maps may be in the same batch.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def get(self, name: str) -> np.ndarray:
        """int8 [57, side, side], zeros."""
        return np.zeros((CHANNELS, self.size // STRIDE, self.size // STRIDE), np.int8)


def maps_file(
    folder: Path, teacher: str, size: int, images: Path, names: Sequence[str], widen: float = 1.0
) -> Path:
    """Where the maps of a folder's pictures belong; ``teacher`` is the network's checksum."""
    as_is: list[object] = [teacher, size, str(images.resolve()), list(names)]
    facts = json.dumps(as_is if widen == 1 else [*as_is, widen])
    return folder / f"{hashlib.sha256(facts.encode()).hexdigest()[:16]}.maps"


def cell_map(matrix: np.ndarray, zoom: float, stride: int, size: int) -> np.ndarray:
    """The affine map float64 [2, 3] from a crop's cells to the cells of the picture's maps.

    ``matrix`` leads from picture to crop pixels, ``zoom`` is the teacher's pixels per picture
    pixel, ``stride`` the crop's pixels per cell, ``size`` the crop's side.
    """

    def scaling(factor: float) -> np.ndarray:  # about the corner of the first pixel
        return np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1]])

    to_crop = np.vstack([matrix, [0, 0, 1]])
    full = scaling(1 / STRIDE) @ scaling(zoom) @ np.linalg.inv(to_crop) @ scaling(stride)
    return np.asarray(full[:2])


def through_crops(maps: Tensor, cells: Tensor, flips: Tensor, side: int) -> Tensor:
    """Maps of whole pictures as they look through crops: float32 [N, 57, side, side].

    ``maps``: int8 [N, 57, h, h]; ``cells``: [N, 2, 3], see :func:`cell_map`; ``flips``: bool [N].
    Outside of the teacher's square there is nobody: zeros, and one for the background. Vectors
    take the direction that their limb has in the crop and keep their length.
    """
    height = maps.shape[-1]
    real = maps.float() / SCALE
    real[:, NUM_HEATMAPS - 1] -= 1  # so that what lies outside, zero, is background
    steps = torch.arange(side, dtype=torch.float64)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1)
    where = torch.einsum("nij,hwj->nhwi", cells.double(), points)
    grid = ((2 * where + 1) / height - 1).float()
    seen = F.grid_sample(real, grid, mode="bicubic", padding_mode="zeros", align_corners=False)
    seen[:, NUM_HEATMAPS - 1] += 1
    seen[flips] = seen[flips][:, list(_FLIP)]
    _turn(seen[:, NUM_HEATMAPS:], cells)
    return seen


def _turn(fields: Tensor, cells: Tensor) -> None:
    """Turn the vectors [N, 38, h, w] from picture to crop directions, in place."""
    linear = torch.linalg.inv(cells[:, :, :2].double()).float()
    x, y = fields[:, 0::2].clone(), fields[:, 1::2].clone()
    a, b, c, d = (linear[:, i, j, None, None, None] for i in (0, 1) for j in (0, 1))
    new_x, new_y = a * x + b * y, c * x + d * y
    length = torch.hypot(x, y) / torch.hypot(new_x, new_y).clamp(min=1e-6)
    fields[:, 0::2], fields[:, 1::2] = new_x * length, new_y * length
