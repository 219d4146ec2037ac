"""Train a student or a teacher of maps."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ai8x_models.codec import STRIDE
from ai8x_models.students import Student
from common.errors import UserError
from common.files import checksum
from distill.engine import run
from distill.engine.machine import processor_has_bfloat16
from distill.people.crops import Augmentation, CropDataset, to_input
from distill.people.mixture import PoseData, open_set
from distill.people.picture_data import PictureData
from distill.people.picture_maps import Look
from distill.tasks.pose.module import PoseModule, TeacherModule, TeacherViewModule, ViewModule
from distill.tasks.pose.recipe import (
    PictureLearning,
    PictureRecipe,
    PictureTeacherRecipe,
    Recipe,
    TeacherRecipe,
)
from distill.tasks.pose.teacher_maps import (
    CacheKey,
    MapCache,
    TeacherMaps,
    load_any_teacher,
    load_pose_student,
)
from distill.tasks.pose.teachers.openpose import LightweightOpenPose, load_teacher, save_teacher


def calibration_inputs(recipe: Recipe) -> torch.Tensor:
    """Unchanged training crops as network input, float32 [n, 3, size, size]."""
    first = next(config for config in recipe.train if config.weight > 0)
    crops = CropDataset(open_set(first, recipe.seed), recipe.size, Augmentation())
    chosen = run.spread(recipe.qat.calibration_images, len(crops))
    return to_input(torch.stack([crops[i]["image"] for i in chosen]))


def open_teacher(recipe: Recipe, data: PoseData) -> TeacherMaps | None:
    """The recipe's teacher with its cache, or None when it names none."""
    if not recipe.teacher:
        return None
    path = Path(recipe.teacher)
    teacher = load_any_teacher(path)
    cache = None
    if recipe.teacher_cache:
        data.setup("fit")
        sizes = [len(dataset) for dataset in data.train]
        key = CacheKey(
            {
                "teacher": checksum(path),
                "flip": recipe.teacher_flip,
                "teacher_size": recipe.teacher_size,
                "size": recipe.size,
                "seed": recipe.seed,
                "augment": repr(recipe.augment),
                "variants": recipe.augment_variants,
                "sets": [repr(c) for c in recipe.train if c.weight > 0],
                "people": sizes,
            }
        )
        cache = MapCache(Path(recipe.teacher_cache), key, sizes, recipe.size // STRIDE)
    return TeacherMaps(teacher, recipe.teacher_flip, cache)


def first_student(recipe: Recipe) -> Student:
    """A new student, or the one to start from."""
    student = Student(recipe.student)
    if recipe.start_from:
        student = load_pose_student(Path(recipe.start_from))
    stride = map_stride(student, recipe.size)
    if stride != STRIDE:
        raise UserError(
            f"student '{student.spec.name}' answers on a grid of {stride} pixels, crops teach one "
            f"of {STRIDE}; write kind: pictures, or choose another student"
        )
    return student


def train_student(recipe: Recipe) -> Path:
    """Run a student's recipe, resuming a killed run; returns the student's file."""

    def prepare(student: Student) -> tuple[PoseModule, PoseData]:
        data = PoseData(recipe)
        return PoseModule(student, recipe, open_teacher(recipe, data)), data

    return run.train_student(
        recipe, lambda: first_student(recipe), lambda: calibration_inputs(recipe), prepare
    )


def picture_look(path: Path) -> Look:
    """A teacher as what it answers to one square picture.

    In bfloat16 where the processor multiplies it itself: 2.6 times as fast for the MobileNet
    teacher, and 0.0002 away from float32 in the mean, where a kept map has steps of 0.008.

    Raises:
        UserError: the file holds no teacher of maps.
    """
    layout = torch.channels_last
    teacher = load_any_teacher(path).eval()
    teacher.to(memory_format=layout)  # type: ignore[call-overload]
    fast = torch.autocast("cpu", torch.bfloat16, enabled=processor_has_bfloat16())

    @torch.no_grad()
    def look(pixels: np.ndarray) -> np.ndarray:
        chw = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        with fast:
            answer = teacher(to_input(chw[None]).contiguous(memory_format=layout))
        maps: np.ndarray = answer[-1][0].float().numpy()
        return maps

    return look


def map_stride(student: Student, size: int) -> int:
    """Input pixels per cell of a student's maps."""
    mode, training = student.mode, student.training
    student.eval().set_mode("float")
    with torch.no_grad():
        answer = student(torch.zeros(1, 3, size, size))[0]
    student.set_mode(mode).train(training)
    return size // int(answer.shape[-1])


def picture_data(recipe: PictureLearning, stride: int) -> PictureData:
    """A run's pictures, and its picture teacher if it names one; ``stride`` of the maps."""
    look = picture_look(Path(recipe.picture_teacher)) if recipe.picture_teacher else None
    return PictureData(recipe, stride, look)


def train_on_pictures(recipe: PictureRecipe) -> Path:
    """Run a student's recipe on ordinary pictures, resuming a killed run; returns its file."""

    def make() -> Student:
        if recipe.start_from:
            return load_pose_student(Path(recipe.start_from))
        return Student(recipe.student)

    @functools.cache
    def data() -> PictureData:
        return picture_data(recipe, map_stride(make(), recipe.size))

    def prepare(student: Student) -> tuple[ViewModule, PictureData]:
        teacher = None
        if recipe.teacher:
            teacher = TeacherMaps(load_any_teacher(Path(recipe.teacher)), recipe.teacher_flip)
        return ViewModule(student, recipe, teacher), data()

    def inputs() -> torch.Tensor:
        return to_input(data().unchanged(recipe.qat.calibration_images))

    return run.train_student(recipe, make, inputs, prepare)


def first_teacher(recipe: TeacherRecipe | PictureTeacherRecipe) -> LightweightOpenPose:
    """A new teacher, or the one to start from."""
    if recipe.start_from:
        return load_teacher(Path(recipe.start_from))[0].train()
    return LightweightOpenPose(recipe.stages, recipe.width)


def _save(module: TeacherModule, path: Path, extras: dict[str, Any]) -> None:
    recipe = module.recipe
    assert isinstance(recipe, (TeacherRecipe, PictureTeacherRecipe))
    save_teacher(module.teacher, path, recipe.epochs, {**extras, "sigma": recipe.sigma})


def train_teacher(recipe: TeacherRecipe) -> Path:
    """Run a teacher's recipe, resuming a killed run; returns the teacher's file."""

    def prepare() -> tuple[TeacherModule, PoseData]:
        return TeacherModule(first_teacher(recipe), recipe), PoseData(recipe)

    return run.train(recipe, "teacher", prepare, _save)


def train_teacher_on_pictures(recipe: PictureTeacherRecipe) -> Path:
    """As :func:`train_teacher`, on views of ordinary pictures."""

    def prepare() -> tuple[TeacherModule, PictureData]:
        return TeacherViewModule(first_teacher(recipe), recipe), picture_data(recipe, STRIDE)

    return run.train(recipe, "teacher", prepare, _save)
