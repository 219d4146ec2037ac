"""The trainer: what Lightning is told, what it writes to disk and what it shows."""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ai8x_models.student_file import write_atomically
from common.console import Bar, progress
from common.errors import UserError
from distill.engine.machine import keep_memory, resolve_precision
from distill.engine.recipe import Run


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints appear whole or not at all, and are read without executing code."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write beside the target, then rename."""
        try:
            write_atomically(checkpoint, Path(path))
        except OSError as error:
            raise UserError(
                f"cannot write the checkpoint {path}: {error.strerror or error}; the one before "
                "it is whole, so make room and run the same command again to go on"
            ) from None

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read tensors and plain values only."""
        try:
            data: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        except Exception as error:  # a damaged archive raises many kinds
            reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"cannot resume from {path}: {reason}; remove it to start the run afresh"
            ) from None
        return data


@dataclass(frozen=True)
class Watched:
    """The figure of validation that decides which weights are best and when to stop.

    Attributes:
        key: name under which the module logs it.
        title: what the console calls it.
        higher: whether more is better.
    """

    key: str = "pck"
    title: str = "PCK@0.2"
    higher: bool = True

    @property
    def mode(self) -> str:
        """``max`` or ``min``, as the trainer library says it."""
        return "max" if self.higher else "min"


PCK = Watched()


class Console(L.Callback):
    """A progress bar on terminals, and one line per epoch everywhere.

    Log files get the lines alone, so they stay readable.
    """

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.bar: Bar | None = None
        self.judged: Bar | None = None
        self.losses: list[Tensor] = []
        self.started = 0.0
        self.best = -math.inf if watched.higher else math.inf

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Start the clock and the bar."""
        self.losses, self.started = [], time.perf_counter()
        if trainer.is_global_zero and sys.stderr.isatty():
            title = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.bar = progress(title=title, total=int(trainer.num_training_batches))

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Move the bar; the loss stays on its device until the epoch's end."""
        self.losses.append(outputs["loss"].detach())
        if self.bar is not None:
            self.bar.update()
            if index % 20 == 0:
                self.bar.set_postfix(loss=f"{float(self.losses[-1]):.4f}")

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Do not count validation in the speed; it has a bar of its own."""
        self.stopped = time.perf_counter()
        if trainer.is_global_zero and sys.stderr.isatty():
            total = int(sum(trainer.num_val_batches))
            self.judged = progress(title="validation", total=total, unit="batch")

    def on_validation_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Move that bar."""
        if self.judged is not None:
            self.judged.update()

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Take it away."""
        if self.judged is not None:
            self.judged.close()
            self.judged = None

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """One line: loss, speed, and the watched figure when there was a validation."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        if not trainer.is_global_zero or not self.losses:
            return
        validated = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        end = self.stopped if validated else time.perf_counter()
        images = len(self.losses) * module.recipe.batch * trainer.world_size  # type: ignore
        text = (
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: "
            f"loss {float(torch.stack(self.losses).mean()):.4f}, "
            f"{images / max(end - self.started, 1e-9):.0f} images/s"
        )
        if validated:
            score = float(trainer.callback_metrics[self.watched.key])
            self.best = (max if self.watched.higher else min)(self.best, score)
            text += f", validation {self.watched.title} {score:.4f} (best {self.best:.4f})"
        print(text, flush=True)

    def state_dict(self) -> dict[str, Any]:
        """The best figure so far, for the line after a resume."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See :meth:`state_dict`."""
        self.best = state_dict["best"]


# What the trainer library says that users of a recipe can do nothing about.
_CHATTER = (
    r".*does not have many workers.*",
    r".*module\(s\) in eval mode at the start of training.*",  # a frozen backbone is
    r".*exists and is not empty.*",
    r".*treespec, LeafSpec.*",
    r".*number of training batches \(\d+\) is smaller than the logging interval.*",
    r".*GPU available but not used.*",
    r".*MPS available but not used.*",
    r".*resuming from a checkpoint that ended.*",
    r".*was saved with.*different set of callbacks.*",
    r".*callback states in the checkpoint that are not.*",
    r".*The following callbacks used in the checkpoint.*",
    r".*trying to infer the `batch_size`.*",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the library's announcements; its errors and other warnings pass."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for pattern in _CHATTER:
                warnings.filterwarnings("ignore", pattern)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def make_trainer(recipe: Run, out: Path, watched: Watched) -> L.Trainer:
    """Lightning trainer with the recipe's settings.

    ``last.ckpt`` is written after every epoch, ``best.ckpt`` after validations that improve.
    """
    keep_memory()
    best = ModelCheckpoint(
        dirpath=out, filename="best", monitor=watched.key, mode=watched.mode,
        enable_version_counter=False, save_on_train_epoch_end=False,
    )  # fmt: skip
    last = ModelCheckpoint(
        dirpath=out, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    callbacks: list[L.Callback] = [Console(watched), best, last]
    if recipe.average:
        callbacks.insert(0, WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(recipe.average)))
    if recipe.patience:
        callbacks.insert(
            -2, EarlyStopping(watched.key, mode=watched.mode, patience=recipe.patience)
        )
    return L.Trainer(
        max_epochs=recipe.epochs,
        accelerator=recipe.accelerator,
        devices=recipe.devices,
        num_nodes=recipe.nodes,
        strategy=recipe.strategy,
        precision=resolve_precision(recipe.precision, recipe.accelerator),  # type: ignore[arg-type]
        check_val_every_n_epoch=recipe.validate_every,
        reload_dataloaders_every_n_epochs=1,
        callbacks=callbacks,
        plugins=[AtomicCheckpoints()],
        logger=TensorBoardLogger(out.parent, name=out.name, version=""),
        num_sanity_val_steps=0,
        log_every_n_steps=50,
        gradient_clip_val=1.0,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
