"""Train teachers and chip students of lifting."""

from __future__ import annotations

import logging
from pathlib import Path

import lightning as L

from ai8x_models.student_file import save_student
from ai8x_models.students import Student
from common.errors import UserError
from distill.engine.trainer import quiet
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
from distill.tasks.lift.recipe import LiftRecipe, LiftStudentRecipe, LiftTeacherRecipe
from distill.tasks.lift.student import load_lifter, to_channels
from distill.tasks.pose.teacher_maps import checksum
from distill.tasks.pose.train import fit
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm

log = logging.getLogger(__name__)


def train_teacher(recipe: LiftTeacherRecipe) -> Path:
    """Run a teacher's recipe, resuming a killed run; returns the teacher's file."""
    with quiet():
        L.seed_everything(recipe.seed, workers=True, verbose=False)
        network = make_network(
            recipe.kind, recipe.mapping, recipe.width, recipe.depth, recipe.heads, recipe.window,
            recipe.dropout,
        )  # fmt: skip
        if recipe.start_from:
            _start_from(network, Path(recipe.start_from))
        kind = UnsupervisedModule if recipe.unsupervised else LiftTeacherModule
        module = kind(network, recipe)
        watched = LOSS if recipe.unsupervised else MPJPE
        extras = fit(module, LiftData(recipe), recipe, watched)
    path = Path(recipe.out) / "teacher.pth.tar"
    save_network(network, path, recipe.epochs, {**extras, "mapping": recipe.mapping})
    log.info("teacher written to %s", path)
    return path


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
    with quiet():
        L.seed_everything(recipe.seed, workers=True, verbose=False)
        student = Student(recipe.student)
        if recipe.start_from:
            student = load_lifter(Path(recipe.start_from))
        data = LiftData(recipe)
        if recipe.qat.enabled and student.mode == "float":
            prepare_qat(student, recipe, data)
        module = LiftStudentModule(student, recipe, open_teacher(recipe))
        extras = fit(module, data, recipe, MPJPE)
    path = Path(recipe.out) / "student.pth.tar"
    if recipe.teacher:
        extras["teacher"] = checksum(Path(recipe.teacher))
    save_student(student, path, recipe.epochs, extras)
    log.info("student written to %s", path)
    return path


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


def prepare_qat(student: Student, recipe: LiftRecipe, data: LiftData) -> None:
    """Fold batch norm, set the recipe's bits and calibrate the shifts on training views."""
    assert isinstance(recipe, LiftStudentRecipe)
    bits = bits_per_layer(student, recipe.qat.default_bits, recipe.qat.bits)
    fold_batchnorm(student)
    data.setup("fit")
    assert data.train is not None
    count = min(recipe.qat.calibration_images, len(data.train))
    numbers = list(range(0, len(data.train), max(1, len(data.train) // count)))[:count]
    view = data.train.batch(numbers)["view"][:, 0]
    shifts = calibrate(student, bits, to_channels(quantise(view)))
    log.info("layer: bits, shift: %s", {n: (bits[n], shifts[n]) for n in bits})
