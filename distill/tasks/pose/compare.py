"""Does a teacher help, and which helps most? The same student without and with each, over seeds.

The runs differ in nothing but the teacher and the seed. Each is measured once, at its end, on all
validation crops. What is finished is kept in ``OUT/comparison.json`` and not repeated; a run that
was killed goes on from its last checkpoint. Different seeds may be run side by side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from ai8x_models.student_file import load_student
from common.errors import UserError
from common.files import checksum
from distill.people.mixture import open_set
from distill.tasks.pose import comparison
from distill.tasks.pose.compare_recipe import PLAIN, TAUGHT, CompareRecipe
from distill.tasks.pose.comparison import Arm, margins
from distill.tasks.pose.evaluation.evaluate import evaluate_pck
from distill.tasks.pose.train import train_student

_FREE = ("out", "seed", "seeds", "workers", "teacher", "rivals", "accelerator", "devices", "nodes")
"""Settings that may change between the runs of one comparison."""


def settings_key(recipe: CompareRecipe) -> str:
    """Checksum of everything that has to be the same in all runs."""
    same = {key: value for key, value in asdict(recipe).items() if key not in _FREE}
    same["teacher"] = checksum(Path(recipe.teacher))
    if recipe.rivals:
        same["rivals"] = [checksum(Path(rival)) for rival in recipe.rivals]
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:16]


def report(recipe: CompareRecipe) -> None:
    """Compare and print the table; see :func:`compare`."""
    print(compare(recipe))


def compare(recipe: CompareRecipe) -> str:
    """Train what is missing and return the table (Markdown).

    Raises:
        UserError: the folder holds runs with other settings, or a run fails.
    """
    out = Path(recipe.out)
    named = {arm: teacher or "without a teacher" for arm, teacher in recipe.teachers.items()}
    stored = comparison.finish(
        out, settings_key(recipe), named, recipe.seeds, partial(_measure, recipe)
    )
    arms = comparison.scores(stored, list(named), recipe.seeds, "pck")
    stored["summary"] = _summary(arms)
    comparison.write(out, stored)
    return table(arms)


def _measure(recipe: CompareRecipe, arm: str, seed: int) -> dict[str, Any]:
    """Train one student; its PCK on all validation sets."""
    single = recipe.run(arm, seed)
    path = train_student(single)
    student, _ = load_student(path)
    # The validation set is that of the first seed, also where it is made of drawn people.
    sets = [open_set(config, recipe.seeds[0] + 1) for config in recipe.validation]
    results = [evaluate_pck(student.eval(), people, recipe.size) for people in sets]
    points = sum(result.points for result in results)
    hits = sum(result.correct for result in results)
    if not points:
        raise UserError("the validation sets have nobody whose torso is labelled; name others")
    images = recipe.epochs * (recipe.samples_per_epoch // recipe.batch) * recipe.batch
    return {
        "pck": hits / points, "points": points, "images": images, "student": single.student,
    }  # fmt: skip


def _summary(arms: Mapping[str, Arm]) -> dict[str, Any]:
    means = {arm: {"mean": found.mean, "spread": found.spread} for arm, found in arms.items()}
    gains = {arm: margins(arms, arm, PLAIN) for arm in arms if arm != PLAIN}
    first = gains[TAUGHT]
    rest = {
        arm: {**means[arm], "margin": mean(found), "margins": found}
        for arm, found in gains.items()
    }  # fmt: skip
    return {**means, **rest, "margin": mean(first), "margins": first}


def table(arms: Mapping[str, Arm]) -> str:
    """Markdown: PCK@0.2 without and with each teacher; see :func:`comparison.table`."""
    pairs = [(arm, PLAIN) for arm in arms if arm != PLAIN]
    pairs += [(arm, TAUGHT) for arm in arms if arm not in (PLAIN, TAUGHT)]
    return comparison.table(
        "PCK@0.2",
        arms,
        {arm: _named(arm) for arm in arms},
        [(_gain(arm, beside), arm, beside) for arm, beside in pairs],
    )


def _named(arm: str) -> str:
    """``without teacher``, ``with teacher``, ``with teacher 2``."""
    return f"{arm} teacher" if arm == PLAIN else f"{TAUGHT} {_teacher(arm)}"


def _teacher(arm: str) -> str:
    return f"teacher {arm.removeprefix(TAUGHT)}".rstrip()


def _gain(arm: str, beside: str) -> str:
    """``gain``, ``gain of teacher 2``, ``gain of teacher 2 over the teacher``."""
    name = "gain" if arm == TAUGHT else f"gain of {_teacher(arm)}"
    return name if beside == PLAIN else f"{name} over the {_teacher(beside)}"
