"""Train a student or a teacher: network, data, trainer, and the file that comes out."""

from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only

from ai8x_models.codec import STRIDE
from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import Student
from common.errors import UserError
from distill.engine.recipe import Recipe, Run, TeacherRecipe
from distill.engine.trainer import PCK, Watched, make_trainer, quiet
from distill.people.crops import Augmentation, CropDataset, to_input
from distill.people.mixture import PoseData, Reporting, open_set
from distill.tasks.pose.module import PoseModule, TeacherModule, TrainedModule
from distill.tasks.pose.teacher_maps import (
    CacheKey,
    MapCache,
    TeacherMaps,
    checksum,
    load_any_teacher,
)
from distill.tasks.pose.teachers.openpose import (
    LightweightOpenPose,
    load_teacher,
    save_teacher,
)
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm

log = logging.getLogger(__name__)


def prepare_qat(student: Student, recipe: Recipe) -> None:
    """Fold batch norm, set the recipe's bits and calibrate the shifts on training crops."""
    bits = bits_per_layer(student, recipe.qat.default_bits, recipe.qat.bits)
    fold_batchnorm(student)
    people = open_set(recipe.train[0], recipe.seed)
    crops = CropDataset(people, recipe.size, Augmentation())
    count = min(recipe.qat.calibration_images, len(crops))
    chosen = range(0, len(crops), max(1, len(crops) // count))
    images = torch.stack([crops[i]["image"] for i in chosen][:count])
    shifts = calibrate(student, bits, to_input(images))
    log.info("layer: bits, shift: %s", {n: (bits[n], shifts[n]) for n in bits})


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


def _is_first() -> bool:
    """Whether this is the first (or only) process of the run."""
    return bool(getattr(rank_zero_only, "rank", 0) == 0)


def _tell(text: str) -> None:
    """A line for the user, from one process of a distributed run only."""
    if _is_first():
        log.info("%s", text)


def _trainer(recipe: Run, out: Path, watched: Watched) -> L.Trainer:
    """The trainer, or a sentence when the recipe asks for a machine that is not there."""
    try:
        return make_trainer(recipe, out, watched)
    except (MisconfigurationException, ValueError) as error:
        asked = f"accelerator={recipe.accelerator} devices={recipe.devices}"
        reason = " ".join(str(error).split())
        raise UserError(f"the run cannot start with {asked}: {reason}") from None


def fit(
    module: TrainedModule, data: Reporting, recipe: Run, watched: Watched = PCK
) -> dict[str, Any]:
    """Run to the end, from ``out/last.ckpt`` if there is one; returns the extras of the result.

    When the run stopped early the module is left with the weights of its best validation.

    Raises:
        UserError: the machine asked for is not there, the run cannot go on, or no room is left.
    """
    out = Path(recipe.out)
    module.train().to(memory_format=torch.channels_last)
    try:
        out.mkdir(parents=True, exist_ok=True)
        trainer = _trainer(recipe, out, watched)
        data.setup("fit")
        _tell(data.report())
        last = out / "last.ckpt"
        if last.exists():
            _tell(f"resuming from {last}")
        trainer.fit(module, data, ckpt_path=str(last) if last.exists() else None)
    except MisconfigurationException as error:  # fewer epochs than are done, for example
        reason = " ".join(str(error).split())
        raise UserError(f"the run under {out} cannot go on: {reason}") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES):
            raise
        raise UserError(
            f"cannot write under {out}: {error.strerror}; make room there, or name another folder "
            "with out=..., and run again"
        ) from None
    score = _finish(trainer, module, watched)
    _tell(data.report())
    return {watched.key: score, "seed": recipe.seed}


def _finish(trainer: L.Trainer, module: TrainedModule, watched: Watched) -> float | None:
    """The figure of the weights to keep: the last ones, or the best after an early stop."""
    if trainer.interrupted:
        raise KeyboardInterrupt
    best = next(
        c for c in trainer.checkpoint_callbacks if getattr(c, "monitor", None) == watched.key
    )
    assert isinstance(best, ModelCheckpoint)
    stopped = [c for c in trainer.early_stopping_callbacks if c.stopped_epoch]
    if stopped and Path(best.best_model_path).is_file():
        data = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
        module.load_state_dict(data["state_dict"])
        _tell("stopped early; kept the weights of the best validation")
        return float(best.best_model_score) if best.best_model_score is not None else None
    score = trainer.callback_metrics.get(watched.key, best.current_score)
    return float(score) if score is not None else None


def train_student(recipe: Recipe) -> Path:
    """Run a student's recipe, resuming a killed run; returns the student's file."""
    with quiet():
        L.seed_everything(recipe.seed, workers=True, verbose=False)
        student = Student(recipe.student)
        if recipe.start_from:
            student, _ = load_student(Path(recipe.start_from))
        if recipe.qat.enabled and student.mode == "float":
            prepare_qat(student, recipe)
        data = PoseData(recipe)
        module = PoseModule(student, recipe, open_teacher(recipe, data))
        extras = fit(module, data, recipe)
    path = Path(recipe.out) / "student.pth.tar"
    if recipe.teacher:
        extras["teacher"] = checksum(Path(recipe.teacher))
    if _is_first():
        save_student(module.student, path, recipe.epochs, extras)
        _tell(f"student written to {path}")
    return path


def train_teacher(recipe: TeacherRecipe) -> Path:
    """Run a teacher's recipe, resuming a killed run; returns the teacher's file."""
    with quiet():
        L.seed_everything(recipe.seed, workers=True, verbose=False)
        if recipe.start_from:
            teacher, _ = load_teacher(Path(recipe.start_from))
            teacher.train()
        else:
            teacher = LightweightOpenPose(recipe.stages, recipe.width)
        module = TeacherModule(teacher, recipe)
        extras = fit(module, PoseData(recipe), recipe)
    path = Path(recipe.out) / "teacher.pth.tar"
    if _is_first():
        save_teacher(module.teacher, path, recipe.epochs, {**extras, "sigma": recipe.sigma})
        _tell(f"teacher written to {path}")
    return path
