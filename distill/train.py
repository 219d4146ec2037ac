"""Train a student: data mixture, Lightning trainer, resumable checkpoints."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import ConcatDataset, DataLoader, WeightedRandomSampler

from ai8x_models.checkpoints import load_student, save_student
from ai8x_models.students import Student
from distill.config import Recipe, SetConfig
from distill.data import (
    Augmentation,
    CropDataset,
    PeopleSet,
    PersonSource,
    SyntheticSet,
    collate,
    to_input,
)
from distill.pose_module import PoseModule
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm

log = logging.getLogger(__name__)


def open_set(config: SetConfig, seed: int) -> PersonSource:
    """Read a COCO-format set, or make procedural people for ``synthetic:N``."""
    if config.annotations.startswith("synthetic:"):
        return SyntheticSet(int(config.annotations.split(":")[1]), seed)
    return PeopleSet(Path(config.annotations), Path(config.images), config.limit)


class PoseData(L.LightningDataModule):
    """Weighted mixture for training, evaluation crops for validation.

    Everything random depends on (seed, epoch, sample) alone, so a resumed run sees what the
    uninterrupted one would have seen.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe

    def setup(self, stage: str) -> None:
        """Read all sets once."""
        recipe = self.recipe
        augment = recipe.augment.build()
        sets = [(c, open_set(c, recipe.seed)) for c in recipe.train if c.weight > 0]
        self.train = [CropDataset(s, recipe.size, augment, recipe.seed) for _, s in sets]
        self.weights = [c.weight for c, _ in sets]
        validation = [open_set(c, recipe.seed + 1) for c in recipe.validation]
        self.validation = [CropDataset(s, recipe.size, Augmentation()) for s in validation]

    def train_dataloader(self) -> DataLoader[Any]:
        """A new sampler every epoch, seeded by the epoch."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        for dataset in self.train:
            dataset.epoch = epoch
        total = sum(self.weights)
        weights = [
            weight / total / len(dataset)
            for weight, dataset in zip(self.weights, self.train, strict=True)
            for _ in range(len(dataset))
        ]
        generator = torch.Generator().manual_seed(self.recipe.seed * 100_003 + epoch)
        sampler = WeightedRandomSampler(
            weights, self.recipe.samples_per_epoch, replacement=True, generator=generator
        )
        return DataLoader(
            ConcatDataset(self.train), self.recipe.batch, sampler=sampler, collate_fn=collate,
            num_workers=self.recipe.workers, drop_last=True,
        )  # fmt: skip

    def val_dataloader(self) -> DataLoader[Any]:
        """All evaluation crops."""
        return DataLoader(ConcatDataset(self.validation), 50, collate_fn=collate)


def make_trainer(recipe: Recipe, out: Path) -> L.Trainer:
    """Lightning trainer with the recipe's settings; checkpoints every validation."""
    checkpoint = ModelCheckpoint(
        dirpath=out, filename="best", monitor="pck", mode="max", save_last=True,
        enable_version_counter=False, save_on_train_epoch_end=False,
    )  # fmt: skip
    return L.Trainer(
        max_epochs=recipe.epochs,
        accelerator=recipe.accelerator,
        devices=recipe.devices,
        precision=recipe.precision,  # type: ignore[arg-type]
        check_val_every_n_epoch=recipe.validate_every,
        reload_dataloaders_every_n_epochs=1,
        callbacks=[checkpoint],
        logger=TensorBoardLogger(out.parent, name=out.name, version=""),
        num_sanity_val_steps=0,
        log_every_n_steps=50,
        gradient_clip_val=1.0,
        enable_model_summary=False,
    )


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


def train_student(recipe: Recipe) -> Path:
    """Run a recipe, resuming from ``out/last.ckpt`` if there is one; returns the student's file."""
    L.seed_everything(recipe.seed, workers=True)
    out = Path(recipe.out)
    student = Student(recipe.student)
    if recipe.start_from:
        student, _ = load_student(Path(recipe.start_from))
    if recipe.qat.enabled and student.mode == "float":
        prepare_qat(student, recipe)
    module = PoseModule(student, recipe)
    module.to(memory_format=torch.channels_last)
    trainer = make_trainer(recipe, out)
    last = out / "last.ckpt"
    trainer.fit(module, PoseData(recipe), ckpt_path=str(last) if last.exists() else None)
    pck = trainer.callback_metrics.get("pck")
    extras = {"pck": float(pck) if pck is not None else None, "seed": recipe.seed}
    path = out / "student.pth.tar"
    save_student(module.student, path, trainer.current_epoch, extras)
    return path
