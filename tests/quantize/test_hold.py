"""Held weights: narrow ones stay on the chip's grid, all others go on learning."""

from __future__ import annotations

import pytest
import torch

from ai8x_models.students import Student
from common.errors import UserError
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm
from quantize.hold import hold_narrow
from quantize.integer import to_integer, to_qat


def qat_student(default: int, **bits: int) -> Student:
    torch.manual_seed(0)
    student = Student("tiny")
    fold_batchnorm(student)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    calibrate(student, bits_per_layer(student, default, bits), images)
    return student


def step(student: Student) -> None:
    """One step of training, from which every weight that is trained moves."""
    trained = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    sum(p.square().sum() + p.sum() for p in trained).backward()
    optimizer.step()


def test_narrow_weights_stay_and_others_learn() -> None:
    student = qat_student(4, conv1=8)
    first, *rest = (layer for _, layer in student.layers())
    before = [layer.op.weight.clone() for layer in (first, *rest)]
    biases = [layer.op.bias.clone() for layer in rest]
    held = hold_narrow(student)
    assert held == tuple(spec.name for spec, _ in student.layers())[1:]
    rounded = [layer.op.weight.clone() for layer in rest]
    for was, now in zip(before[1:], rounded, strict=True):
        assert torch.equal(now * 8, torch.floor(was * 8 + 0.5).clamp(-8, 7))
    step(student)
    assert all(torch.equal(layer.op.weight, w) for layer, w in zip(rest, rounded, strict=True))
    assert not torch.equal(first.op.weight, before[0])
    changed = zip(rest, biases, strict=True)
    assert all(not torch.equal(layer.op.bias, bias) for layer, bias in changed)


def test_the_integer_student_has_the_weights_that_were_held() -> None:
    student = qat_student(2)
    hold_narrow(student)
    rounded = [layer.op.weight.clone() * 2 for _, layer in student.layers()]
    step(student)
    to_integer(student)
    integers = [layer.op.weight for _, layer in student.layers()]
    assert all(torch.equal(i, r) for i, r in zip(integers, rounded, strict=True))


def test_integers_go_back_to_training_as_they_are() -> None:
    """Maps and integers are the same afterwards, held or not."""
    student = to_integer(qat_student(4, conv1=8, conv2=2))
    integers = {name: value.clone() for name, value in student.state_dict().items()}
    pixels = torch.randint(-128, 128, (1, 3, 64, 64)).float()
    wanted = student.maps(pixels)
    to_qat(student)
    assert student.mode == "qat"
    assert all(map(torch.equal, student.maps(pixels / 128), wanted))
    hold_narrow(student)
    for name, value in to_integer(student).state_dict().items():
        assert torch.equal(value, integers[name]), name
    with pytest.raises(UserError, match="of mode 'float', not of integers"):
        to_qat(Student("tiny"))


def test_what_cannot_be_held_is_said() -> None:
    with pytest.raises(UserError, match="this one is of mode 'float': name one with start_from"):
        hold_narrow(Student("tiny"))
    with pytest.raises(UserError, match="no layer has fewer than 8 bits"):
        hold_narrow(qat_student(8))
