"""Commands that are killed at any time: the same command then succeeds with the right result.

``POSE78_KILLS`` says how many kills each command gets.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.places import REPOSITORY

KILLS = int(os.environ.get("POSE78_KILLS", "10"))
CHECKPOINTS = REPOSITORY / "ai8x_models" / "checkpoints"
LIFT = CHECKPOINTS / "lift-q.pth.tar"


def command(*arguments: object, kill_after: float | None = None) -> int:
    """Run ``python -m ...``; with ``kill_after`` (seconds) it is killed with all its children."""
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)], cwd=REPOSITORY, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return process.wait(kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        return process.wait()


def contents(folder: Path) -> dict[str, bytes]:
    """All files by name, but those of a compilation that was killed (``.part-*``)."""
    return {
        name: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not (name := str(path.relative_to(folder))).startswith(".part-")
    }


def check(folder: Path, run: Callable[..., int], result: Callable[[], object]) -> None:
    """Kill ``run`` at random times; after each, what is there is whole, and a new run is right."""
    started = time.monotonic()
    assert run() == 0
    seconds, right = time.monotonic() - started, result()
    rng = random.Random(str(folder.name))
    for number in range(KILLS):
        run(kill_after=rng.uniform(0.2, 1.0) * seconds)
        assert result() == right, f"kill {number}: a part was left"
    assert run() == 0
    assert result() == right


@pytest.mark.long
def test_compiling_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "out" / "project"

    def run(kill_after: float | None = None) -> int:
        return command("synthesize", "compile", LIFT, "--out", out, kill_after=kill_after)

    check(tmp_path, run, lambda: contents(out) or "none")


@pytest.mark.long
def test_compiling_for_the_first_time_is_killed(tmp_path: Path) -> None:
    """Without an older project, a folder is there as a whole or not at all."""
    out = tmp_path / "out" / "project"

    def run(kill_after: float | None = None) -> int:
        return command("synthesize", "compile", LIFT, "--out", out, kill_after=kill_after)

    started = time.monotonic()
    assert run() == 0
    seconds, right = time.monotonic() - started, contents(out)
    rng = random.Random(1)
    for _ in range(KILLS):
        out.rename(tmp_path / f"done{rng.random()}")
        run(kill_after=rng.uniform(0.2, 1.0) * seconds)
        assert not out.exists() or contents(out) == right
        assert run() == 0
        assert contents(out) == right


@pytest.mark.long
def test_building_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "project"
    assert command("synthesize", "compile", LIFT, "--out", out) == 0

    def run(kill_after: float | None = None) -> int:
        return command(
            "synthesize.build", out, "--cache", tmp_path / "objects", kill_after=kill_after
        )

    check(tmp_path, run, lambda: (out / "firmware.elf").read_bytes())


@pytest.mark.long
def test_running_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("unicorn", reason="the kit extra is not installed")
    project = tmp_path / "project"
    assert command("synthesize", "compile", LIFT, "--out", project) == 0
    assert command("synthesize.build", project) == 0
    results = tmp_path / "results"

    def run(kill_after: float | None = None) -> int:
        return command(
            *("evalkit", "run", project / "firmware.elf", "--uart", results / "console.txt"),
            *("--timeline", results / "timeline.html"),
            kill_after=kill_after,
        )

    check(tmp_path, run, lambda: contents(results))


@pytest.mark.long
def test_quantising_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "out" / "q.pth.tar"
    float_student = CHECKPOINTS / "native-float.pth.tar"

    def run(kill_after: float | None = None) -> int:
        return command("quantize", "student", float_student, out, kill_after=kill_after)

    check(tmp_path, run, lambda: contents(out.parent).get("q.pth.tar"))
