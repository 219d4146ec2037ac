"""Run the pose transformer's recipe: the file that comes out is a teacher of maps."""

from __future__ import annotations

import logging
from pathlib import Path

import lightning as L

from common.errors import UserError
from distill.engine.trainer import quiet
from distill.people.mixture import PoseData
from distill.tasks.pose.teachers.transformer.backbones import start_backbone
from distill.tasks.pose.teachers.transformer.checkpoint import load_network, save_network
from distill.tasks.pose.teachers.transformer.model import LinearPose
from distill.tasks.pose.teachers.transformer.module import LinearModule
from distill.tasks.pose.teachers.transformer.recipe import LinearRecipe
from distill.tasks.pose.train import fit

log = logging.getLogger(__name__)


def first_network(recipe: LinearRecipe) -> LinearPose:
    """The network a run starts with."""
    if recipe.start_from:
        network, _ = load_network(Path(recipe.start_from))
        if network.shape != recipe.shape():
            raise UserError(
                f"start_from: {recipe.start_from} holds {network.shape}, but the recipe asks for "
                f"{recipe.shape()}"
            )
    else:
        network = LinearPose(recipe.shape())
    if recipe.start_backbone:
        start_backbone(network.backbone, Path(recipe.start_backbone))
    return network


def train_teacher(recipe: LinearRecipe) -> Path:
    """Run the recipe, resuming a killed run; returns the teacher's file."""
    with quiet():
        L.seed_everything(recipe.seed, workers=True, verbose=False)
        module = LinearModule(first_network(recipe), recipe)
        extras = fit(module, PoseData(recipe), recipe)
    path = Path(recipe.out) / "teacher.pth.tar"
    save_network(module.network, path, recipe.epochs, {**extras, "sigma": recipe.sigma})
    log.info("teacher written to %s", path)
    return path
