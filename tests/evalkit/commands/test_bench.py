"""What the virtual board's bench says, without measuring anything."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.__main__ import main
from evalkit.commands import bench


def result(milliseconds: float, first: float, replay: float | None) -> dict[str, Any]:
    measured = {
        "further_answers_per_wall_s": 12.0,
        "first_answer_wall_s": first,
        "further_answer_cpu_ms": {"least": 50.0, "median": milliseconds, "most": 95.0},
    }
    return measured if replay is None else measured | {"replay_wall_s": replay}


def test_targets_are_told_with_the_spread() -> None:
    lines = bench.verdicts(result(62.5, 3.4, 0.6))
    assert lines[0] == (
        "further answers: 12.0/s of wall time; processor time 62 ms each (50 to 95), 16.0/s;"
        " target at most 67 ms: met"
    )
    assert lines[1] == "boot to first answer: 3.40 s; target under 3 s: MISSED"
    assert lines[2] == "replay of the trace: 0.60 s; target under 1 s: met"


def test_replay_is_optional() -> None:
    lines = bench.verdicts(result(67.0, 1.0, None))
    assert lines[0].endswith("MISSED")
    assert len(lines) == 2


def test_stopwatch_counts_laps() -> None:
    watch = bench.Stopwatch()
    for _ in range(3):
        watch.lap()
    assert len(watch.wall) == len(watch.cpu) == 3
    assert min(watch.wall) >= 0


def test_count_must_be_positive(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "none.elf", "--count", "0"]) == 2
    assert "--count: 0 is not a whole number of at least 1" in capsys.readouterr().err
