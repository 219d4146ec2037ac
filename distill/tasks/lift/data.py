"""Pairs of 2D views and 3D poses for training and validation, made in batches on the fly."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from common.errors import UserError
from distill.people.mixture import Reporting
from distill.tasks.lift.cameras import (
    TOP,
    CameraRange,
    normalise,
    project,
    random_cameras,
    to_camera,
    uniform,
)
from distill.tasks.lift.motion.h36m import read_3d
from distill.tasks.lift.motion.mocap import Motion, join, read_motion, window_indices
from distill.tasks.lift.recipe import LiftRecipe, MotionConfig, ViewConfig
from distill.tasks.lift.skeleton import MIRROR

VALIDATION_BATCH = 512


@dataclass(frozen=True)
class Views:
    """How motion becomes batches.

    Attributes:
        cameras: where cameras stand.
        flip: how often a pose is mirrored, 0..1.
        noise: standard deviation of the 2D joints' errors, in parts of the person's extent.
        lose: how often a 2D joint is missing (then it lies on the pelvis), 0..1.
        stretch: largest change of the person's size, in parts.
        derived: how often spine and thorax are where :func:`..skeleton.from_18` would put them.
    """

    cameras: CameraRange = field(default_factory=CameraRange)
    flip: float = 0.0
    noise: float = 0.0
    lose: float = 0.0
    stretch: float = 0.0
    derived: float = 0.0


def views_of(config: ViewConfig, exact: bool = False) -> Views:
    """The recipe's choice; ``exact`` leaves out every random change but the camera."""
    (low, high), (near, far) = config.pitch, config.distance
    cameras = CameraRange((low, high), config.roll, (near, far))
    if exact:
        return Views(cameras)
    return Views(
        cameras, config.flip, config.noise, config.lose, config.stretch, config.derived
    )  # fmt: skip


def mirror(poses: Tensor) -> Tensor:
    """Poses [..., 17, 2 or 3] in a camera frame, seen in a mirror: left and right change places."""
    swapped = poses[..., list(MIRROR), :]
    return torch.cat([-swapped[..., :1], swapped[..., 1:]], dim=-1)


def make_views(world: Tensor, views: Views, generator: torch.Generator) -> dict[str, Tensor]:
    """Look at poses through random cameras.

    Args:
        world: float32 [n, T, 17, 3], metres, third axis up; the T poses of a window share a camera.
        views: what may be random.
        generator: source of all randomness.

    Returns:
        ``view`` float32 [n, T, 17, 2], normalised; ``clean``, the same without noise and losses;
        ``pose`` float32 [n, T, 17, 3], camera frame, metres from the pelvis.
    """
    count = len(world)
    rotation, distance = random_cameras(count, generator, views.cameras)
    pose = to_camera(world, rotation)
    if views.stretch:
        scale = uniform(generator, count, 1 - views.stretch, 1 + views.stretch)
        pose = pose * scale.reshape(-1, 1, 1, 1)
    if views.flip:
        flipped = torch.rand(count, generator=generator) < views.flip
        pose = torch.where(flipped.reshape(-1, 1, 1, 1), mirror(pose), pose)
    clean = normalise(project(pose, distance))
    return {"view": disturb(clean, views, generator), "clean": clean, "pose": pose}


def disturb(clean: Tensor, views: Views, generator: torch.Generator) -> Tensor:
    """Add what a detector does wrong to normalised views [n, T, 17, 2], and normalise again."""
    view = clean
    if views.derived:
        chosen = torch.rand(len(view), generator=generator) < views.derived
        view = torch.where(chosen.reshape(-1, 1, 1, 1), derive(view), view)
    if views.noise:
        view = view + views.noise * torch.randn(view.shape, generator=generator)
    if views.noise or views.derived:
        view = normalise(view)
    if views.lose:
        lost = torch.rand(view.shape[:-1], generator=generator) < views.lose
        view = torch.where(lost[..., None], 0.0, view)
    return view


def derive(view: Tensor) -> Tensor:
    """Spine and thorax as the middle of others, the way the 18 points give them."""
    thorax = (view[..., 11, :] + view[..., 14, :]) / 2
    spine = (view[..., 0, :] + thorax) / 2
    return torch.cat([view[..., :7, :], spine[..., None, :], thorax[..., None, :],
                      view[..., 9:, :]], dim=-2)  # fmt: skip


def quantise(view: Tensor) -> Tensor:
    """Normalised views rounded to what a signed byte holds."""
    return (torch.floor(view * 128 + 0.5) / 128).clamp(-1.0, TOP)


def open_motion(config: MotionConfig) -> Motion:
    """Read one set of a recipe: ``annotations`` is a motion-capture file.

    ``FILE.npz`` is read by :func:`read_motion`, ``h36m:FILE.npz`` or ``h36m:FILE.npz:S1,S5`` as a
    Human3.6M archive.
    """
    archive = config.archive()
    if archive is None:
        return read_motion(Path(config.annotations), config.limit)
    path, subjects = archive
    whole = read_3d(Path(path), subjects)
    return Motion(whole.poses[: config.limit], whole.sequence[: config.limit], whole.names)


class _Numbers(Dataset[int]):
    """Numbers of the windows; batches are made of them as a whole."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index


class Windows:
    """Makes batches from numbers of windows; what is random depends on seed, epoch and numbers."""

    def __init__(self, motion: Motion, window: int, views: Views, seed: int) -> None:
        self.poses = torch.from_numpy(motion.poses)
        self.indices = torch.from_numpy(window_indices(motion.windows(window), window))
        self.views, self.seed, self.epoch = views, seed, 0

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, numbers: list[int]) -> dict[str, Tensor]:
        """The batch of some windows; see :func:`make_views`."""
        seed = hash((self.seed, self.epoch, *numbers)) & 0x7FFF_FFFF
        generator = torch.Generator().manual_seed(seed)
        return make_views(self.poses[self.indices[numbers]], self.views, generator)


class LiftData(Reporting):
    """Motion of a recipe as batches."""

    def __init__(self, recipe: LiftRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.train: Windows | None = None
        self.validation: Windows | None = None

    def setup(self, stage: str) -> None:
        """Read all sets; the second call does nothing."""
        if self.train is not None:
            return
        recipe = self.recipe
        for name in ("train", "validation"):
            if not getattr(recipe, name):
                raise UserError(f"the recipe names no data set under '{name}'")
        self.train = self._windows(recipe.train, views_of(recipe.views), recipe.seed)
        exact = views_of(recipe.views, exact=True)
        # Always the same cameras, whatever the run's seed: figures of runs can be compared.
        self.validation = self._windows(recipe.validation, exact, seed=0)

    def _windows(self, sets: list[MotionConfig], views: Views, seed: int) -> Windows:
        motion = join([open_motion(config) for config in sets])
        return Windows(motion, self.recipe.window, views, seed)

    def report(self) -> str:
        """How many windows there are."""
        assert self.train is not None
        assert self.validation is not None
        return (
            f"training: {len(self.train)} windows of {self.recipe.window} poses, "
            f"validation: {len(self.validation)}"
        )

    def train_dataloader(self) -> DataLoader[Any]:
        """Windows in random order, ``samples_per_epoch`` of them."""
        assert self.train is not None
        self.train.epoch = self.trainer.current_epoch if self.trainer else 0
        generator = torch.Generator().manual_seed(self.recipe.seed * 100_003 + self.train.epoch)
        count = self.recipe.samples_per_epoch
        rounds = math.ceil(count / len(self.train))
        order = torch.cat(
            [torch.randperm(len(self.train), generator=generator) for _ in range(rounds)]
        )
        return DataLoader(
            _Numbers(len(self.train)), self.recipe.batch, sampler=order[:count].tolist(),
            collate_fn=self.train.batch, num_workers=0, drop_last=True,
        )  # fmt: skip

    def val_dataloader(self) -> DataLoader[Any]:
        """All windows in order."""
        assert self.validation is not None
        return DataLoader(
            _Numbers(len(self.validation)), VALIDATION_BATCH, collate_fn=self.validation.batch
        )
