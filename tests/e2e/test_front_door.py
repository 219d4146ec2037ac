"""Makefile and README agree with each other."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from common.errors import UserError
from synthesize.ai8x import generator
from tests.helpers.front_door import ROOT, make


def helped() -> set[str]:
    """Targets that `make` without a target lists."""
    out = subprocess.run(["make", "-s"], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(re.findall(r"^  ([a-z-]+) ", out.stdout, re.MULTILINE))


def test_every_target_is_listed_by_help() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE))
    named = {name for names in phony for name in names.split()}
    assert helped() == {name for name in named if not name.startswith("$(")}


def test_readme_names_only_targets_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)\b", "\n".join(re.findall(r"`[^`]+`", text))))
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    named |= set(re.findall(r"^make ([a-z-]+)", "\n".join(blocks), re.MULTILINE))
    assert named
    assert named <= helped()


def test_documents_link_to_files_that_exist() -> None:
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_run_goes_all_the_way_and_the_second_call_compiles_nothing(tmp_path: Path) -> None:
    first = make(tmp_path, "run")
    assert first.returncode == 0, first.stderr
    for wanted in ("\nPASS\n", "of 442,368 bytes", "of   2,048 bytes", "of 524,288 bytes"):
        assert wanted in first.stdout
    assert "of     768 words" in first.stdout
    assert f"overlay: {tmp_path}/overlay.png" in first.stdout
    assert '"decode"' in (tmp_path / "timeline.html").read_text(encoding="utf-8")
    compiled = (tmp_path / "project" / "firmware.elf").stat().st_mtime_ns
    second = make(tmp_path, "run")
    assert second.returncode == 0
    assert (tmp_path / "project" / "firmware.elf").stat().st_mtime_ns == compiled
    assert second.stdout.endswith(first.stdout[first.stdout.index("== the firmware") :])


def test_a_bad_picture_stops_with_a_sentence_and_no_stale_result(tmp_path: Path) -> None:
    (tmp_path / "overlay.png").write_bytes(b"of another picture")
    (tmp_path / "text.jpg").write_text("no picture")
    for name, sentence in (("none.jpg", "does not exist"), ("text.jpg", "no picture that can be")):
        result = make(tmp_path, "run", f"IMAGE={tmp_path / name}")
        assert result.returncode == 2
        assert re.search(f"^error: .*{sentence}.*$", result.stderr, re.MULTILINE)
        assert not (tmp_path / "overlay.png").exists()
        assert not (tmp_path / "input.npy").exists()
        assert not (tmp_path / "project").exists()


def test_a_picture_with_spaces_in_its_name(tmp_path: Path) -> None:
    picture = tmp_path / "my photo's copy.png"
    picture.write_bytes((ROOT / "docs" / "images" / "people.png").read_bytes())
    result = make(tmp_path, f"{tmp_path}/input.npy", f"IMAGE={picture}")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "input.npy").exists()


@pytest.mark.parametrize("case", ["pose659", "kws20_v3"])
def test_a_network_described_by_hand(tmp_path: Path, shared_dir: Path, case: str) -> None:
    golden = shared_dir / "golden" / case
    described = [f"NETWORK={golden}/network.yaml", f"CHECKPOINT={golden}/checkpoint.npz"]
    result = make(tmp_path, "firmware", *described, f"SAMPLE={golden}/input.npy")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "project" / "firmware.elf").is_file()
    assert "kernel words per processor" in (tmp_path / "project" / "table.txt").read_text()


def test_a_student_is_named_without_its_file(tmp_path: Path) -> None:
    assert make(tmp_path, "synth", "STUDENT=tiny").stdout.startswith("tiny: ")
    assert make(tmp_path, "synth").stdout.startswith("native: ")
    named = "CHECKPOINT=ai8x_models/checkpoints/seed-q.pth.tar"
    assert make(tmp_path, "synth", "STUDENT=tiny", named).stdout.startswith("seed: ")
    other = make(tmp_path, "synth", "STUDENT=nobody")
    assert other.returncode == 2
    assert "must be one of" in other.stderr


def test_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pth.tar").write_bytes(b"nothing")
    result = make(tmp_path, "synth", f"CHECKPOINT={tmp_path}/x.pth.tar")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert not (tmp_path / "project").exists()


@pytest.mark.long
def test_board_report_of_every_shipped_network(tmp_path: Path) -> None:
    result = make(tmp_path, "board-report")
    assert result.returncode == 0, result.stderr
    facts = json.loads((tmp_path / "board.json").read_text(encoding="utf-8"))
    rows = facts["networks"]
    count = len(list((ROOT / "ai8x_models" / "checkpoints").glob("*-q.pth.tar")))
    assert len({row["checksum"] for row in rows}) == count >= 5
    for row in rows:
        assert row["known_answer"], row
        assert row["verdict"] == "agrees", row
    assert f"{count} of {count} networks" in (tmp_path / "board.html").read_text(encoding="utf-8")


@pytest.mark.long
@pytest.mark.parametrize("name", ["native", "tiny", "grey"])
def test_the_public_generators_c_on_the_virtual_kit(tmp_path: Path, name: str) -> None:
    try:
        found = generator.find()
    except UserError as error:
        pytest.skip(str(error))
    if not Path(found.python).is_file():
        pytest.skip(f"AI8X_PYTHON: there is no {found.python}")
    task = "grey" if name == "grey" else "pose"
    checkpoint = f"CHECKPOINT=ai8x_models/checkpoints/{name}-q.pth.tar"
    result = make(
        tmp_path, "run", "BACKEND=ai8x", f"TASK={task}", checkpoint,
        f"AI8X_SYNTHESIS={found.folder}", f"AI8X_PYTHON={found.python}",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "*** PASS ***" in result.stdout
