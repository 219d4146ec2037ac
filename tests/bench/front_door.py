"""Prints how long the front door takes: help, the answer about a student, pictures looked at.

``python -m tests.bench.front_door`` (part of ``make bench``). Each is a program of its own, from
its start to its end; wall and processor time, the best of three. On a machine that does other work
the wall time says little, so the exit status is 1 only when a target is missed in both.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pose78.parallel import processors
from tests.helpers.places import REPOSITORY

PHOTOGRAPH = REPOSITORY / "docs" / "images" / "pose.jpg"
PICTURES = 100
RATE = 60.0
"""Pictures a second on two processors, start included."""
REPEATS = 3


@dataclass(frozen=True)
class Case:
    """A call, and the seconds it may take on ``processors`` of them."""

    name: str
    arguments: tuple[str, ...]
    seconds: float
    processors: int = 1


def cases(folder: Path) -> list[Case]:
    """The calls; pictures and results are in a folder."""
    seen, drawn = str(folder / "pictures"), str(folder / "drawn")
    limit = PICTURES / RATE
    return [
        Case("pose78 --help", ("--help",), 0.3),
        Case("pose78 check --student native", ("check", "--student", "native"), 3.0),
        Case(f"pose78 predict ({PICTURES} pictures)", ("predict", seen), limit, 2),
        Case("the same, drawn and written", ("predict", seen, "--save", drawn, "--json",
                                             str(folder / "people.json")), limit, 2),
    ]  # fmt: skip


def measure(case: Case) -> tuple[float, float]:
    """Least wall and processor seconds of a call."""
    found = []
    for _ in range(1 + REPEATS):
        wall, before = time.perf_counter(), os.times()
        subprocess.run([sys.executable, "-m", "pose78", *case.arguments], cwd=REPOSITORY,
                       check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        after = os.times()
        spent = sum(after[2:4]) - sum(before[2:4])
        found.append((time.perf_counter() - wall, spent))
    return min(w for w, _ in found[1:]), min(p for _, p in found[1:])


def main() -> int:
    """Print a table; 1 when a target is missed in wall and processor time."""
    missed = 0
    # As users run it: Python keeps what it has compiled of the modules.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as name:
        pictures = Path(name) / "pictures"
        pictures.mkdir()
        for number in range(PICTURES):
            shutil.copy(PHOTOGRAPH, pictures / f"{number:03}.jpg")
        print(f"{'':34} {'wall':>8} {'processor':>10} {'target':>8}   on {processors()} processors")
        for case in cases(Path(name)):
            wall, spent = measure(case)
            missed += wall > case.seconds and spent > case.seconds * case.processors
            print(f"{case.name:34} {wall:7.2f}s {spent:9.2f}s {case.seconds:7.2f}s", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
