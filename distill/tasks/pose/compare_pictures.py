"""What teaches best on ordinary pictures? The same student, taught in three ways, over seeds.

Labels alone; with a picture teacher's maps as they are; with those maps and the labelled people
drawn into them. Each run is measured once, at its end, on whole pictures (OKS AP, as deployment
sees them) and on the validation crops (PCK@0.2). Finished runs are kept and not repeated.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ai8x_models.student_file import load_student
from common.errors import UserError
from common.files import checksum
from distill.engine.recipe import existing
from distill.people.annotations import KeypointFile
from distill.people.mixture import open_set
from distill.tasks.pose import comparison
from distill.tasks.pose.compare_recipe import DRAWN, LABELS, MAPS, ComparePicturesRecipe
from distill.tasks.pose.evaluation.evaluate import evaluate_pck
from distill.tasks.pose.evaluation.whole import evaluate_whole
from distill.tasks.pose.train import train_on_pictures

ARMS = {
    LABELS: "labels alone",
    MAPS: "with the teacher's maps",
    DRAWN: "with the maps, labelled people drawn in",
}
_GAINS = [
    ("gain of the maps", MAPS, LABELS),
    ("gain of the maps with people", DRAWN, LABELS),
    ("gain of drawing people", DRAWN, MAPS),
]
_FREE = ("out", "seed", "seeds", "workers", "picture_maps", "accelerator", "devices", "nodes")
"""Settings that may change between the runs of one comparison."""


def settings_key(recipe: ComparePicturesRecipe) -> str:
    """Checksum of everything that has to be the same in all runs."""
    same = {key: value for key, value in asdict(recipe).items() if key not in _FREE}
    for name in ("picture_teacher", "start_from", "teacher"):
        file = getattr(recipe, name)
        same[name] = checksum(existing(Path(file))) if file else ""
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:16]


def report(recipe: ComparePicturesRecipe) -> None:
    """Compare and print the tables; see :func:`compare`."""
    print(compare(recipe))


def compare(recipe: ComparePicturesRecipe) -> str:
    """Train what is missing and return two tables (Markdown): AP of whole pictures, PCK@0.2.

    Raises:
        UserError: the folder holds runs with other settings, or a run fails.
    """
    _judge(recipe)  # what is wrong with it is said before anything is trained
    stored = comparison.finish(
        Path(recipe.out), settings_key(recipe), ARMS, recipe.seeds, partial(_measure, recipe)
    )
    tables = []
    for figure, title in (("ap", "OKS AP"), ("ap50", "AP50"), ("pck", "PCK@0.2")):
        arms = comparison.scores(stored, list(ARMS), recipe.seeds, figure)
        tables.append(comparison.table(title, arms, ARMS, _GAINS))
    return "\n\n".join(tables)


def _judge(recipe: ComparePicturesRecipe) -> tuple[KeypointFile, Path]:
    """The whole pictures to judge by.

    Raises:
        UserError: the labels cannot be read or are none, or no picture is there.
    """
    (judge,) = recipe.judge
    content, folder = KeypointFile(Path(judge.annotations)), Path(judge.images)
    if not any(os.path.isfile(folder / image["file_name"]) for image in content.images):
        raise UserError(f"judge: none of the pictures of {judge.annotations} is in {folder}")
    return content, folder


def _measure(recipe: ComparePicturesRecipe, arm: str, seed: int) -> dict[str, Any]:
    """Train one student; its AP on whole pictures, its PCK on all validation crops."""
    single = recipe.run(arm, seed)
    student, _ = load_student(train_on_pictures(single))
    student.eval()
    content, folder = _judge(recipe)
    whole = evaluate_whole(student, content, folder, recipe.size)
    sets = [open_set(config, recipe.seeds[0] + 1) for config in recipe.validation]
    crops = [evaluate_pck(student, people, recipe.size) for people in sets]
    points = sum(result.points for result in crops)
    return {
        "ap": float(whole.ap["AP"]),
        "ap50": float(whole.ap["AP50"]),
        "pck": sum(result.correct for result in crops) / max(points, 1),
        "images": recipe.epochs * (recipe.samples_per_epoch // recipe.batch) * recipe.batch,
        "student": single.student,
    }
