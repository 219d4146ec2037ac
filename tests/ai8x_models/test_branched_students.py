"""Students with sums, concatenations, transposed and 1D convolutions: all modes, and the kit."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import INPUT, LayerSpec, Student, StudentSpec
from quantize.calibrate import bits_per_layer, calibrate
from quantize.equalize import equalize
from quantize.fold import fold_batchnorm
from quantize.integer import integer_extras, to_integer
from quantize.sensitivity import sensitivity
from synthesize.compiler import compile_network
from synthesize.graph import reference
from synthesize.place.bits import allocate, graph_of
from synthesize.read import checkpoint
from tests.helpers.virtual import run_on_kit

_LAST = {"kernel": 1, "activation": "none", "batchnorm": False, "wide": True}
RESIDUAL = StudentSpec(
    "residual",
    (3, 16, 16),
    (
        LayerSpec("stem", INPUT, 3, 16),
        LayerSpec("a", "stem", 16, 16),
        LayerSpec("b", "a", 16, 16, activation="none"),
        LayerSpec("sum1", "stem", 16, 16, op="passthrough", others=("b",), join="add"),
        LayerSpec("c", "sum1", 16, 16),
        LayerSpec("d", "c", 16, 16, activation="none"),
        # The second sum happens in flight, in front of the convolution that reads it.
        LayerSpec("down", "sum1", 16, 24, others=("d",), join="add", pool=2),
        LayerSpec("up", "down", 24, 16, op="convtranspose2d"),
        LayerSpec("mixed", "up", 32, 16, others=("sum1",)),
        LayerSpec("out", "mixed", 16, 5, **_LAST),
        LayerSpec("raw", "down", 24, 6, activation="none"),
    ),
    ("out", "raw"),
)
OPERANDS = StudentSpec(
    "operands",
    (4, 8, 8),
    (
        LayerSpec("a", INPUT, 4, 8),
        LayerSpec("b", INPUT, 4, 8, activation="abs"),
        LayerSpec("c", INPUT, 4, 8, kernel=1, activation="none", bias=False, batchnorm=False),
        LayerSpec("less", "a", 8, 8, others=("b", "c"), join="sub", kernel=1),
        LayerSpec("either", "a", 8, 8, op="passthrough", others=("c",), join="or"),
        LayerSpec("odd", "b", 8, 8, op="passthrough", others=("c",), join="xor"),
        LayerSpec("mean", "odd", 8, 8, op="passthrough", pool=4, pooling="avg"),
        LayerSpec("mix", "less", 8, 8, others=("either", "odd"), join="add", padding=0),
        LayerSpec("out", "mix", 8, 5, **_LAST),
        LayerSpec("out2", "mean", 32, 5, op="linear", activation="none", wide=True),
    ),
    ("out", "out2"),
)
WORDS = StudentSpec(
    "words",
    (8, 40, 1),
    (
        LayerSpec("a", INPUT, 8, 16, op="conv1d", kernel=5),
        LayerSpec("b", "a", 16, 16, op="conv1d", pool=2, dilation=2, padding=2),
        LayerSpec("c", "b", 16, 12, op="conv1d", pool=3, pool_stride=2, pooling="avg"),
        LayerSpec("out", "c", 12 * 9, 6, op="linear", activation="none", wide=True),
    ),
    ("out",),
)
SPECS = {spec.name: spec for spec in (RESIDUAL, OPERANDS, WORDS)}
every = pytest.mark.parametrize("name", sorted(SPECS))


def data(spec: StudentSpec, count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-128, 128, (count, *spec.input_shape), generator=generator).float() / 128


def warmed(spec: StudentSpec, seed: int = 0) -> Student:
    """A random student whose batch norms have seen data and have uneven parameters."""
    torch.manual_seed(seed)
    student = Student(spec)
    for _, layer in student.layers():
        if layer.bn is not None:
            torch.nn.init.uniform_(layer.bn.weight, 0.5, 2.0)
            torch.nn.init.uniform_(layer.bn.bias, -0.5, 1.0)
        elif layer.op.bias is not None:
            torch.nn.init.uniform_(layer.op.bias, -0.2, 0.2)
    student.train()
    with torch.no_grad():
        for number in range(4):
            student(data(spec, 8, number))
    return student.eval()


def qat(spec: StudentSpec, bits: int = 8, seed: int = 0) -> Student:
    student = fold_batchnorm(warmed(spec, seed))
    calibrate(student, bits_per_layer(student, bits, {}), data(spec, 8))
    return student


@every
def test_folding_keeps_the_function(name: str) -> None:
    student, x = warmed(SPECS[name]), data(SPECS[name], 3)
    with torch.no_grad():
        before = student(x)
        after = fold_batchnorm(student)(x)
    for a, b in zip(before, after, strict=True):
        # Bits that or and xor combine change with the last digit of a sum.
        close = torch.isclose(a, b, rtol=1e-4, atol=1e-5).float().mean()
        assert close > (0.7 if name == "operands" else 0.9999)


@every
@pytest.mark.parametrize("bits", [8, 4])
def test_qat_computes_what_the_integers_will(name: str, bits: int) -> None:
    student, x = qat(SPECS[name], bits), data(SPECS[name], 5)
    with torch.no_grad():
        wanted = student.double().maps(x.double())
        got = to_integer(student).maps(x.double() * 128)
    for a, b in zip(wanted, got, strict=True):
        assert torch.equal(a, b)
        assert a.unique().numel() > 4


@every
@pytest.mark.parametrize("bits", [8, 2])
def test_the_kit_computes_the_integer_student(name: str, bits: int, tmp_path: Path) -> None:
    spec, path = SPECS[name], tmp_path / "q.pth.tar"
    student = to_integer(qat(spec, bits))
    save_student(student, path, 0, integer_extras(student, {}))
    compiled = compile_network(checkpoint.load(path))
    for seed in range(3):
        sample = (data(spec, 1, seed) * 128)[0]
        with torch.no_grad():
            wanted = student(sample[None].double())
        said = reference.run(compiled.described, sample.numpy().astype(np.int64))
        found, _ = run_on_kit(compiled.program, sample.numpy().astype(np.int8))
        for output, value in zip(spec.outputs, wanted, strict=True):
            assert np.array_equal(said[output], value[0].numpy())
            assert np.array_equal(found[output], value[0].numpy())


@every
def test_a_checkpoint_of_another_name_is_rebuilt(name: str, tmp_path: Path) -> None:
    path = tmp_path / "float.pth.tar"
    student, x = warmed(SPECS[name]), data(SPECS[name], 2)
    save_student(student, path, 3, {})
    again, stored = load_student(path)
    assert stored["epoch"] == 3
    assert again.spec.describe() == student.spec.describe()
    with torch.no_grad():
        for a, b in zip(student(x), again.eval()(x), strict=True):
            assert torch.equal(a, b)


def test_equalisation_leaves_what_a_sum_reads_alone() -> None:
    student, x = fold_batchnorm(warmed(RESIDUAL)), data(RESIDUAL, 4)
    stem = student.stem.op.weight.detach().clone()
    with torch.no_grad():
        before = student(x)
        assert equalize(student, x) > 0
        after = student(x)
    assert torch.equal(student.stem.op.weight, stem)  # read by a sum
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_equalisation_reaches_through_concatenation_and_transposed_convolution() -> None:
    student, x = fold_batchnorm(warmed(RESIDUAL)), data(RESIDUAL, 4)
    with torch.no_grad():
        student.up.op.weight.mul_(2.0 ** torch.linspace(-4, 0, 16).view(1, -1, 1, 1))
        kept = student.mixed.op.weight[:, 16:].clone()
        up = student.up.op.weight.detach().clone()
        before = student(x)
        equalize(student, x)
        after = student(x)
    assert not torch.equal(student.up.op.weight, up)
    torch.testing.assert_close(before[0], after[0], rtol=1e-3, atol=1e-5)
    changed = student.mixed.op.weight[:, 16:] / kept  # by the outputs of ``mixed``, not its inputs
    assert float(changed.detach().std(dim=(1, 2, 3)).max()) < 1e-4


def test_sensitivity_follows_branches() -> None:
    student = fold_batchnorm(warmed(RESIDUAL))
    costs = sensitivity(student, data(RESIDUAL, 4), (2, 8))
    assert set(costs) == {spec.name for spec, _ in student.layers()}
    assert all(cost[2] > cost[8] > 0 for cost in costs.values())


def test_gradients_reach_every_layer_in_training() -> None:
    for mode in ("float", "qat"):
        student = qat(RESIDUAL).set_mode(mode)  # type: ignore[arg-type]
        student.zero_grad()
        sum(out.abs().mean() for out in student.maps(data(RESIDUAL, 2))).backward()
        for spec, layer in student.layers():
            assert layer.op.weight.grad.abs().sum() > 0, (mode, spec.name)


def test_the_size_of_a_branched_student_is_known_before_its_weights() -> None:
    described = {name: graph_of(name, spec.describe()) for name, spec in SPECS.items()}
    assert [layer.op for layer in described["residual"].layers].count("convtranspose2d") == 1
    assert described["words"].layer("b").kernel == (5, 1)  # three taps, two apart
    costs = {spec.name: {8: 0.0, 4: 1.0} for spec in RESIDUAL.layers if spec.weighted}
    assert set(allocate(described["residual"], costs).bits.values()) == {8}


def test_a_weight_of_a_whole_power_of_two_stays_exact() -> None:
    """One is the identity; 127/128 would not be."""
    spec = StudentSpec("same", (4, 4, 4), (
        LayerSpec("same", INPUT, 4, 4, kernel=1, activation="relu", batchnorm=False),
    ), ("same",))  # fmt: skip
    student = Student(spec)
    student.same.op.weight.data = torch.eye(4).view(4, 4, 1, 1)
    x = data(spec, 4)
    for bits in (8, 4, 2):
        again = copy.deepcopy(student)
        calibrate(again, {"same": bits}, x)
        assert torch.equal(again(x)[0], x.relu())
