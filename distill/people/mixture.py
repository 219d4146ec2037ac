"""The data of a training run: weighted mixture for training, evaluation crops for validation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import ConcatDataset, DataLoader, WeightedRandomSampler

from common.errors import UserError
from distill.engine.module import Reporting
from distill.people.crops import Augmentation, CropDataset, collate
from distill.people.person_sets import PeopleSet, PersonSource, SyntheticSet
from distill.people.recipe import CropRun, MapRun, SetConfig

VALIDATION_BATCH = 50
Set = TypeVar("Set", bound=CropDataset)


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
    if config.is_drawn:
        count, *people = config.drawn()
        return drawn(count, seed, *people)
    return read(Path(config.annotations), Path(config.images), config.limit, config.in_memory)


class Mixture(Reporting, Generic[Set]):
    """Crops of several sets, drawn by the sets' weights; a new sampler every epoch.

    Everything random depends on (seed, epoch, sample) alone, so a resumed run sees what the
    uninterrupted one would have seen. ``setup`` of a subclass fills the lists.

    Attributes:
        train: sets to draw from.
        weights: of these, above 0.
        validation: sets of evaluation crops.
    """

    def __init__(self, recipe: CropRun) -> None:
        super().__init__()
        self.recipe = recipe
        self.train: list[Set] = []
        self.validation: list[Set] = []
        self.weights: list[float] = []

    def report(self) -> str:
        """How many people there are, and what was left out."""
        lines = []
        for name, datasets in (("training", self.train), ("validation", self.validation)):
            people = sum(len(dataset) for dataset in datasets)
            lines.append(f"{name}: {people} people in {len(datasets)} sets")
        sets = {id(d.set): d.set for d in (*self.train, *self.validation)}
        lines += [f"  left out: {one.skipped}" for one in sets.values() if one.skipped]
        return "\n".join(lines)

    def start(self, epoch: int) -> None:
        """Tell the sets which epoch begins."""
        for dataset in self.train:
            dataset.epoch = epoch

    def merge(self) -> Callable[[list[Any]], Any] | None:
        """How items become a batch; None stacks them."""
        return None

    def train_dataloader(self) -> DataLoader[Any]:
        """Crops drawn by the sets' weights, seeded by the epoch."""
        recipe, epoch = self.recipe, self.trainer.current_epoch if self.trainer else 0
        self.start(epoch)
        total = sum(self.weights)
        weights = [
            weight / total / len(dataset)
            for weight, dataset in zip(self.weights, self.train, strict=True)
            for _ in range(len(dataset))
        ]
        generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
        sampler = WeightedRandomSampler(
            weights, recipe.samples_per_epoch, replacement=True, generator=generator
        )
        return DataLoader(
            ConcatDataset(self.train), recipe.batch, sampler=sampler, collate_fn=self.merge(),
            num_workers=recipe.workers, drop_last=True,
        )  # fmt: skip

    def val_dataloader(self) -> DataLoader[Any]:
        """All evaluation crops."""
        return DataLoader(ConcatDataset(self.validation), VALIDATION_BATCH, collate_fn=self.merge())


class PoseData(Mixture[CropDataset]):
    """Crops of people with the maps that a pose network is to find in them."""

    recipe: MapRun

    def __init__(self, recipe: MapRun) -> None:
        super().__init__(recipe)

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

    def start(self, epoch: int) -> None:
        """Small crops may come first."""
        super().start(epoch)
        for dataset in self.train:
            dataset.size = self.recipe.side(epoch)

    def merge(self) -> Callable[[list[Any]], Any]:
        """Batches have maps."""
        return partial(collate, sigma=self.recipe.sigma)
