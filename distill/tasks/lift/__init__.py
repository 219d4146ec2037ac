"""2D -> 3D lifting: a 3D pose from the points that a pose network has found in one picture."""

from __future__ import annotations

from pathlib import Path

from distill.tasks import Task, recipe_from

RECIPES = Path(__file__).parent / "recipes"


def train_teacher(arguments: list[str]) -> int:
    """``[--config RECIPE.yaml] [key=value ...]``."""
    from distill.tasks.lift.recipe import LiftTeacherRecipe
    from distill.tasks.lift.train import train_teacher

    train_teacher(recipe_from(arguments, LiftTeacherRecipe, "lift teacher"))
    return 0


def train_student(arguments: list[str]) -> int:
    """``[--config RECIPE.yaml] [key=value ...]``."""
    from distill.tasks.lift.recipe import LiftStudentRecipe
    from distill.tasks.lift.train import train_student

    train_student(recipe_from(arguments, LiftStudentRecipe, "lift student"))
    return 0


def quantize(arguments: list[str]) -> int:
    """``QAT.pth.tar OUT-q.pth.tar``."""
    from quantize.__main__ import main

    return main(["convert", *arguments])


def evaluate(arguments: list[str]) -> int:
    """``CHECKPOINT ... [--motion FILE] [--pictures DIR]``: accuracy, size and speed."""
    from distill.tasks.lift.evaluate import main

    return main(arguments)


def compare(arguments: list[str]) -> int:
    """As ``eval``, with every joint of every network side by side."""
    from distill.tasks.lift.evaluate import main

    return main(arguments, "compare")


def infer(arguments: list[str]) -> int:
    """``CHECKPOINT KEYPOINTS -o FOLDER [--pictures]``."""
    from distill.tasks.lift.infer import infer

    return infer(arguments)


def sample(arguments: list[str]) -> int:
    """``KEYPOINTS.json -o INPUT.npy``."""
    from distill.tasks.lift.infer import sample

    return sample(arguments)


def show(arguments: list[str]) -> int:
    """``KEYPOINTS.json --maps MAPS.npz --report REPORT.json -o PICTURE.png``."""
    from distill.tasks.lift.infer import show

    return show(arguments)


TASK = Task(
    name="lift",
    what="3D poses from 2D keypoints, 17 joints (docs/tasks-lift.md)",
    verbs={
        "teacher": train_teacher, "student": train_student, "quantize": quantize,
        "eval": evaluate, "compare": compare, "infer": infer, "sample": sample, "show": show,
    },
    recipes={"teacher": RECIPES / "teacher.yaml", "student": RECIPES / "student.yaml"},
)  # fmt: skip
