"""What a recipe reads is looked for before anything is loaded or computed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from distill.__main__ import main

RECIPES = Path(__file__).resolve().parents[3] / "distill" / "tasks" / "pose" / "recipes"


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, str]:
    """Settings of a run of pictures whose files are all there."""
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((64, 64, 3), np.uint8))
    entry = {"id": 1, "file_name": "a.png", "width": 64, "height": 64}
    category = {"id": 1, "name": "person", "keypoints": ["a"] * 17}
    content = {"images": [entry], "annotations": [], "categories": [category]}
    (tmp_path / "set.json").write_text(json.dumps(content))
    (tmp_path / "teacher.onnx").write_bytes(b"no network")
    labelled = f"[{{images: {tmp_path}/images, annotations: {tmp_path}/set.json}}]"
    return {
        "pictures": labelled,
        "validation": labelled,
        "picture_teacher": f"{tmp_path}/teacher.onnx",
    }


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("picture_teacher", "no.onnx", "picture_teacher: cannot read no.onnx: No such file"),
        ("start_from", "no.tar", "start_from: cannot read no.tar: No such file"),
        ("teacher", "no.tar", "teacher: cannot read no.tar: No such file"),
        ("pictures", "[{images: gone}]", "pictures[0].images: the folder gone does not exist"),
        ("pictures", "[{images: FILE}]", "pictures[0].images: the folder FILE is no folder"),
        ("pictures", "[{images: DIR, annotations: no.json}]",
         "pictures[0].annotations: cannot read no.json: No such file"),
        ("validation", "[{images: gone, annotations: JSON}]",
         "validation[0].images: the folder gone does not exist"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_there(
    sets: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    value: str,
    said: str,
) -> None:
    places = {
        "FILE": str(tmp_path / "teacher.onnx"),
        "DIR": str(tmp_path / "images"),
        "JSON": str(tmp_path / "set.json"),
    }
    for name, place in places.items():
        value, said = value.replace(name, place), said.replace(f"{name} is", f"{place} is")
    given = {**sets, setting: value, "out": str(tmp_path / "out")}
    changes = [f"{name}={text}" for name, text in given.items()]
    assert main(["student", "--config", str(RECIPES / "native.yaml"), *changes]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


def test_a_set_of_weight_nought_need_not_be_there(
    sets: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run goes on to what really stops it, a teacher that is none."""
    sets["pictures"] = sets["pictures"].replace("]", ", {images: gone, weight: 0}]")
    changes = [f"{name}={text}" for name, text in sets.items()]
    out = f"out={tmp_path / 'out'}"
    assert main(["student", "--config", str(RECIPES / "native.yaml"), *changes, out]) == 2
    assert "teacher.onnx" in capsys.readouterr().err


def test_the_recipe_of_drawn_people_needs_no_files(tmp_path: Path) -> None:
    """``synthetic:N`` is no file; and a missing file is told without torch."""
    said = subprocess.run(
        [
            sys.executable, "-X", "importtime", "-m", "distill", "pose", "teacher",
            "train=[{annotations: 'synthetic:2'}]", "validation=[{annotations: 'synthetic:2'}]",
            "start_from=no.tar", f"out={tmp_path / 'out'}",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 2
    assert said.stderr.splitlines()[-1].startswith("error: start_from: cannot read no.tar")
    loaded = {line.split("|")[-1].strip() for line in said.stderr.splitlines() if "|" in line}
    assert not loaded & {"torch", "lightning", "cv2", "onnx"}


def test_a_folder_without_a_sets_pictures(
    sets: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before the maps of any set are made."""
    (tmp_path / "empty").mkdir()
    wrong = f"{{images: {tmp_path}/empty, annotations: {tmp_path}/set.json}}"
    changes = [
        f"pictures={sets['pictures'][:-1]}, {wrong}]", f"validation={sets['validation']}",
        "picture_teacher=''",
        f"out={tmp_path / 'out'}",
    ]  # fmt: skip
    assert main(["student", "--config", str(RECIPES / "native.yaml"), *changes]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.endswith(f"none of the pictures of {tmp_path}/set.json is in {tmp_path}/empty")
