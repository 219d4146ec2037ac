"""Train teachers and chip students of lifting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ai8x_models.students import Student
from common.errors import UserError
from distill.engine import run
from distill.tasks.lift.data import LiftData, quantise
from distill.tasks.lift.module import (
    LOSS,
    MPJPE,
    LiftStudentModule,
    LiftTeacherModule,
    UnsupervisedModule,
)
from distill.tasks.lift.networks import (
    KeypointViT,
    LiftTransformer,
    load_network,
    make_network,
    save_network,
)
from distill.tasks.lift.recipe import LiftStudentRecipe, LiftTeacherRecipe
from distill.tasks.lift.student import load_lifter, to_channels


def train_teacher(recipe: LiftTeacherRecipe) -> Path:
    """Run a teacher's recipe, resuming a killed run; returns the teacher's file."""
    kind = UnsupervisedModule if recipe.unsupervised else LiftTeacherModule

    def save(module: LiftTeacherModule, path: Path, extras: dict[str, Any]) -> None:
        save_network(module.network, path, recipe.epochs, {**extras, "mapping": recipe.mapping})

    return run.train(
        recipe,
        "teacher",
        lambda: (kind(_first_network(recipe), recipe), LiftData(recipe)),
        save,
        LOSS if recipe.unsupervised else MPJPE,
    )


def _first_network(recipe: LiftTeacherRecipe) -> LiftTransformer | KeypointViT:
    """A new network, with the weights of another one where the recipe names it."""
    network = make_network(
        recipe.kind, recipe.mapping, recipe.width, recipe.depth, recipe.heads, recipe.window,
        recipe.dropout,
    )  # fmt: skip
    if recipe.start_from:
        _start_from(network, Path(recipe.start_from))
    return network


def _start_from(network: LiftTransformer | KeypointViT, path: Path) -> None:
    """Take over the weights of a trained network of the same shape."""
    other = load_network(path)
    if (other.kind, other.shape) != (network.kind, network.shape):
        raise UserError(
            f"start_from: {path} holds a {other.kind} of {other.shape}, the recipe asks for a "
            f"{network.kind} of {network.shape}"
        )
    network.load_state_dict(other.state_dict())


def train_student(recipe: LiftStudentRecipe) -> Path:
    """Run a student's recipe, resuming a killed run; returns the student's file."""
    data = LiftData(recipe)

    def make() -> Student:
        if recipe.start_from:
            return load_lifter(Path(recipe.start_from))
        return Student(recipe.student)

    def inputs() -> torch.Tensor:
        data.setup("fit")
        assert data.train is not None
        numbers = run.spread(recipe.qat.calibration_images, len(data.train))
        return to_channels(quantise(data.train.batch(numbers)["view"][:, 0]))

    def prepare(student: Student) -> tuple[LiftStudentModule, LiftData]:
        return LiftStudentModule(student, recipe, open_teacher(recipe)), data

    return run.train_student(recipe, make, inputs, prepare, MPJPE)


def open_teacher(recipe: LiftStudentRecipe) -> LiftTransformer | KeypointViT | None:
    """The recipe's teacher, which must lift single views; None when it names none."""
    if not recipe.teacher:
        return None
    teacher = load_network(Path(recipe.teacher))
    shape = (teacher.window, teacher.inputs, teacher.shape["outputs"])
    if shape != (1, 2, 3):
        raise UserError(
            f"{recipe.teacher} maps windows of {shape[0]} poses with {shape[1]} axes to {shape[2]} "
            "axes; a student's teacher maps 1 pose with 2 axes to 3"
        )
    return teacher
