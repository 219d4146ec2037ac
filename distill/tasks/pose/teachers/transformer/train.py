"""Run the pose transformer's recipe: the file that comes out is a teacher of maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.errors import UserError
from distill.engine import run
from distill.people.mixture import PoseData
from distill.tasks.pose.teachers.transformer.backbones import start_backbone
from distill.tasks.pose.teachers.transformer.checkpoint import load_network, save_network
from distill.tasks.pose.teachers.transformer.model import LinearPose
from distill.tasks.pose.teachers.transformer.module import LinearModule
from distill.tasks.pose.teachers.transformer.recipe import LinearRecipe


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

    def save(module: LinearModule, path: Path, extras: dict[str, Any]) -> None:
        save_network(module.network, path, recipe.epochs, {**extras, "sigma": recipe.sigma})

    return run.train(
        recipe,
        "teacher",
        lambda: (LinearModule(first_network(recipe), recipe), PoseData(recipe)),
        save,
    )
