"""The maps a student is taught with: a teacher's, made on the fly or kept on disk.

Crops change at random, so a cache can only be exact when the same crops come again: with
``augment_variants: K`` every person has K fixed random crops, one per epoch in turn, and the
cache holds the teacher's maps of each. Its folder is named after everything the maps depend on
(teacher, data set, changes, seed, sizes), so that a changed recipe never reads stale maps.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ai8x_models.codec import FLIP_HEATMAPS, FLIP_PAFS, NUM_HEATMAPS, NUM_PAFS, STRIDE
from ai8x_models.student_file import load_student
from ai8x_models.students import Student
from common.errors import UserError
from common.files import replace_file, whole_file
from distill.people.crops import to_input
from distill.tasks.pose.teachers.openpose import (
    LightweightOpenPose,
    is_teacher,
    read_teacher_file,
    teacher_from,
)
from distill.tasks.pose.teachers.transformer import checkpoint as linear
from distill.tasks.pose.teachers.transformer.render import LinearTeacher

MAPS = NUM_HEATMAPS + NUM_PAFS


class StudentTeacher(nn.Module):
    """A trained student that teaches another: a small network after a large one, or its like."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps [N, 57, H/8, W/8] of inputs [N, 3, H, W], in a list like a teacher's stages."""
        return [torch.cat([maps.float() for maps in self.student.maps(x)], dim=1)]


TeacherNetwork = LightweightOpenPose | LinearTeacher
Teacher = TeacherNetwork | StudentTeacher


def _student_of(path: Path) -> StudentTeacher | None:
    """A pose student that works in real numbers, or None."""
    student, _ = load_student(path)
    if _widths(student) not in _MAPS or student.mode == "integer":
        return None
    return StudentTeacher(student)


_MAPS = ([NUM_HEATMAPS, NUM_PAFS], [MAPS])
"""Channels of a pose student's outputs."""


def _widths(student: Student) -> list[int]:
    layers = student.spec.layers
    return [layer.out_channels for layer in layers if layer.name in student.spec.outputs]


def load_pose_student(path: Path) -> Student:
    """A student of this task, in the mode it was saved with.

    Raises:
        UserError: unreadable, or of another task; its shapes are named.
    """
    student, _ = load_student(path)
    channels, rows, columns = student.spec.input_shape
    if channels != 3 or _widths(student) not in _MAPS:
        raise UserError(
            f"{path}: {student.spec.name} does not look for people in colour pictures (input "
            f"{channels}x{rows}x{columns}, outputs of {_widths(student)} channels); name a student "
            "of the task pose"
        )
    return student


def teacher_of(data: dict[str, Any], path: Path) -> TeacherNetwork | None:
    """The teacher in a checkpoint's content, or None if it is of another kind of network.

    Raises:
        UserError: it is not what it says it is.
    """
    if linear.is_linear(data):
        return linear.teacher_from(data, path)
    return teacher_from(data, path) if is_teacher(data) else None


def load_any_teacher(path: Path) -> Teacher:
    """A teacher of any kind that gives maps; the checkpoint says which.

    An ONNX file may be given where it is the Open Model Zoo's Lightweight OpenPose network.

    Raises:
        UserError: unreadable, no teacher of maps, or not what it says it is.
    """
    data = read_teacher_file(path)
    teacher: Teacher | None = teacher_of(data, path)
    if teacher is None and "network" in data.get("extras", {}):
        teacher = _student_of(path)
    if teacher is None:
        raise UserError(
            f"{path} holds '{data.get('arch', 'a network without a name')}', which gives no maps "
            "to learn from; a Lightweight OpenPose network, a pose transformer (make teacher "
            "TEACHER_KIND=transformer) or a pose student in real numbers is expected"
        )
    return teacher


def flip_back(maps: Tensor) -> Tensor:
    """Maps [N, 57, h, w] of mirrored pictures -> those of the pictures themselves.

    The tensor form of :func:`ai8x_models.codec.flip_maps`.
    """
    order = [*FLIP_HEATMAPS, *(NUM_HEATMAPS + channel for channel in FLIP_PAFS)]
    out = maps[:, order].flip(-1)
    out[:, NUM_HEATMAPS::2] *= -1  # the x components
    return out


def resize_maps(maps: Tensor, side: int) -> Tensor:
    """Maps [N, 57, h, h] on a grid of ``side`` cells; what lies where in the picture stays.

    Shrinking averages over areas, enlarging interpolates linearly; both keep cell centres true.
    """
    if maps.shape[-1] == side:
        return maps
    if maps.shape[-1] > side:
        return F.interpolate(maps, (side, side), mode="area")
    return F.interpolate(maps, (side, side), mode="bilinear", align_corners=False)


@torch.no_grad()
def teacher_maps(teacher: Teacher, image: Tensor, side: int, flip: bool = False) -> Tensor:
    """Maps float32 [N, 57, side, side] of uint8 images [N, 3, H, W], H any multiple of 8.

    With ``flip`` they are averaged with those of the mirrored images.
    """
    x = to_input(image).contiguous(memory_format=torch.channels_last)
    maps: Tensor = teacher(x)[-1].float()
    if flip:
        maps = (maps + flip_back(teacher(x.flip(-1))[-1].float())) / 2
    return resize_maps(maps, side)


class TeacherMaps:
    """Callable: a batch of the data module -> the teacher's maps for it, on the batch's device.

    Uses ``batch["teacher_image"]`` where the teacher sees larger crops, else ``batch["image"]``.
    With a cache, ``batch["sample"]`` int64 [N, 3] (set, variant, person) says which are known.
    """

    def __init__(self, teacher: Teacher, flip: bool = False, cache: MapCache | None = None) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.flip, self.cache = flip, cache

    def __call__(self, batch: dict[str, Tensor]) -> Tensor:
        """float32 [N, 57, h, w] on the student's grid."""
        image = batch.get("teacher_image", batch["image"])
        cells = batch["image"].shape[-1] // STRIDE
        side = batch["target"].shape[-1] if "target" in batch else cells
        if self.cache is None:
            return self._compute(image, side)
        samples = batch["sample"].tolist()
        out, known = self.cache.get(samples)
        if not known.all():
            unknown = np.flatnonzero(~known)
            fresh = self._compute(image[torch.from_numpy(unknown)], side).cpu().numpy()
            out[unknown] = self.cache.put([samples[index] for index in unknown], fresh)
        return torch.from_numpy(out).to(batch["image"].device)

    def _compute(self, image: Tensor, side: int) -> Tensor:
        self.teacher.to(image.device)
        return teacher_maps(self.teacher, image, side, self.flip)


@dataclass(frozen=True)
class CacheKey:
    """All that the cached maps depend on, as plain values."""

    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """Folder name: the start of a SHA-256 over the facts."""
        text = json.dumps(self.facts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


class MapCache:
    """Maps on disk, float16 [people, 57, side, side] per data set and variant, filled as needed.

    ``sizes`` are the numbers of people of the data sets. A file of flags beside the maps says
    which are there; it is written after them, so a killed run leaves no half-written maps marked
    as known. Rounding to float16 is applied to fresh maps too: a second run learns the same.
    """

    def __init__(self, folder: Path, key: CacheKey, sizes: list[int], side: int) -> None:
        self.folder, self.sizes, self.side = folder / key.name, sizes, side
        self._files: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        try:
            facts = json.dumps(key.facts, indent=1, sort_keys=True)
            replace_file(self.folder / "key.json", facts.encode())
        except OSError as error:
            raise UserError(
                f"cannot make the teacher's cache {self.folder}: {error.strerror or error}"
            ) from None

    def _open(self, which: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Maps and flags of one set and variant, made when they do not exist."""
        if which not in self._files:
            people = self.sizes[which[0]]
            stem = self.folder / f"set{which[0]}-variant{which[1]}"
            self._files[which] = (
                _memory_map(stem.with_suffix(".maps.npy"), "f2", (people, MAPS, *[self.side] * 2)),
                _memory_map(stem.with_suffix(".known.npy"), "u1", (people,)),
            )
        return self._files[which]

    def get(self, samples: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Maps float32 [n, 57, side, side] (zeros where unknown) and bool [n], which are known."""
        out = np.zeros((len(samples), MAPS, self.side, self.side), np.float32)
        known = np.zeros(len(samples), bool)
        for row, (dataset, variant, person) in enumerate(samples):
            maps, flags = self._open((dataset, variant))
            if flags[person]:
                out[row], known[row] = maps[person], True
        return out, known

    def put(self, samples: list[list[int]], fresh: np.ndarray) -> np.ndarray:
        """Keep ``fresh`` [n, 57, side, side]; returns it as it will be read again."""
        rounded = fresh.astype(np.float16)
        for (dataset, variant, person), maps in zip(samples, rounded, strict=True):
            stored, flags = self._open((dataset, variant))
            stored[person] = maps
            flags[person] = 1
        return rounded.astype(np.float32)


def _memory_map(path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Open an array on disk for reading and writing; a new one is zeros, and appears whole."""
    try:
        if not path.exists():
            with whole_file(path) as partial:
                _write_zeros(partial, np.dtype(dtype), shape)
        opened = np.lib.format.open_memmap(path, "r+")
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot use the teacher's cache {path}: {error}; free some disk space, or remove the "
            "folder to start afresh"
        ) from None
    if opened.shape != shape or opened.dtype != np.dtype(dtype):
        raise UserError(f"{path} holds {opened.dtype} {opened.shape}, not {shape}; remove it")
    return opened


def _write_zeros(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Write a ``.npy`` file of zeros, row by row.

    The space is claimed now: a full disk fails this write with a message, whereas a write into a
    memory map of a file with holes would end the process.
    """
    row = bytes(int(np.prod(shape[1:])) * dtype.itemsize)
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(shape[0]):
            file.write(row)
