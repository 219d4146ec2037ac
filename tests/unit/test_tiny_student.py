"""The tiny student: its size, and that the chip holds all of it at 8 bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ai8x_models.checkpoints import save_student
from ai8x_models.students import SPECS, Student
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm
from quantize.integer import integer_extras, to_integer
from synthesize.__main__ import main
from synthesize.chip.limits import PROCESSORS

WEIGHT_MEMORY = 442_368  # bytes: 64 processors x 768 words x 9


def test_parameters_and_widths() -> None:
    assert sum(p.numel() for p in Student("tiny").parameters()) == 378_969
    layers = SPECS["tiny"].layers
    assert all(layer.in_channels <= PROCESSORS for layer in layers)
    kernels = sum(la.in_channels * la.out_channels * la.kernel**2 for la in layers)
    assert kernels <= WEIGHT_MEMORY  # one byte each


def test_it_fits_at_8_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    student = fold_batchnorm(Student("tiny"))
    pixels = torch.randint(-128, 128, (1, 3, 64, 64)).float() / 128
    calibrate(student, bits_per_layer(student, 8, {}), pixels)
    path = tmp_path / "tiny-q.pth.tar"
    save_student(to_integer(student), path, 0, integer_extras(student, {}))
    assert main(["check", str(path)]) == 0
    said = capsys.readouterr().out
    assert "fits" in said
    assert "378,816 of 442,368 bytes" in said
