"""What comparisons over seeds share: runs kept and not repeated, the table, the verdict."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from common.errors import UserError
from common.files import write_file
from common.incoming import read_json

log = logging.getLogger(__name__)

Pair = tuple[str, str, str]
"""What a difference is called, the arm that gains, the arm beside it."""


@dataclass(frozen=True)
class Arm:
    """A score, 0..1, of the runs of one arm, by seed."""

    scores: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return mean(self.scores.values())

    @property
    def spread(self) -> float:
        """Highest minus lowest over the seeds."""
        return max(self.scores.values()) - min(self.scores.values())


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse seeds that are none, negative or the same."""
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UserError(f"seeds are {seeds}; give different whole numbers from 0")


def finish(
    out: Path,
    key: str,
    arms: Mapping[str, str],
    seeds: Sequence[int],
    measure: Callable[[str, int], dict[str, Any]],
) -> dict[str, Any]:
    """Run what is missing of every arm and seed; the record of all that is finished.

    ``arms`` are their names and what is said of them; ``key`` tells the settings that all runs of a
    folder share; ``measure`` trains one and returns its figures.
    """
    record = out / "comparison.json"
    stored = _read(record, key)
    for seed in seeds:
        for arm, said in arms.items():
            if f"{arm}-{seed}" not in stored["runs"]:
                log.info("== %s, seed %d", said, seed)
                finished = measure(arm, seed)
                stored = _read(record, key)  # another process may have finished other seeds
                stored["runs"][f"{arm}-{seed}"] = finished
                write(out, stored)
    return stored


def scores(
    stored: Mapping[str, Any], arms: Sequence[str], seeds: Sequence[int], figure: str
) -> dict[str, Arm]:
    """One figure of all runs, by arm."""
    return {
        arm: Arm({seed: stored["runs"][f"{arm}-{seed}"][figure] for seed in seeds}) for arm in arms
    }


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
            f"{path} holds runs with other settings or other networks; name another folder with "
            "out=..., or repeat the settings of the runs there"
        )
    return dict(stored)


def write(out: Path, stored: Mapping[str, Any]) -> None:
    """Write ``comparison.json`` and ``comparison.csv``, whole or not at all."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    figures = list(next(iter(stored["runs"].values()), {}))
    writer.writerow(["arm", "seed", *figures])
    for name, run in stored["runs"].items():
        values = (run[figure] for figure in figures)
        said = [f"{v:.6f}" if isinstance(v, float) else v for v in values]
        writer.writerow([*name.rsplit("-", 1), *said])
    write_file(out / "comparison.csv", rows.getvalue())
    write_file(out / "comparison.json", json.dumps(stored, indent=1) + "\n")


def margins(arms: Mapping[str, Arm], arm: str, beside: str) -> list[float]:
    """What one arm gains over another, seed by seed."""
    return [arms[arm].scores[seed] - score for seed, score in arms[beside].scores.items()]


def table(
    figure: str, arms: Mapping[str, Arm], names: Mapping[str, str], pairs: Sequence[Pair]
) -> str:
    """Markdown: a figure in percent by seed, mean, spread (highest - lowest), gains, verdicts."""
    seeds = list(next(iter(arms.values())).scores)
    lines = [
        f"| {figure} | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean | spread |",
        "|---|" + "---:|" * (len(seeds) + 2),
    ]
    for arm, found in arms.items():
        values = [*(found.scores[seed] for seed in seeds), found.mean, found.spread]
        lines.append(f"| {names[arm]} | " + " | ".join(f"{100 * v:.2f}" for v in values) + " |")
    verdicts = []
    for name, arm, beside in pairs:
        gains = margins(arms, arm, beside)
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
