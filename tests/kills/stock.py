"""What the killed commands work on: a student of four layers, its firmware, a few pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from ai8x_models.student_file import save_student
from distill.engine.recipe import QatConfig
from distill.engine.run import prepare_qat
from quantize.__main__ import main as quantize
from synthesize.__main__ import main as synthesize
from synthesize.write import elf
from tests.helpers import lift_motion, tiny_labellers
from tests.helpers.folded import folded_student


def make(folder: Path) -> None:
    """Fill a folder: two students (``a`` and ``b``) in all their forms, pictures, a labeller.

    ``X.pth.tar`` is trained for integers, ``X-q.pth.tar`` holds them, ``X-known`` and
    ``X-injection`` are its projects, built.
    """
    for seed, name in enumerate("ab"):
        torch.manual_seed(seed)
        student = folded_student()
        pixels = torch.randint(-128, 128, (2, 3, 64, 64)).float() / 128
        student.train()(pixels)
        student.eval()
        prepare_qat(student, QatConfig(enabled=True), pixels)
        save_student(student, folder / f"{name}.pth.tar", 1, {})
        integers = folder / f"{name}-q.pth.tar"
        _done(quantize([str(folder / f"{name}.pth.tar"), str(integers)]))
        for kind, application in (("known", "known-answer"), ("injection", "frame-injection")):
            project = folder / f"{name}-{kind}"
            compiled = [str(integers), "--quiet", "--application", application]
            _done(synthesize(["compile", *compiled, "--out", str(project)]))
            elf.build(project, folder / "objects", baud=921600)
    pictures = folder / "pictures"
    pictures.mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        cv2.imwrite(str(pictures / f"{number}.png"), pixels)
    tiny_labellers.rtmo(folder / "labels.onnx")
    lift_motion.write(folder / "motion.npz")


def _done(status: int) -> None:
    if status:
        raise RuntimeError("what the kills work on cannot be made")
