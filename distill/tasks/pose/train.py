"""Train a student or a teacher of maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ai8x_models.codec import STRIDE
from ai8x_models.student_file import load_student
from ai8x_models.students import Student
from common.files import checksum
from distill.engine import run
from distill.people.crops import Augmentation, CropDataset, to_input
from distill.people.mixture import PoseData, open_set
from distill.tasks.pose.module import PoseModule, TeacherModule
from distill.tasks.pose.recipe import Recipe, TeacherRecipe
from distill.tasks.pose.teacher_maps import CacheKey, MapCache, TeacherMaps, load_any_teacher
from distill.tasks.pose.teachers.openpose import LightweightOpenPose, load_teacher, save_teacher


def calibration_inputs(recipe: Recipe) -> torch.Tensor:
    """Unchanged training crops as network input, float32 [n, 3, size, size]."""
    crops = CropDataset(open_set(recipe.train[0], recipe.seed), recipe.size, Augmentation())
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
    if recipe.start_from:
        return load_student(Path(recipe.start_from))[0]
    return Student(recipe.student)


def train_student(recipe: Recipe) -> Path:
    """Run a student's recipe, resuming a killed run; returns the student's file."""

    def prepare(student: Student) -> tuple[PoseModule, PoseData]:
        data = PoseData(recipe)
        return PoseModule(student, recipe, open_teacher(recipe, data)), data

    return run.train_student(
        recipe, lambda: first_student(recipe), lambda: calibration_inputs(recipe), prepare
    )


def first_teacher(recipe: TeacherRecipe) -> LightweightOpenPose:
    """A new teacher, or the one to start from."""
    if recipe.start_from:
        return load_teacher(Path(recipe.start_from))[0].train()
    return LightweightOpenPose(recipe.stages, recipe.width)


def train_teacher(recipe: TeacherRecipe) -> Path:
    """Run a teacher's recipe, resuming a killed run; returns the teacher's file."""

    def save(module: TeacherModule, path: Path, extras: dict[str, Any]) -> None:
        save_teacher(module.teacher, path, recipe.epochs, {**extras, "sigma": recipe.sigma})

    return run.train(
        recipe,
        "teacher",
        lambda: (TeacherModule(first_teacher(recipe), recipe), PoseData(recipe)),
        save,
    )
