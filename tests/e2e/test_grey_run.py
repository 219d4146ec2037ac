"""`make run TASK=grey`: a picture, the firmware on the virtual kit, points; the same as torch's."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

from ai8x_models.preprocess import prepare, read_picture
from ai8x_models.student_file import load_student
from distill.tasks.grey.data import pixels_of
from distill.tasks.grey.module import student_points
from tests.helpers.front_door import ROOT, make


def test_run_prints_the_points_that_torch_computes(tmp_path: Path) -> None:
    result = make(tmp_path, "run", "TASK=grey")
    assert result.returncode == 0, result.stderr
    assert "\nPASS\n" in result.stdout
    assert f"overlay: {tmp_path}/overlay.png" in result.stdout
    picture = ROOT / "docs" / "images" / "grey.png"
    student, _ = load_student(ROOT / "ai8x_models" / "checkpoints" / "grey-q.pth.tar")
    data = np.load(tmp_path / "input.npy")
    with torch.no_grad():
        points = student_points(student, torch.from_numpy(data)[None].double())[0].numpy()
    fitted = prepare(read_picture(picture), 64)
    placed = pixels_of(points, 64)
    placed[:, 2] = 1
    wanted = fitted.to_picture(placed)[:, :2]
    lines = re.findall(r"^  \w+ +x +(-?[\d.]+)  y +(-?[\d.]+)", result.stdout, re.MULTILINE)
    assert len(lines) == 13
    assert np.abs(np.array(lines, float) - wanted).max() <= 0.051


def test_a_checkpoint_of_another_task_is_refused(tmp_path: Path) -> None:
    seed = ROOT / "ai8x_models" / "checkpoints" / "seed-q.pth.tar"
    result = make(tmp_path, "synth", "TASK=grey", f"CHECKPOINT={seed}")
    assert result.returncode == 2
    assert "the input has shape 1x64x64 but the network expects 3x128x128" in result.stderr
