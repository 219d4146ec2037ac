"""Several people's poses: the project's first task, whose rooms have command lines of their own."""

from __future__ import annotations

from pathlib import Path

from distill.tasks import Task

RECIPES = Path(__file__).parent / "recipes"


def _stage(stage: str, arguments: list[str]) -> int:
    from distill.__main__ import main

    return main([stage, *arguments])


def train_teacher(arguments: list[str]) -> int:
    """``[--config RECIPE.yaml] [key=value ...]``."""
    return _stage("teacher", arguments)


def train_student(arguments: list[str]) -> int:
    """``[--config RECIPE.yaml] [key=value ...]``."""
    return _stage("student", arguments)


def evaluate(arguments: list[str]) -> int:
    """``CHECKPOINT ... --annotations SET.json --images DIR``."""
    return _stage("eval", arguments)


def quantize(arguments: list[str]) -> int:
    """``QAT.pth.tar OUT-q.pth.tar``."""
    from quantize.__main__ import main

    return main(["convert", *arguments])


def sample(arguments: list[str]) -> int:
    """``PICTURE -o INPUT.npy``."""
    from ai8x_models.preprocess import main

    return main(arguments)


def fit_thresholds(arguments: list[str]) -> int:
    """``CHECKPOINT --set ANNOTATIONS IMAGES ... -o OUT``."""
    from distill.tasks.pose.fit import main

    return main(arguments)


def write_accuracy(arguments: list[str]) -> int:
    """``CHECKPOINT ... --annotations SET.json --images DIR -o docs/accuracy.md``."""
    from distill.tasks.pose.accuracy import main

    return main(arguments)


def show(arguments: list[str]) -> int:
    """``PICTURE --maps MAPS.npz --report REPORT.json -o OVERLAY.png``."""
    from ai8x_models.show import main

    return main(arguments)


TASK = Task(
    name="pose",
    what="poses of several people in a colour picture, 18 points (the default)",
    verbs={
        "teacher": train_teacher, "student": train_student, "quantize": quantize,
        "eval": evaluate, "thresholds": fit_thresholds, "accuracy": write_accuracy,
        "sample": sample, "show": show,
    },
    recipes={"teacher": RECIPES / "teacher.yaml", "student": RECIPES / "seed.yaml"},
)  # fmt: skip
