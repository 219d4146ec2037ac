"""The convolution + linear-attention pose transformer: a teacher that finds people as a set.

It teaches the same pose student as the Lightweight OpenPose network, so everything behind the
teacher is the pose task's.
"""

from __future__ import annotations

from pathlib import Path

from distill.tasks import Task, recipe_from
from distill.tasks.pose import TASK as POSE

FOLDER = Path(__file__).parent


def train_teacher(arguments: list[str]) -> int:
    """``[--config RECIPE.yaml] [key=value ...]``."""
    from distill.tasks.linear.recipe import LinearRecipe
    from distill.tasks.linear.train import train_teacher as train

    train(recipe_from(arguments, LinearRecipe, "linear teacher"))
    return 0


TASK = Task(
    name="linear",
    what="the pose student, taught by a pose transformer with linear attention",
    verbs={**POSE.verbs, "teacher": train_teacher},
    recipes={"teacher": FOLDER / "teacher.yaml"},
)
