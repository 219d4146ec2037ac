"""Equalisation keeps the function and levels the ranges."""

from __future__ import annotations

import copy

import pytest
import torch

from ai8x_models.students import INPUT, LayerSpec, Student, StudentSpec
from common.errors import UserError
from quantize.equalize import CLIPPING, ROOM, equalize
from quantize.fold import fold_batchnorm
from tests.helpers.warmed import pixels, warmed_student

SPEC = StudentSpec(
    "small",
    (3, 16, 16),
    (
        LayerSpec("first", INPUT, 3, 8, batchnorm=False),
        LayerSpec("second", "first", 8, 8, pool=2, batchnorm=False),
        LayerSpec("left", "second", 8, 4, 1, activation="none", batchnorm=False, wide=True),
        LayerSpec("right", "second", 8, 4, 1, activation="none", batchnorm=False, wide=True),
    ),
    ("left", "right"),
)


def uneven_student(size: float) -> Student:
    """Channels of the hidden layers differ by up to 16 in their weights."""
    torch.manual_seed(5)
    student = Student(SPEC).eval()
    with torch.no_grad():
        scale = 2.0 ** torch.linspace(-4, 0, 8)
        for layer in (student.first, student.second):
            layer.op.weight.mul_(size * scale.view(-1, 1, 1, 1))
            layer.op.bias.copy_(0.05 * scale)
    return student


def highest(student: Student, images: torch.Tensor) -> torch.Tensor:
    first = student.first(images)
    return torch.cat([first.amax((0, 2, 3)), student.second(first).amax((0, 2, 3))])


def test_outputs_stay_the_same_on_the_calibration_pictures() -> None:
    student, images = uneven_student(1.0), pixels(4, 16)
    with torch.no_grad():
        before = torch.cat(student(images), 1)
        assert equalize(student, images) > 8
        after = torch.cat(student(images), 1)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-6)


def test_ranges_become_more_even() -> None:
    student, images = uneven_student(1.0), pixels(4, 16)

    def unevenness() -> float:
        ranges = student.first.op.weight.detach().abs().amax((1, 2, 3))
        return float(ranges.max() / ranges.min())

    before = unevenness()
    equalize(student, images)
    assert unevenness() < 0.6 * before


def test_clipping_channels_stay_and_others_are_not_raised_into_the_clip() -> None:
    student, images = uneven_student(6.0), pixels(4, 16)
    with torch.no_grad():
        before = highest(student, images)
        weight = student.first.op.weight.detach().clone()
        equalize(student, images)
        after = highest(student, images)
    clipped = before >= CLIPPING
    assert clipped.any()
    assert not clipped.all()
    assert (after[~clipped] <= max(ROOM, float(before[~clipped].max())) + 1e-5).all()
    stay = clipped[:8]
    assert torch.equal(student.first.op.weight[stay], weight[stay])


def test_students_that_are_not_ready_are_refused() -> None:
    with pytest.raises(UserError, match="folded"):
        equalize(Student("seed"), pixels(1, 32))


def test_the_whole_seed_student_keeps_its_function() -> None:
    student = fold_batchnorm(warmed_student())
    images = pixels(2, 64)
    with torch.no_grad():
        before = [out.clone() for out in copy.deepcopy(student)(images)]
        equalize(student, images)
        for old, new in zip(before, student(images), strict=True):
            torch.testing.assert_close(new, old, rtol=1e-3, atol=1e-5)


def test_a_linear_layer_behind_several_pixels_reads_the_same() -> None:
    torch.manual_seed(6)
    layers = (
        LayerSpec("first", INPUT, 3, 8, pool=4, batchnorm=False),
        LayerSpec("hidden", "first", 8 * 16, 6, op="linear"),
        LayerSpec("out", "hidden", 6, 4, op="linear", activation="none", wide=True),
    )
    student = Student(StudentSpec("head", (3, 16, 16), layers, ("out",))).eval()
    images = pixels(4, 16)
    with torch.no_grad():
        student.first.op.weight.mul_(2.0 ** torch.linspace(-4, 0, 8).view(-1, 1, 1, 1))
        (before,) = student(images)
        assert equalize(student, images) > 8
        (after,) = student(images)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-6)
