"""The linear layer: the compiler's reference, ai8x-training's own layer, its limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_models.layers import FusedLinear
from ai8x_models.student_file import save_student
from ai8x_models.students import LayerSpec, Student, StudentSpec
from quantize import onnx_export
from quantize.calibrate import bits_per_layer, calibrate
from quantize.integer import integer_extras, integer_layer, to_integer
from synthesize.compiler import compile_graph, compile_network
from synthesize.graph import reference
from synthesize.read import checkpoint
from synthesize.read import student as frontend_student
from synthesize.read.onnx import network as frontend_onnx
from tests.helpers.virtual import run_on_kit

SPEC = StudentSpec(
    "head", (3, 8, 8),
    (
        LayerSpec("conv", "input", 3, 20, batchnorm=False, pool=2),
        LayerSpec("hidden", "conv", 20 * 16, 24, op="linear"),
        LayerSpec("out", "hidden", 24, 10, op="linear", activation="none", wide=True),
    ),
    ("out",),
)  # fmt: skip


def integer_student(bits: int, seed: int = 0) -> Student:
    torch.manual_seed(seed)
    student = Student(SPEC)
    for _, layer in student.layers():
        layer.op.bias.data.uniform_(-0.1, 0.1)
    images = torch.randint(-128, 128, (8, *SPEC.input_shape)).float() / 128
    calibrate(student, bits_per_layer(student, bits, {}), images)
    return to_integer(student)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_integers_agree_with_compiler_and_kit(bits: int, tmp_path: Path) -> None:
    student = integer_student(bits)
    path = tmp_path / "head-q.pth.tar"
    save_student(student, path, 0, integer_extras(student, {}))
    compiled = compile_network(checkpoint.load(path))
    rng = np.random.default_rng(bits)
    samples = rng.integers(-128, 128, (20, *SPEC.input_shape)).astype(np.int8)
    with torch.no_grad():
        (wanted,) = student(torch.from_numpy(samples).double())
    assert wanted.shape == (20, 10, 1, 1)
    assert wanted.abs().max() > 0
    for sample, words in zip(samples, wanted, strict=True):
        for graph in (compiled.described, compiled.legal):
            assert np.array_equal(reference.run(graph, sample)["out"], words.numpy())
    found, _ = run_on_kit(compiled.program, samples[0])
    assert np.array_equal(found["out"], wanted[0].numpy())


@pytest.mark.parametrize("wide", [True, False])
def test_qat_computes_what_the_integers_will(wide: bool) -> None:
    torch.manual_seed(1)
    layer = FusedLinear(48, 7, activation="none" if wide else "relu", wide=wide)
    layer.op.weight.data.uniform_(-0.9, 0.9)
    layer.op.bias.data.uniform_(-0.9, 0.9)
    layer.weight_bits.fill_(8)
    layer.output_shift.fill_(-2)
    layer.mode = "qat"
    pixels = torch.randint(-128, 128, (5, 3, 4, 4)).double()
    with torch.no_grad():
        trained = layer((pixels / 128).float())
        integer_layer("layer", layer)
        exact = layer(pixels)
    unit = 128.0 * 128 if wide else 128.0
    assert torch.equal(trained.double() * unit, exact)


def test_gradients_reach_weights_and_bias() -> None:
    layer = FusedLinear(12, 3)
    for mode in ("float", "qat"):
        layer.mode = mode  # type: ignore[assignment]
        layer.weight_bits.fill_(8)
        layer.zero_grad()
        layer(torch.rand(2, 12) / 8).sum().backward()
        assert float(layer.op.weight.grad.abs().min()) > 0  # type: ignore[union-attr]
        assert torch.equal(layer.op.bias.grad, torch.full((3,), 2.0))


@pytest.mark.parametrize("features", [(1025, 4), (4, 1025)])
def test_more_than_1024_is_refused(features: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at most 1024"):
        FusedLinear(*features)
    assert FusedLinear(1024, 4).op.weight.shape == (4, 1024)


def test_onnx_computes_the_same_and_reads_back_the_same(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    student = integer_student(8)
    direct, path = tmp_path / "head-q.pth.tar", tmp_path / "head.onnx"
    save_student(student, direct, 0, integer_extras(student, {}))
    onnx_export.save(student, path)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(path), options)
    pixels = torch.randint(-128, 128, (1, *SPEC.input_shape))
    (real,) = session.run(None, {"input": (pixels.float() / 128).numpy()})
    with torch.no_grad():
        (wanted,) = student.maps(pixels)
    assert np.array_equal(real.reshape(-1), wanted.flatten().numpy())
    loaded = frontend_onnx.load(path)
    described = frontend_student.load(checkpoint.load(direct))
    sample = pixels[0].numpy().astype(np.int8)
    assert np.array_equal(
        reference.run(loaded.graph, sample)["out"], reference.run(described, sample)["out"]
    )
    first, second = compile_network(checkpoint.load(direct)), compile_graph(loaded.graph)
    assert first.program.checksum == second.program.checksum
