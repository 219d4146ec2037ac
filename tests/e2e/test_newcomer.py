"""A newcomer's path: installed into a new environment, from a photograph to firmware."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PHOTOGRAPH = ROOT / "docs" / "images" / "pose.jpg"
EDITED = """
from dataclasses import replace
from ai8x_models.students import SPECS
mine = replace(SPECS["tiny"], name="mine")
"""
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of a fresh environment; its sources are a copy, so that nothing else is found."""
    folder = tmp_path_factory.mktemp("newcomer")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("this is no checkout, so its files are not known")
    for name in tracked.stdout.splitlines():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    pins = ["-c", str(ROOT / "constraints.txt")]
    for given in (["torch"], [f"{folder / 'source'}[kit,toolchain]"]):
        done = subprocess.run([*pip, *pins, *given], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"pip cannot install: {done.stderr.strip().splitlines()[-1]}")
    shutil.rmtree(folder / "source")
    return folder / "venv" / "bin" / "pose78"


def run(command: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run([str(command), *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_a_photograph_to_firmware(installed: Path, tmp_path: Path) -> None:
    said = run(installed, tmp_path, "predict", str(PHOTOGRAPH), "--save", "out", "--json", "r.json")
    assert "in 1 picture" in said
    people = json.loads((tmp_path / "r.json").read_text())
    assert people
    assert sum(value > 0 for value in people[0]["keypoints"][2::3]) >= 8
    assert (tmp_path / "out" / PHOTOGRAPH.name).is_file()
    (tmp_path / "mine.py").write_text(EDITED)
    assert run(installed, tmp_path, "check", "mine.py").endswith("fits\n")
    program = "import pose78; print(pose78.compile('native', 'project'))"
    python = installed.with_name("python")
    done = subprocess.run(
        [str(python), "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "project" / "firmware.elf").is_file()
    said = run(installed, tmp_path, "predict", str(PHOTOGRAPH), "--kit")
    assert "1 answer is equal to the integer student's" in said
