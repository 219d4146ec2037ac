"""The data of a run on ordinary pictures: a weighted mixture of views, with a teacher's maps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import ConcatDataset, DataLoader, WeightedRandomSampler

from common.console import progress
from common.files import checksum
from distill.engine.module import Reporting
from distill.people.crops import Augmentation, CropDataset
from distill.people.mixture import VALIDATION_BATCH, collate, open_set
from distill.people.picture_maps import Look, NoMaps, PictureMaps, maps_file, wider
from distill.people.pictures import Pictures, ViewDataset, merge
from distill.people.recipe import PictureRun, PictureSet
from distill.people.views import Views


def open_pictures(config: PictureSet, draw_labels: bool) -> Pictures:
    """Read one set of the mixture; ``draw_labels`` is the recipe's."""
    annotations = Path(config.annotations) if config.annotations else None
    draw = draw_labels if config.draw_labels is None else config.draw_labels
    return Pictures(
        Path(config.images), annotations, config.rotate, config.in_memory, draw,
        complete=config.complete, hidden=config.hidden,
    )  # fmt: skip


def views_of(recipe: PictureRun, config: PictureSet) -> Views:
    """The views of one set: the recipe's, but for what the set says itself."""
    own = replace(
        recipe.views,
        whole=recipe.views.whole if config.whole is None else config.whole,
        size=config.extent or recipe.views.size,
    )
    return own.build()


class PictureData(Reporting):
    """Reads all sets once, has the teacher's maps made where they are missing.

    Everything random depends on (seed, epoch, picture) alone, so a resumed run sees what the
    uninterrupted one would have seen.

    Args:
        recipe: which sets, views and sizes.
        stride: pixels of the input per cell of the student's maps.
        look: the picture teacher, or None when there is none; see
            :data:`distill.people.picture_maps.Look`.
    """

    def __init__(self, recipe: PictureRun, stride: int, look: Look | None) -> None:
        super().__init__()
        self.recipe, self.stride, self.look = recipe, stride, look
        self.train: list[ViewDataset] = []
        self.validation: list[CropDataset] = []

    def setup(self, stage: str) -> None:
        """Read all sets and make missing maps; the second call does nothing."""
        if self.train:
            return
        recipe = self.recipe
        self.configs = [config for config in recipe.pictures if config.weight > 0]
        # What is wrong with a set is said before minutes go into maps of another.
        opened = [open_pictures(config, recipe.draw_labels) for config in self.configs]
        crops = [open_set(config, recipe.seed + 1) for config in recipe.validation]
        for config, pictures in zip(self.configs, opened, strict=True):
            if self.look is not None:
                pictures.maps = self._maps(pictures)
            self.train.append(
                ViewDataset(
                    pictures,
                    recipe.size,
                    self.stride,
                    views_of(recipe, config),
                    recipe.views.colour,
                    recipe.views.cutout,
                    recipe.seed,
                )
            )
        self.validation = [CropDataset(s, recipe.size, Augmentation()) for s in crops]

    def _maps(self, pictures: Pictures) -> PictureMaps | NoMaps:
        recipe = self.recipe
        if pictures.complete:
            return NoMaps(recipe.picture_size)
        names = sorted(entry.name for entry in pictures.entries)
        path = maps_file(
            Path(recipe.picture_maps),
            checksum(Path(recipe.picture_teacher)),
            recipe.picture_size,
            pictures.images,
            names,
            recipe.picture_widen,
        )
        maps = PictureMaps(path, names, recipe.picture_size)
        missing = len(names) - maps.known()
        if missing:
            assert self.look is not None
            by_name = {entry.name: entry for entry in pictures.entries}
            title = f"teacher's maps of {pictures.images}"
            with progress(title=title, total=missing, unit="picture") as bar:

                def read(name: str) -> np.ndarray | None:
                    bar.update()
                    return pictures.pixels(by_name[name])

                maps.fill(wider(self.look, recipe.picture_widen), read)
        return maps

    def report(self) -> str:
        """How many pictures and people there are, and what was left out."""
        lines = []
        for dataset in self.train:
            pictures = dataset.pictures
            people = sum(len(entry.people) for entry in pictures.entries)
            kind = f"{people} labelled people" if pictures.labelled else "no labels"
            lines.append(f"training: {len(pictures.entries)} pictures, {kind}: {pictures.images}")
            if pictures.skipped:
                lines.append(f"  left out: {pictures.skipped}")
        crops = sum(len(dataset) for dataset in self.validation)
        return "\n".join([*lines, f"validation: {crops} people"])

    def train_dataloader(self) -> DataLoader[Any]:
        """Views drawn by the sets' weights, seeded by the epoch."""
        recipe = self.recipe
        epoch = self.trainer.current_epoch if self.trainer else 0
        for dataset in self.train:
            dataset.epoch, dataset.size = epoch, recipe.side(epoch)
        weights = [
            config.weight / len(dataset)
            for config, dataset in zip(self.configs, self.train, strict=True)
            for _ in range(len(dataset))
        ]
        generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
        sampler = WeightedRandomSampler(
            weights, recipe.samples_per_epoch, replacement=True, generator=generator
        )
        return DataLoader(
            ConcatDataset(self.train), recipe.batch, sampler=sampler, drop_last=True,
            num_workers=recipe.workers,
            collate_fn=partial(merge, stride=self.stride, sigma=recipe.sigma),
        )  # fmt: skip

    def val_dataloader(self) -> DataLoader[Any]:
        """All evaluation crops."""
        join: ConcatDataset[dict[str, torch.Tensor]] = ConcatDataset(self.validation)
        return DataLoader(join, VALIDATION_BATCH, collate_fn=collate)

    def unchanged(self, count: int) -> torch.Tensor:
        """Whole pictures of the first set as deployment shows them, uint8 [n, 3, size, size]."""
        self.setup("fit")
        pictures, size = self.train[0].pictures, self.recipe.size
        step = max(1, len(pictures.entries) // count)
        shown = [_shown(pictures, index, size) for index in range(0, len(pictures.entries), step)]
        return torch.from_numpy(np.stack(shown[:count]))


def _shown(pictures: Pictures, index: int, size: int) -> np.ndarray:
    from ai8x_models.preprocess import prepare

    pixels = pictures.pixels(pictures.entries[index])
    if pixels is None:
        return np.full((3, size, size), 128, np.uint8)
    return prepare(pixels, size).pixels.transpose(2, 0, 1).copy()
