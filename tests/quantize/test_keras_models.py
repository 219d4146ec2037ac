"""Models as tf2onnx writes them from Keras: channels last, sizes padded at the end only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from quantize.ptq import data, evaluate
from quantize.ptq.command import write
from quantize.ptq.data import Calibration
from quantize.ptq.fuse import fuse
from quantize.ptq.net import Net
from quantize.ptq.read.reader import read
from quantize.ptq.run import quantize
from quantize.ptq.runtime import run_model
from synthesize.compiler import compile_graph
from synthesize.graph import reference
from synthesize.read.onnx import network as frontend_onnx
from tests.helpers.float_models import RNG, Float

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
Made = tuple[Float, tuple[str, ...]]


def classifier() -> Made:
    """Conv2D(padding="same", strides=2), UpSampling2D, Concatenate, GlobalAveragePooling2D."""
    m = Float(16, 16, 3)
    m.add("Transpose", "x", perm=[0, 3, 1, 2])
    m.conv(3, 8, 3, 3, pads=[1, 1, 1, 1])
    first = m.add("Relu")
    m.add("Add", first, m.add("Relu", m.conv(8, 8, 3, 3, pads=[1, 1, 1, 1])))
    m.conv(8, 6, 3, 3, pads=[0, 0, 1, 1], strides=[2, 2])
    m.add("Clip", m.last, m.constant(np.array(0, np.float32)), m.constant(np.array(6, np.float32)))
    m.add("Resize", m.last, "", m.real(1, 1, 2, 2), mode="nearest", nearest_mode="floor",
          coordinate_transformation_mode="tf_half_pixel_for_nn")  # fmt: skip
    small = m.add("AveragePool", m.last, kernel_shape=[2, 2], strides=[2, 2])
    m.add("Concat", small, m.add("Relu", m.conv(6, 4, 1, 1)), axis=1)
    m.add("GlobalAveragePool")
    m.add("Squeeze", m.last, m.whole(2, 3))
    m.add("MatMul", m.last, m.random(10, 5))
    m.add("Softmax", axis=-1)
    return m, ()


def flat() -> Made:
    """One channel (a Reshape brings it in front) and Flatten, which takes channels last."""
    m = Float(16, 12, 1)
    m.add("Reshape", "x", m.whole(-1, 1, 16, 12))
    m.conv(1, 6, 3, 3, pads=[1, 1, 1, 1])
    m.add("Relu")
    m.add("MaxPool", m.last, kernel_shape=[4, 4], strides=[4, 4])
    m.add("Transpose", m.last, perm=[0, 2, 3, 1])
    m.add("Reshape", m.last, m.whole(-1, 72))
    m.add("MatMul", m.last, m.random(72, 8))
    m.add("Relu")
    m.add("MatMul", m.last, m.random(8, 4))
    return m, ()


def line() -> Made:
    """Conv1D as a convolution of one row, MaxPooling1D as one of one column."""
    m = Float(64, 20)
    m.add("Unsqueeze", "x", m.whole(-3))
    m.add("Transpose", m.last, perm=[0, 3, 1, 2])
    m.conv(20, 12, 1, 5, pads=[0, 2, 0, 2])
    m.add("Squeeze", m.last, m.whole(2))
    m.add("Relu")
    m.add("Unsqueeze", m.last, m.whole(1))
    m.add("Reshape", m.last, m.whole(-1, 12, 64, 1))
    m.add("MaxPool", m.last, kernel_shape=[2, 1], strides=[2, 1])
    m.add("Squeeze", m.last, m.whole(3))
    before = m.last
    m.add("Unsqueeze", m.last, m.whole(2))
    m.conv(12, 12, 1, 3, pads=[0, 1, 0, 1])
    m.add("Squeeze", m.last, m.whole(2))
    m.add("Relu", m.add("Add", m.last, before))
    m.add("GlobalAveragePool")
    m.add("Squeeze", m.last, m.whole(2))
    m.add("MatMul", m.last, m.random(12, 6))
    return m, ()


def maps() -> Made:
    """Rescaling in front; two maps, channels last."""
    m = Float(12, 16, 3)
    m.add("Add", m.add("Mul", "x", m.real(0.5)), m.real(-0.25))
    m.add("Transpose", m.last, perm=[0, 3, 1, 2])
    m.conv(3, 8, 1, 1)
    m.add("Relu")
    trunk = m.conv(8, 8, 5, 5, pads=[1, 1, 2, 2], strides=[2, 2])
    one = m.add("Transpose", m.conv(8, 2, 1, 1, source=trunk), perm=[0, 2, 3, 1])
    two = m.add("Transpose", m.conv(8, 3, 3, 3, source=trunk, pads=[1, 1, 1, 1]), perm=[0, 2, 3, 1])
    return m, (one, two)


def dense() -> Made:
    """Dense on every pixel, channels last, between convolutions."""
    m = Float(12, 16, 3)
    m.add("Transpose", "x", perm=[0, 3, 1, 2])
    m.conv(3, 8, 3, 3, pads=[1, 1, 1, 1])
    m.add("Transpose", m.last, perm=[0, 2, 3, 1])
    m.add("MatMul", m.last, m.random(8, 12))
    m.add("Relu", m.add("Add", m.last, m.random(12)))
    m.add("MatMul", m.last, m.random(12, 6))
    m.add("Transpose", m.last, perm=[0, 3, 1, 2])
    m.conv(6, 5, 3, 3, pads=[1, 1, 1, 1])
    return m, ()


def dense_line() -> Made:
    """Dense on every step of a sequence, which is the first layer."""
    m = Float(24, 10)
    m.add("MatMul", "x", m.random(10, 8))
    m.add("Relu", m.add("Add", m.last, m.random(8)))
    m.add("Transpose", m.last, perm=[0, 2, 1])
    m.add("Conv", m.last, m.random(6, 8, 3), pads=[1, 1])
    return m, ()


def factors() -> Made:
    """Flatten, which takes channels last, with factors and offsets of every value behind it."""
    m = Float(6, 4, 3)
    m.add("MatMul", "x", m.random(3, 5))
    m.add("Flatten", m.add("Relu"))
    m.add("Unsqueeze", m.add("Mul", m.last, m.random(120)), m.whole(2))
    m.add("Add", m.add("Flatten"), m.random(120))
    untrained = m.real(*[0.0] * 120), m.real(*[1.0] * 120)
    m.add("BatchNormalization", m.last, m.random(120), m.random(120), *untrained)
    m.add("Gemm", m.last, m.random(120, 4), m.random(4))
    return m, ()


def dense_twice() -> Made:
    """Two Dense on the input; their weights are constants only when they are folded."""
    m = Float(24, 10)
    one = m.add("MatMul", "x", m.add("Transpose", m.random(8, 10), perm=[1, 0]))
    weight = m.add("Identity", m.random(1, 10, 8))
    m.add("Add", one, m.add("MatMul", m.add("Relu", "x"), weight))
    m.add("Transpose", m.last, perm=[0, 2, 1])
    m.add("Conv", m.last, m.random(6, 8, 3), pads=[1, 1])
    return m, ()


def quantised_weights() -> Made:
    """Conv2D behind a Clip, whose weights are dequantised."""
    m = Float(8, 6, 3)
    m.add("Clip", "x", m.constant(np.array(0, np.float32)))
    m.add("Transpose", m.last, perm=[0, 3, 1, 2])
    source, whole = m.last, m.rng.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8)
    m.add("DequantizeLinear", m.constant(whole), m.constant(np.array(1 / 256, np.float32)))
    m.add("Conv", source, m.last, pads=[1, 1, 1, 1])
    return m, ()


MODELS = [
    *(classifier, flat, line, maps, dense, dense_line, factors, dense_twice, quantised_weights)
]
every = pytest.mark.parametrize("make", MODELS)


@every
def test_it_is_read_and_computes_the_same(make: Callable[[], Made], tmp_path: Path) -> None:
    model, outputs = make()
    path = model.save(tmp_path / "m.onnx", *outputs)
    net = fuse(read(path))
    assert net.obstacles == []
    assert net.layout == ("nlc" if len(model.shape) == 2 else "nhwc")
    x = RNG.uniform(-1, 1, (2, *model.shape)).astype(np.float32)
    shape = net.ops["input"].shape
    inner = data.arranged(x, shape, net.layout)
    assert np.array_equal(data.given(inner, shape, net.layout), x)
    found = run_model(path, net, x)
    assert found is not None
    mine = evaluate.outputs(net, torch.from_numpy(inner)).values()
    for value, truth in zip(mine, found, strict=True):
        np.testing.assert_allclose(value.numpy().reshape(truth.shape), truth, atol=2e-5, rtol=1e-4)


@every
def test_the_quantised_model_compiles_and_is_what_was_measured(
    make: Callable[[], Made], tmp_path: Path
) -> None:
    model, outputs = make()
    path = model.save(tmp_path / "m.onnx", *outputs)
    x = RNG.uniform(-1, 1, (16, *model.shape)).astype(np.float32)

    def given(net: Net) -> Calibration:
        return Calibration(data.arranged(x, net.ops["input"].shape, net.layout))

    result = quantize(path, given)
    assert all(error < 0.05 for error in result.outputs.values()), result.outputs
    write(result, tmp_path / "q.onnx")
    compiled = compile_graph(frontend_onnx.load(tmp_path / "q.onnx").graph)
    shape = result.student.spec.input_shape
    sample = RNG.integers(-128, 128, shape)
    with torch.no_grad():
        wanted = result.student(torch.from_numpy(sample)[None].double())
    for value, truth in zip(reference.run(compiled.legal, sample).values(), wanted, strict=True):
        assert np.array_equal(value.reshape(-1), truth.numpy().reshape(-1))
