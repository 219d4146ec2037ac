"""What a recipe reads is looked for before anything is loaded or computed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ai8x_models.skeleton import COCO17
from distill.__main__ import main
from distill.engine.inputs import check_inputs
from distill.people.recipe import MapRun, PictureSet, SetConfig
from distill.tasks.grey.recipe import GreyRun
from distill.tasks.lift.recipe import LiftRecipe, MotionConfig

RECIPES = Path(__file__).resolve().parents[3] / "distill" / "tasks" / "pose" / "recipes"


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, str]:
    """Settings of a run of pictures whose files are all there."""
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((64, 64, 3), np.uint8))
    entry = {"id": 1, "file_name": "a.png", "width": 64, "height": 64}
    category = {"id": 1, "name": "person", "keypoints": list(COCO17)}
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


PEOPLE = "[{annotations: 'synthetic:2'}]"
CROPS = ["--config", str(RECIPES / "crops.yaml")]


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (["pose", "teacher", f"train={PEOPLE}", f"validation={PEOPLE}", "start_from=no.tar"],
         "start_from: cannot read no.tar"),
        (["pose", "teacher", "kind=transformer", f"train={PEOPLE}", f"validation={PEOPLE}",
          "start_backbone=no.tar"], "start_backbone: cannot read no.tar"),
        (["lift", "teacher", "train=[{annotations: gone.npz}]"],
         "train[0].annotations: cannot read gone.npz"),
        (["lift", "student", "teacher=''", "train=[{annotations: 'h36m:gone.npz:S1,S5'}]"],
         "train[0].annotations: cannot read gone.npz"),
        (["lift", "teacher", "train=[{}]"], "train[0].annotations is not said"),
        (["lift", "teacher", "train=[]"], "the recipe names no data set under 'train'"),
        (["grey", "student", "train=[]"], "the recipe names no data set under 'train'"),
        (["pose", "compare", *CROPS, "train=[]"], "a comparison needs a teacher"),
        (["pose", "compare", *CROPS, f"train={PEOPLE}", f"validation={PEOPLE}",
          f"teacher={__file__}", "rivals=[no.tar]"], "rivals[0]: cannot read no.tar"),
        (["pose", "compare", "kind=pictures"], "the recipe names no data set under 'pictures'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_without_torch(run: list[str], said: str, tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "distill", *run, f"out={tmp_path / 'out'}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 2
    assert told.stderr.splitlines()[-1].startswith(f"error: {said}")
    loaded = {line.split("|")[-1].strip() for line in told.stderr.splitlines() if "|" in line}
    assert not loaded & {"torch", "lightning", "cv2", "onnx"}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("start_from=TMP", "start_from: cannot read TMP: it is a folder"),
        ("start_from=TMP/pipe", "start_from: cannot read TMP/pipe: it is a pipe or a device"),
        ("start_from=/dev/null", "cannot read /dev/null: it is a pipe or a device"),
        ("train=[]", "the recipe names no data set under 'train'"),
        ("validation=[]", "the recipe names no data set under 'validation'"),
        ("train=[{annotations: 'synthetic:2', weight: 0}]", "no data set under 'train'"),
        ("train=[{images: TMP}]", "train[0].annotations is not said; write annotations: FILE"),
        ("train=[{annotations: TMP/f}]", "train[0].images is not said; write images: FOLDER"),
        ("train=[{annotations: TMP, images: TMP}]", "annotations: cannot read TMP: it is a folder"),
        ("train=[{annotations: TMP/f, images: TMP/f}]", "images: the folder TMP/f is no folder"),
        ("train=[{annotations: 'synthetic:x'}]", "'synthetic:x' is to be written synthetic:N"),
        ("train=[{annotations: 'synthetic:2:3:4'}]", "is to be written synthetic:N"),
        ("train=[{annotations: 'synthetic:0'}]", "whole numbers from 1"),
        ("validation=[{annotations: gone, images: TMP, weight: 0}]",
         "validation[0].annotations: cannot read gone"),
    ],
)  # fmt: skip
def test_what_a_run_on_crops_reads(
    setting: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "f").touch()
    setting, said = (text.replace("TMP", str(tmp_path)) for text in (setting, said))
    run = [f"train={PEOPLE}", f"validation={PEOPLE}", f"out={tmp_path / 'out'}", setting]
    assert main(["pose", "teacher", *run]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("names", [[], ["notes.txt"]])
def test_pictures_without_labels_or_pictures(
    names: list[str], sets: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for name in names:
        (tmp_path / "empty" / name).touch()
    sets["pictures"] = f"[{{images: {tmp_path}/empty}}]"
    changes = [f"{name}={text}" for name, text in sets.items()]
    out = f"out={tmp_path / 'out'}"
    assert main(["student", "--config", str(RECIPES / "native.yaml"), *changes, out]) == 2
    assert "pictures[0].images: " in (said := capsys.readouterr().err)
    assert said.endswith("holds no pictures that could be learnt from\n")


def test_what_is_in_order_is_let_pass(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    read = SetConfig(str(tmp_path / "f"), str(tmp_path))
    drawn = SetConfig("synthetic:4", "gone")  # no picture is read
    unread = SetConfig("gone", "gone", weight=0)
    start = str(tmp_path / "f")
    check_inputs(MapRun(train=[unread, read, drawn], validation=[drawn, read], start_from=start))
    check_inputs(MapRun(train=[SetConfig("synthetic:4:1")], validation=[drawn]))
    check_inputs(GreyRun(train=[drawn], test=[SetConfig("gone", "gone")]))
    motion = [MotionConfig(start), MotionConfig(f"h36m:{start}"), MotionConfig(f"h36m:{start}:S1")]
    check_inputs(LiftRecipe(train=motion, validation=motion))
    PictureSet(str(tmp_path), start).check_inputs("pictures[0].")


def test_a_run_that_does_not_begin_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set.json").write_text("{}")
    wrong = f"[{{annotations: {tmp_path}/set.json, images: {tmp_path}}}]"
    run = [f"train={wrong}", f"validation={PEOPLE}", f"out={tmp_path / 'out'}", "start_from=''"]
    assert main(["pose", "teacher", *run, "accelerator=cpu"]) == 2
    assert "has no list 'images'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


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
