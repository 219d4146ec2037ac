"""A compilation that is stopped leaves what was there, or nothing; the mark of a finished one is
in the folder only with everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthesize import __main__ as command
from tests.helpers.places import REPOSITORY

LIFT = REPOSITORY / "ai8x_models" / "checkpoints" / "lift-q.pth.tar"
PARTS = ("report.html", "table.txt", "network.yaml", "checkpoint-q.pth.tar", "report.json")


def compile_to(folder: Path) -> int:
    return command.main(["compile", str(LIFT), "--out", str(folder), "--quiet"])


@pytest.mark.parametrize("stage", ["page.write_report", "_write_description", "table.to_json"])
def test_a_stopped_compilation_is_no_finished_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "project"
    with monkeypatch.context() as patched:
        patched.setattr(f"synthesize.commands.{stage}", stop)
        assert compile_to(out) == 130
        assert list(tmp_path.iterdir()) == []
    assert compile_to(out) == 0
    assert all((out / name).is_file() for name in PARTS)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with monkeypatch.context() as patched:
        patched.setattr(f"synthesize.commands.{stage}", stop)
        assert compile_to(out) == 130
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("out", [".", "", "..", "/"])
def test_a_folder_that_is_no_place_of_its_own_is_refused(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    assert command.main(["compile", str(LIFT), "--out", out, "--quiet"]) == 2
    sentence = capsys.readouterr().err
    assert sentence.startswith("error: ")
    assert sentence.count("\n") == 1
    assert list(place.iterdir()) == []
