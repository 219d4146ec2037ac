"""One training run, whatever it trains: seed, resume, fit, and the file that comes out."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from ai8x_models.student_file import save_student
from ai8x_models.students import Student
from common.errors import UserError
from common.files import check_place, check_writable, checksum, kept
from distill.engine import resume
from distill.engine.module import Reporting, TrainedModule
from distill.engine.recipe import QatConfig, Run, StudentRun
from distill.engine.trainer import PCK, AtomicCheckpoints, Watched, make_trainer, quiet
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm
from quantize.hold import hold_narrow
from quantize.integer import to_qat

log = logging.getLogger(__name__)

Module = TypeVar("Module", bound=TrainedModule)


def train(
    recipe: Run,
    what: str,
    prepare: Callable[[], tuple[Module, Reporting]],
    save: Callable[[Module, Path, dict[str, Any]], None],
    watched: Watched = PCK,
) -> Path:
    """Run a recipe, resuming a killed run.

    Args:
        recipe: which seed, how long, where to.
        what: ``teacher`` or ``student``; the file that comes out is ``OUT/WHAT.pth.tar``.
        prepare: called with the seed set; gives the module to train and its data.
        save: called with the module, the file and the extras, in the first process only: the others
            of a distributed run must not write the same file.
        watched: the figure that decides which weights are best.

    Returns:
        The file.
    """
    with quiet():
        L.seed_everything(recipe.seed, workers=True, verbose=False)
        module, data = prepare()
        extras = fit(module, data, recipe, watched)
    path = Path(recipe.out) / f"{what}.pth.tar"
    if is_first():
        save(module, path, extras)
        tell(f"{what} written to {path}")
    return path


def train_student(
    recipe: StudentRun,
    make: Callable[[], Student],
    inputs: Callable[[], Tensor],
    prepare: Callable[[Student], tuple[TrainedModule, Reporting]],
    watched: Watched = PCK,
) -> Path:
    """Run a chip student's recipe, resuming a killed run; returns the student's file.

    Args:
        recipe: see :func:`train`. Bit widths are set before the run where it asks for them.
        make: gives the student to start from.
        inputs: gives training inputs as the student takes them, to choose its shifts by.
        prepare: gives the student's module, which has it as ``student``, and its data.
        watched: see :func:`train`.
    """

    def begin() -> tuple[TrainedModule, Reporting]:
        student = make()
        if student.mode == "integer":
            _back_to_qat(student, recipe)
        if student.mode == "qat":
            _say_bits(student)
        elif recipe.qat.enabled:
            prepare_qat(student, recipe.qat, inputs())
        if recipe.qat.hold_narrow:
            log.info("held: %s", ", ".join(hold_narrow(student)))
        return prepare(student)

    def save(module: TrainedModule, path: Path, extras: dict[str, Any]) -> None:
        if recipe.teacher:
            extras["teacher"] = checksum(Path(recipe.teacher))
        assert isinstance(module.student, Student)
        save_student(module.student, path, recipe.epochs, extras)

    return train(recipe, "student", begin, save, watched)


def _back_to_qat(student: Student, recipe: StudentRun) -> None:
    if not recipe.qat.enabled:
        raise UserError(
            f"start_from is {recipe.start_from}, a student of integers, from which only training "
            "with their rounding goes on; say qat.enabled=true, or name a float one"
        )
    to_qat(student)


def _say_bits(student: Student) -> None:
    """Whoever goes on keeps the bits of the file, whatever the recipe says."""
    bits = {spec.name: int(layer.weight_bits) for spec, layer in student.layers()}
    log.info("layer: bits, as in start_from: %s", bits)


def prepare_qat(student: Student, qat: QatConfig, inputs: Tensor) -> None:
    """Fold batch norm, set the recipe's bits and calibrate the shifts on some inputs."""
    bits = bits_per_layer(student, qat.default_bits, qat.bits)
    fold_batchnorm(student)
    shifts = calibrate(student, bits, inputs)
    log.info("layer: bits, shift: %s", {n: (bits[n], shifts[n]) for n in bits})


def spread(count: int, among: int) -> list[int]:
    """At most ``count`` numbers below ``among``, evenly spaced from 0."""
    count = min(count, among)
    return list(range(0, among, max(1, among // count)))[:count]


def is_first() -> bool:
    """Whether this is the first (or only) process of the run."""
    return bool(getattr(rank_zero_only, "rank", 0) == 0)


def tell(text: str) -> None:
    """A line for the user, from one process of a distributed run only."""
    if is_first():
        log.info("%s", text)


def _trainer(recipe: Run, out: Path, watched: Watched) -> L.Trainer:
    """The trainer, or a sentence when the recipe asks for a machine that is not there."""
    try:
        return make_trainer(recipe, out, watched)
    except (MisconfigurationException, ValueError) as error:
        asked = f"accelerator={recipe.accelerator} devices={recipe.devices}"
        reason = " ".join(str(error).split())
        raise UserError(f"the run cannot start with {asked}: {reason}") from None


def _alone(out: Path) -> contextlib.AbstractContextManager[None]:
    """Keep the folder of a run for its first process, which writes there."""
    if not is_first():
        return contextlib.nullcontext()
    return kept(out, "run", "wait until it ends, or name another folder with out=...")


def fit(
    module: TrainedModule, data: Reporting, recipe: Run, watched: Watched = PCK
) -> dict[str, Any]:
    """Run to the end, from ``out/last.ckpt`` if there is one; returns the extras of the result.

    When the run stopped early the module is left with the weights of its best validation.

    Raises:
        UserError: the machine asked for is not there, the run cannot go on (it began with other
            settings or data, or another process runs it), or no room is left.
    """
    out = Path(recipe.out)
    module.train().to(memory_format=torch.channels_last)
    try:
        check_place(out, folder=True)
        trainer = _trainer(recipe, out, watched)
        last = out / "last.ckpt"
        module.told = resume.facts(recipe)
        if last.exists():
            with _alone(out):
                before = AtomicCheckpoints().load_checkpoint(last)
            resume.check(last, before.get(resume.KEY), module.told)
        data.setup("fit")
        check_writable(out, folder=True)
        tell(data.report())
        with _alone(out):
            if last.exists():
                tell(f"resuming from {last}")
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
    tell(data.report())
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
        tell("stopped early; kept the weights of the best validation")
        return float(best.best_model_score) if best.best_model_score is not None else None
    score = trainer.callback_metrics.get(watched.key, best.current_score)
    return float(score) if score is not None else None
