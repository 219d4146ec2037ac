"""The data of a training run: weighted mixture for training, evaluation crops for validation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import ConcatDataset, DataLoader, WeightedRandomSampler

from common.errors import UserError
from distill.engine.module import Reporting
from distill.people.crops import (
    Augmentation,
    CropDataset,
    PeopleSet,
    PersonSource,
    SyntheticSet,
    collate,
)
from distill.people.recipe import MapRun, SetConfig

VALIDATION_BATCH = 50


def open_set(
    config: SetConfig,
    seed: int,
    drawn: type[SyntheticSet] = SyntheticSet,
    read: type[PeopleSet] = PeopleSet,
) -> PersonSource:
    """Read a COCO-format set, or make procedural people.

    ``synthetic:N`` are N pictures of 1 to 4 people, ``synthetic:N:P`` of P people each. ``drawn``
    and ``read`` are what is made of them.
    """
    kind, *numbers = config.annotations.split(":")
    if kind == "synthetic":
        if len(numbers) not in (1, 2) or not all(number.isdigit() for number in numbers):
            raise UserError(
                f"data set '{config.annotations}' is to be written synthetic:N or synthetic:N:P"
            )
        return drawn(int(numbers[0]), seed, *(int(number) for number in numbers[1:]))
    return read(Path(config.annotations), Path(config.images), config.limit, config.in_memory)


class PoseData(Reporting):
    """Reads all sets once; makes a new sampler every epoch.

    Everything random depends on (seed, epoch, sample) alone, so a resumed run sees what the
    uninterrupted one would have seen.
    """

    def __init__(self, recipe: MapRun) -> None:
        super().__init__()
        self.recipe = recipe
        self.train: list[CropDataset] = []
        self.validation: list[CropDataset] = []
        self.weights: list[float] = []

    def setup(self, stage: str) -> None:
        """Read all sets; the second call does nothing."""
        if self.train:
            return
        recipe = self.recipe
        augment = recipe.augment.build()
        sets = [(c, open_set(c, recipe.seed)) for c in recipe.train if c.weight > 0]
        if not sets or not recipe.validation:
            missing = "validation" if sets else "train"
            raise UserError(f"the recipe names no data set under '{missing}'")
        options = recipe.crop_options()
        self.train = [
            CropDataset(s, recipe.size, augment, recipe.seed, number=number, **options)
            for number, (_, s) in enumerate(sets)
        ]
        self.weights = [c.weight for c, _ in sets]
        validation = [open_set(c, recipe.seed + 1) for c in recipe.validation]
        self.validation = [CropDataset(s, recipe.size, Augmentation()) for s in validation]

    def report(self) -> str:
        """How many people there are, and what was left out."""
        lines = []
        for name, datasets in (("training", self.train), ("validation", self.validation)):
            people = sum(len(dataset) for dataset in datasets)
            lines.append(f"{name}: {people} people in {len(datasets)} sets")
            lines += [f"  left out: {d.set.skipped}" for d in datasets if d.set.skipped]
        return "\n".join(lines)

    def _loader(self, datasets: list[CropDataset], batch: int, **options: Any) -> DataLoader[Any]:
        merge = partial(collate, sigma=self.recipe.sigma)
        return DataLoader(ConcatDataset(datasets), batch, collate_fn=merge, **options)

    def train_dataloader(self) -> DataLoader[Any]:
        """Crops drawn by the sets' weights, seeded by the epoch."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        for dataset in self.train:
            dataset.epoch = epoch
            dataset.size = self.recipe.side(epoch)
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
        workers = self.recipe.workers
        return self._loader(
            self.train, self.recipe.batch, sampler=sampler, num_workers=workers, drop_last=True
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """All evaluation crops."""
        return self._loader(self.validation, VALIDATION_BATCH)
