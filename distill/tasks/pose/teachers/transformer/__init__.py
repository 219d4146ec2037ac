"""The convolution + linear-attention pose transformer: a teacher that finds people as a set.

It teaches the same pose student as the Lightweight OpenPose network, so everything behind the
teacher is the pose task's.
"""

from __future__ import annotations

import os
from pathlib import Path

from distill.tasks import Task, Verb, recipe_from
from distill.tasks.pose import TASK as POSE

RECIPES = Path(__file__).parent / "recipes"


def train_teacher(arguments: list[str]) -> int:
    """``[--config RECIPE.yaml] [key=value ...]``."""
    from distill.tasks.pose.teachers.transformer.recipe import LinearRecipe
    from distill.tasks.pose.teachers.transformer.train import train_teacher as train

    train(recipe_from(arguments, LinearRecipe, "linear teacher"))
    return 0


def growth(arguments: list[str]) -> int:
    """``[-o PICTURE.png]``."""
    from distill.tasks.pose.teachers.transformer.growth import main

    return main(arguments)


def figures(arguments: list[str]) -> int:
    """No arguments: parameters, FLOPs and speed."""
    from distill.tasks.pose.teachers.transformer.figures import main

    return main(arguments)


def onnx(arguments: list[str]) -> int:
    """``TEACHER.pth.tar -o MODEL.onnx``."""
    from distill.tasks.pose.teachers.transformer.to_onnx import main

    return main(arguments)


def evaluate(arguments: list[str]) -> int:
    """``CHECKPOINT ...``; the 14-point validation set of POSE78_DATA unless a set is named."""
    if not any(argument.startswith(("--annotations", "--synthetic")) for argument in arguments):
        data = Path(os.environ.get("POSE78_DATA", "data")) / "lspet"
        named = ["--annotations", str(data / "lspet_val.json"), "--images", str(data / "val")]
        arguments = [*arguments, *named]
    return POSE.verbs["eval"](arguments)


OWN_VERBS: dict[str, Verb] = {
    "teacher": train_teacher,
    "eval": evaluate,
    "growth": growth,
    "figures": figures,
    "onnx": onnx,
}

TASK = Task(
    name="linear",
    what="the pose student, taught by a pose transformer with linear attention",
    verbs={**POSE.verbs, **OWN_VERBS},
    recipes={stage: RECIPES / f"{stage}.yaml" for stage in ("teacher", "student")},
)
