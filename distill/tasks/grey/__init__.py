"""Points of one person in a grey picture of 64 x 64 pixels (docs/tasks-grey.md)."""

from __future__ import annotations

from pathlib import Path

from distill.tasks import Task, recipe_from

RECIPES = Path(__file__).parent / "recipes"
DEFAULTS = {"teacher": "teacher", "student": "student", "eval": "student"}


def train_teacher(arguments: list[str]) -> int:
    """``[--config RECIPE.yaml] [key=value ...]``."""
    from distill.tasks.grey import train
    from distill.tasks.grey.recipe import GreyTeacherRecipe

    train.train_teacher(recipe_from(arguments, GreyTeacherRecipe, "grey teacher"))
    return 0


def train_student(arguments: list[str]) -> int:
    """``[--config RECIPE.yaml] [key=value ...]``."""
    from distill.tasks.grey import train
    from distill.tasks.grey.recipe import GreyRecipe

    train.train_student(recipe_from(arguments, GreyRecipe, "grey student"))
    return 0


def quantize(arguments: list[str]) -> int:
    """``QAT.pth.tar OUT-q.pth.tar``; weights are kept as bytes."""
    from quantize.__main__ import main

    return main(["convert", "--compact", *arguments])


def evaluate(arguments: list[str]) -> int:
    """``CHECKPOINT ... [--config RECIPE.yaml] [--flip] [--validation]``."""
    from distill.tasks.grey.evaluate import main

    return main(arguments)


def sample(arguments: list[str]) -> int:
    """``PICTURE -o INPUT.npy``."""
    from distill.tasks.grey.picture import sample

    return sample(arguments)


def show(arguments: list[str]) -> int:
    """``PICTURE --maps MAPS.npz --report REPORT.json -o OVERLAY.png``."""
    from distill.tasks.grey.picture import show

    return show(arguments)


def figures(arguments: list[str]) -> int:
    """Parameters, multiplications and speed of the networks."""
    from distill.tasks.grey.figures import main

    return main(arguments)


TASK = Task(
    name="grey",
    what="13 or 17 points of one person in a grey picture of 64 x 64",
    verbs={
        "teacher": train_teacher, "student": train_student, "quantize": quantize,
        "eval": evaluate, "sample": sample, "show": show, "figures": figures,
    },
    recipes={stage: RECIPES / f"{recipe}.yaml" for stage, recipe in DEFAULTS.items()},
)  # fmt: skip
