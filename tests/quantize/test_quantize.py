"""Folding, calibration and integers: the three modes of a student agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ai8x_models.layers import FusedConv2d
from ai8x_models.spec.layer import LayerSpec
from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import Student, StudentSpec
from common.errors import UserError
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm
from quantize.integer import integer_extras, to_integer
from tests.helpers.warmed import pixels, warmed_student


@pytest.fixture(scope="module")
def qat_student() -> Student:
    student = fold_batchnorm(warmed_student())
    calibrate(student, bits_per_layer(student, 8, {"conv4": 4, "conv5": 2, "cpm2": 1}), pixels(4))
    return student


def test_seed_student_has_about_659_thousand_parameters() -> None:
    assert sum(p.numel() for p in Student("seed").parameters()) == 659_001


def test_folding_keeps_the_function() -> None:
    student, x = warmed_student(), pixels(2)
    before = student(x)
    after = fold_batchnorm(student)(x)
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_qat_and_integer_students_agree_exactly(qat_student: Student, tmp_path) -> None:
    path = tmp_path / "qat.pth.tar"
    save_student(qat_student, path, 1, {})
    integer, _ = load_student(path)
    integer = to_integer(integer)
    x = pixels(3)
    with torch.no_grad():
        wanted = qat_student.double().maps(x.double())
        got = integer.maps(x * 128)
        raw = integer(x * 128)
    qat_student.float()
    for a, b in zip(wanted, got, strict=True):
        assert torch.equal(a, b)
    for value in raw:
        assert torch.equal(value, value.round())
        assert value.abs().max() > 100


def test_integer_parameters_are_in_range(qat_student: Student, tmp_path) -> None:
    path = tmp_path / "qat.pth.tar"
    save_student(qat_student, path, 1, {})
    integer = to_integer(load_student(path)[0])
    for spec, layer in integer.layers():
        bits = int(layer.weight_bits)
        weight, bias = layer.op.weight, layer.op.bias
        assert torch.equal(weight, weight.round()), spec.name
        assert weight.min() >= -(2 ** (bits - 1))
        assert weight.max() <= 2 ** (bits - 1) - 1
        memory = bias / 2 ** (bits - 1)
        assert torch.equal(memory, memory.round())
        assert memory.abs().max() <= 128
        assert -15 <= int(layer.output_shift) <= 15


def test_integer_layer_follows_the_chip_formula() -> None:
    generator = np.random.default_rng(3)
    for bits in (1, 2, 4, 8):
        layer = FusedConv2d(5, 7, 1)
        layer.weight_bits.fill_(bits)
        layer.output_shift.fill_(-3.0)
        layer.mode = "integer"
        low = 2 ** (bits - 1)
        weight = generator.integers(-low, low, (7, 5))
        bias = generator.integers(-2000, 2000, 7)
        x = generator.integers(-128, 128, (5, 11))
        layer.op.weight.data = torch.tensor(weight, dtype=torch.float32).view(7, 5, 1, 1)
        layer.op.bias.data = torch.tensor(bias, dtype=torch.float32)
        acc = weight @ x + 128 * np.floor(bias / 2.0 ** (bits - 1))[:, None]
        wanted = np.clip(np.floor(0.5 + acc * 2.0 ** (-3 + 8 - bits) / 128), -128, 127)
        with torch.no_grad():
            got = layer(torch.tensor(x, dtype=torch.float64).view(1, 5, 1, 11))
        np.testing.assert_array_equal(got[0, :, 0].numpy(), wanted)


def test_average_pooling_truncates_towards_zero() -> None:
    layer = FusedConv2d(1, 1, 1, pool=2, pooling="avg")
    layer.weight_bits.fill_(8)
    layer.mode = "integer"
    layer.op.weight.data.fill_(64)
    layer.output_shift.fill_(1.0)
    x = torch.tensor([[-1.0, -1], [-1, 0]]).view(1, 1, 2, 2)
    with torch.no_grad():
        assert layer(x).item() == 0
        assert layer(x * 3).item() == -2


def test_tied_heads_share_a_shift_and_scales_are_recorded(qat_student: Student) -> None:
    assert int(qat_student.heat_hidden.output_shift) == int(qat_student.paf_hidden.output_shift)
    assert int(qat_student.heat_out.output_shift) == int(qat_student.paf_out.output_shift)
    scale = integer_extras(qat_student, {})["output_scale"]
    assert scale["heat_out"] == 2.0 ** (int(qat_student.heat_out.output_shift) - 14)


def test_groups_with_a_layer_in_common_share_one_shift() -> None:
    """Whatever the order: with a group a layer, the last one would win."""
    names = ("a", "b", "c", "d")
    for tied in ((("a", "b"), ("b", "c"), ("c", "d")), (("a", "b"), ("c", "d"), ("b", "d"))):
        layers = tuple(
            LayerSpec(name, "input", 3, 4, batchnorm=False, activation="none") for name in names
        )
        student = Student(StudentSpec("tied", (3, 8, 8), layers, names, tied))
        with torch.no_grad():
            for number, name in enumerate(names):
                getattr(student, name).op.weight.mul_(4.0**number)
        shifts = calibrate(student, dict.fromkeys(names, 8), pixels(2)[:, :, :8, :8])
        assert len(set(shifts.values())) == 1, shifts


def test_gradients_pass_through_rounding(qat_student: Student) -> None:
    qat_student.zero_grad()
    sum(out.abs().mean() for out in qat_student.maps(pixels(1))).backward()
    for spec, layer in qat_student.layers():
        assert layer.op.weight.grad is not None, spec.name
        assert layer.op.weight.grad.abs().sum() > 0, spec.name


@pytest.mark.parametrize(
    ("default", "bits", "word"), [(8, {"conv99": 4}, "conv99"), (3, {}, "3 bits")]
)
def test_wrong_bits_are_refused(default: int, bits: dict[str, int], word: str) -> None:
    with pytest.raises(UserError, match=word):
        bits_per_layer(Student("seed"), default, bits)


def test_an_unprepared_student_cannot_become_integer() -> None:
    with pytest.raises(UserError, match="conv1"):
        to_integer(Student("seed"))


def test_a_checkpoint_of_another_architecture_is_named(tmp_path) -> None:
    path = tmp_path / "x.pth.tar"
    torch.save({"epoch": 1, "arch": "resnet", "state_dict": {}, "extras": {}}, path)
    with pytest.raises(UserError, match="'resnet'"):
        load_student(path)


def test_a_hostile_checkpoint_runs_no_code(tmp_path) -> None:
    import pickle

    class Trap:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (open, (str(tmp_path / "owned"), "w"))

    path = tmp_path / "trap.pth.tar"
    path.write_bytes(pickle.dumps({"state_dict": Trap()}))
    with pytest.raises(UserError):
        load_student(path)
    assert not (tmp_path / "owned").exists()
