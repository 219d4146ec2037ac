"""Training of the grey task: detectors, and chip students taught by them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ai8x_models.skeleton import FLIP_KEYPOINTS
from ai8x_models.student_file import load_student, read_checkpoint, write_atomically
from ai8x_models.students import Student
from common.console import progress
from common.errors import UserError
from distill.engine import run
from distill.people.crops import to_input
from distill.tasks.grey.data import GreyCrops, GreyData, pixels_of
from distill.tasks.grey.detectors import Detector
from distill.tasks.grey.module import DetectorModule, StudentModule
from distill.tasks.grey.points import points_of
from distill.tasks.grey.recipe import KEYPOINTS, GreyRecipe, GreyRun, GreyTeacherRecipe
from distill.tasks.grey.student import grey_student
from distill.tasks.grey.visibility import fit_file

ARCH = "grey-detector"
LESSON_BATCH = 64


def save_detector(network: Detector, path: Path, epoch: int, extras: dict[str, Any]) -> None:
    """Write a detector with its description."""
    extras = {**extras, "described": network.described}
    data = {"epoch": epoch, "arch": ARCH, "state_dict": network.state_dict(), "extras": extras}
    write_atomically(data, path)


def detector_from(data: dict[str, Any], path: Path) -> Detector:
    """Rebuild a detector.

    Raises:
        UserError: the checkpoint is of another task, or damaged.
    """
    described = data.get("extras", {}).get("described")
    if data.get("arch") != ARCH or not isinstance(described, dict):
        raise UserError(
            f"{path} holds architecture '{data.get('arch')}', but a '{ARCH}' is needed; train one "
            "with make teacher TASK=grey"
        )
    try:
        network = Detector(**described)
        network.load_state_dict(data["state_dict"])
    except (TypeError, ValueError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not fit its own description: {detail}") from None
    return network.eval()


def _fits(path: Path, found: tuple[int, int], recipe: GreyRun) -> None:
    """Refuse a checkpoint of another input size or number of points."""
    wanted = (recipe.size, recipe.keypoints)
    if found != wanted:
        raise UserError(
            f"{path} is for {found[0]}x{found[0]} pixels and {found[1]} points, the recipe for "
            f"{wanted[0]}x{wanted[0]} and {wanted[1]}; set size={found[0]} keypoints={found[1]}"
        )


def load_detector(path: Path, recipe: GreyRun) -> Detector:
    """Read a detector that fits a recipe.

    Raises:
        UserError: unreadable, of another task, or of another size or number of points.
    """
    network = detector_from(read_checkpoint(path), path)
    _fits(path, (network.size, network.keypoints), recipe)
    return network


@torch.no_grad()
def predict(network: Detector, images: torch.Tensor, flip: bool) -> np.ndarray:
    """Points float32 [n, K, 3] of uint8 images; with ``flip`` averaged with the mirrored ones."""
    points = network(to_input(images)).float()
    if flip:
        mirrored = network(to_input(images.flip(-1))).float()
        mirrored = mirrored[:, list(points_of(network.keypoints).mirrored)]
        mirrored[..., 0] = 1 - mirrored[..., 0]
        points = (points + mirrored) / 2
    return np.asarray(points.numpy())


def teach(network: Detector, crops: GreyCrops, flip: bool) -> None:
    """Let the detector look at every person once, in the unchanged crop; keep its points.

    Random crops of the same person move the teacher's points like the annotated ones, so the
    teacher runs once per person instead of once per crop.
    """
    lesson = np.zeros((len(crops.set.people), len(FLIP_KEYPOINTS), 3))
    done = 0
    batches = -(-len(crops) // LESSON_BATCH)
    for images, matrices in progress(crops.batches(LESSON_BATCH), title="teacher", total=batches):
        found = pixels_of(predict(network, images, flip), crops.size)
        for points, matrix in zip(found, matrices, strict=True):
            linear = np.linalg.inv(matrix[:, :2])
            points[:, :2] = (points[:, :2] - matrix[:, 2]) @ linear.T
            lesson[crops.chosen[done]] = crops.points.spread(points)
            done += 1
    crops.lesson = lesson


def train_teacher(recipe: GreyTeacherRecipe) -> Path:
    """Run a detector's recipe, resuming a killed run; returns the detector's file."""

    def save(module: DetectorModule, path: Path, extras: dict[str, Any]) -> None:
        assert isinstance(module.network, Detector)
        save_detector(module.network, path, recipe.epochs, extras)

    return run.train(
        recipe,
        "teacher",
        lambda: (DetectorModule(_detector(recipe), recipe), GreyData(recipe)),
        save,
    )


def _detector(recipe: GreyTeacherRecipe) -> Detector:
    """A new detector, or the one to start from."""
    if recipe.start_from:
        return load_detector(Path(recipe.start_from), recipe)
    return Detector(
        recipe.detector, recipe.keypoints, recipe.size, width=recipe.width,
        mapping=recipe.mapping, enlarge=recipe.enlarge, dropout=recipe.dropout,
        pretrained=recipe.pretrained,
    )  # fmt: skip


def load_grey_student(path: Path, recipe: GreyRun) -> Student:
    """Read a chip student that fits a recipe.

    Raises:
        UserError: unreadable, of another task, or of another size or number of points.
    """
    student, _ = load_student(path)
    keypoints = keypoints_of(student, path)
    _fits(path, (student.spec.input_shape[1], keypoints), recipe)
    return student


def keypoints_of(student: Student, path: Path) -> int:
    """How many points a chip student of this task finds.

    Raises:
        UserError: it is of another task.
    """
    channels, _, _ = student.spec.input_shape
    last = student.spec.layers[-1]
    if channels != 1 or last.wide or last.op != "conv2d" or last.out_channels not in KEYPOINTS:
        raise UserError(
            f"{path} is a student for pictures {list(student.spec.input_shape)} with "
            f"{last.out_channels} outputs in its last layer, the grey task has [1, size, size] "
            "and one map per point; name a checkpoint of this task"
        )
    return last.out_channels


def _student(recipe: GreyRecipe) -> Student:
    """A new student, or the one to start from."""
    if recipe.start_from:
        return load_grey_student(Path(recipe.start_from), recipe)
    return Student(grey_student(recipe.keypoints, recipe.size))


def _teacher(recipe: GreyRecipe) -> Detector | Student | None:
    """A detector, or another student in real numbers."""
    if not recipe.teacher:
        return None
    path = Path(recipe.teacher)
    if read_checkpoint(path).get("arch") == ARCH:
        return load_detector(path, recipe)
    student = load_grey_student(path, recipe)
    if student.mode == "integer":
        raise UserError(f"{path} holds integers; a teacher has to be one in real numbers")
    return student.eval().requires_grad_(False)


def train_student(recipe: GreyRecipe) -> Path:
    """Run a student's recipe, resuming a killed run; returns the student's file."""
    data = GreyData(recipe)

    def make() -> Student:
        student = _student(recipe)
        data.setup("fit")
        return student

    def inputs() -> torch.Tensor:
        images, _ = next(data.train[0].batches(recipe.qat.calibration_images))
        return to_input(images)

    def prepare(student: Student) -> tuple[StudentModule, GreyData]:
        teacher = _teacher(recipe)
        if isinstance(teacher, Detector):
            for crops in data.train:
                teach(teacher, crops, recipe.teacher_flip)
            teacher = None
        return StudentModule(student, recipe, teacher), data

    path = run.train_student(recipe, make, inputs, prepare)
    if run.is_first():
        compare_peaks(path, data)
    return path


def compare_peaks(path: Path, data: GreyData) -> None:
    """Fit what a peak says of visibility on validation people; the file carries it from then on."""
    found = fit_file(path, data.validation)
    run.tell(f"visible: 1 / (1 + exp(-({found.slope:.2f} x peak {found.offset:+.2f})))")
