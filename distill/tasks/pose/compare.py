"""Does a teacher help, and which helps most? The same student without and with each, over seeds.

The runs differ in nothing but the teacher and the seed. Each is measured once, at its end, on all
validation crops. What is finished is kept in ``OUT/comparison.json`` and not repeated; a run that
was killed goes on from its last checkpoint. Different seeds may be run side by side.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from statistics import mean
from typing import Any

from ai8x_models.student_file import load_student
from common.errors import UserError
from common.files import checksum, write_file
from common.incoming import read_json
from distill.people.mixture import open_set
from distill.tasks.pose.evaluate import evaluate_pck
from distill.tasks.pose.recipe import Recipe
from distill.tasks.pose.train import train_student

log = logging.getLogger(__name__)

PLAIN, TAUGHT = "without", "with"  # a teacher; its rivals are with2, with3, ...
_FREE = ("out", "seed", "seeds", "workers", "teacher", "rivals", "accelerator", "devices", "nodes")
"""Settings that may change between the runs of one comparison."""


@dataclass
class CompareRecipe(Recipe):
    """A student's recipe with a teacher, and the seeds to compare it over."""

    out: str = "runs/compare"
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3])
    rivals: list[str] = field(default_factory=list)  # more teachers to compare with the first

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.teacher:
            raise UserError("a comparison needs a teacher; add teacher=FILE")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise UserError(f"seeds are {self.seeds}; give different whole numbers from 0")
        if self.rivals and self.teacher_cache:
            raise UserError("teacher_cache would keep the maps of all teachers; drop it, or rivals")

    @property
    def teachers(self) -> dict[str, str]:
        """Checkpoints by the name of their arm; the first arm has none."""
        named = {f"{TAUGHT}{number}": file for number, file in enumerate(self.rivals, 2)}
        return {PLAIN: "", TAUGHT: self.teacher, **named}

    def run(self, arm: str, seed: int) -> Recipe:
        """Recipe of one run; it validates at its end only."""
        settings = {f.name: getattr(self, f.name) for f in fields(Recipe)}
        recipe = Recipe(
            **{
                **settings,
                "seed": seed,
                "out": str(Path(self.out) / f"{arm}-{seed}"),
                "validate_every": self.epochs,
                "patience": 0,
            }
        )
        teacher = self.teachers[arm]
        return replace(recipe, teacher=teacher, teacher_cache=self.teacher_cache if teacher else "")


@dataclass(frozen=True)
class Arm:
    """PCK@0.2 of the runs with or without a teacher, by seed."""

    scores: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return mean(self.scores.values())

    @property
    def spread(self) -> float:
        """Highest minus lowest over the seeds."""
        return max(self.scores.values()) - min(self.scores.values())


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
    record, key = out / "comparison.json", settings_key(recipe)
    stored = _read(record, key)
    for seed in recipe.seeds:
        for arm, teacher in recipe.teachers.items():
            if f"{arm}-{seed}" not in stored["runs"]:
                log.info("== %s, seed %d", teacher or "without a teacher", seed)
                finished = _measure(recipe, arm, seed)
                stored = _read(record, key)  # another process may have finished other seeds
                stored["runs"][f"{arm}-{seed}"] = finished
                _write(out, stored)
    arms = {
        arm: Arm({seed: stored["runs"][f"{arm}-{seed}"]["pck"] for seed in recipe.seeds})
        for arm in recipe.teachers
    }
    stored["summary"] = _summary(arms)
    _write(out, stored)
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


def _read(path: Path, key: str) -> dict[str, Any]:
    """What is finished, or an empty record."""
    try:
        stored = read_json(path)
        found = stored["settings"]
        stored["runs"].items()
    except FileNotFoundError:
        return {"settings": key, "runs": {}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"cannot read {path}: {error}; remove it to start afresh") from None
    if found != key:
        raise UserError(
            f"{path} holds runs with other settings or another teacher; name another folder with "
            "out=..., or repeat the settings of the runs there"
        )
    return dict(stored)


def _write(out: Path, stored: Mapping[str, Any]) -> None:
    """Write ``comparison.json`` and ``comparison.csv``, whole or not at all."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["teacher", "seed", "pck", "points", "images", "student"])
    for name, run in stored["runs"].items():
        arm, seed = name.rsplit("-", 1)
        writer.writerow(
            [arm, seed, f"{run['pck']:.6f}", run["points"], run["images"], run["student"]]
        )
    write_file(out / "comparison.csv", rows.getvalue())
    write_file(out / "comparison.json", json.dumps(stored, indent=1) + "\n")


def _summary(arms: Mapping[str, Arm]) -> dict[str, Any]:
    means = {arm: {"mean": found.mean, "spread": found.spread} for arm, found in arms.items()}
    gains = {arm: margins(arms, arm) for arm in arms if arm != PLAIN}
    first = gains[TAUGHT]
    rest = {
        arm: {**means[arm], "margin": mean(found), "margins": found}
        for arm, found in gains.items()
    }  # fmt: skip
    return {**means, **rest, "margin": mean(first), "margins": first}


def margins(arms: Mapping[str, Arm], arm: str, beside: str = PLAIN) -> Sequence[float]:
    """What one arm gains over another, seed by seed."""
    return [arms[arm].scores[seed] - score for seed, score in arms[beside].scores.items()]


def table(arms: Mapping[str, Arm]) -> str:
    """Markdown: PCK@0.2 in percent by seed, mean, spread (highest - lowest), gains, verdicts."""
    seeds = list(arms[PLAIN].scores)
    lines = [
        "| PCK@0.2 | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean | spread |",
        "|---|" + "---:|" * (len(seeds) + 2),
    ]
    for arm, found in arms.items():
        values = [*(found.scores[seed] for seed in seeds), found.mean, found.spread]
        lines.append(f"| {_named(arm)} | " + " | ".join(f"{100 * v:.2f}" for v in values) + " |")
    pairs = [(arm, PLAIN) for arm in arms if arm != PLAIN]
    pairs += [(arm, TAUGHT) for arm in arms if arm not in (PLAIN, TAUGHT)]
    verdicts = []
    for arm, beside in pairs:
        gains, name = margins(arms, arm, beside), _gain(arm, beside)
        values = [*gains, mean(gains), max(gains) - min(gains)]
        lines.append(f"| {name} | " + " | ".join(f"{100 * v:+.2f}" for v in values) + " |")
        verdicts.append(
            _verdict(name, mean(gains), max(arms[a].spread for a in (arm, beside)), seeds)
        )
    return "\n".join(lines) + "\n\n" + "\n".join(verdicts)


def _verdict(name: str, gain: float, spread: float, seeds: Sequence[int]) -> str:
    """A sentence on a gain, beside the larger spread of the two arms."""
    said = f"The {name} is {100 * gain:+.2f} points"
    if len(seeds) == 1:
        return f"{said}, with one seed, which shows no spread."
    verdict = "larger" if abs(gain) > spread else "not larger"
    return f"{said}, {verdict} than the spread over {len(seeds)} seeds ({100 * spread:.2f} points)."


def _named(arm: str) -> str:
    """``without teacher``, ``with teacher``, ``with teacher 2``."""
    return f"{arm} teacher" if arm == PLAIN else f"{TAUGHT} {_teacher(arm)}"


def _teacher(arm: str) -> str:
    return f"teacher {arm.removeprefix(TAUGHT)}".rstrip()


def _gain(arm: str, beside: str) -> str:
    """``gain``, ``gain of teacher 2``, ``gain of teacher 2 over the teacher``."""
    name = "gain" if arm == TAUGHT else f"gain of {_teacher(arm)}"
    return name if beside == PLAIN else f"{name} over the {_teacher(beside)}"
