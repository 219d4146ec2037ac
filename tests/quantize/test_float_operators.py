"""Every operator that a float network may hold computes what ONNX Runtime computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from common.errors import UserError
from quantize.ptq import data, evaluate
from quantize.ptq.command import write
from quantize.ptq.fuse import fuse
from quantize.ptq.read.reader import read
from quantize.ptq.run import quantize
from quantize.ptq.runtime import run_model
from synthesize.compiler import compile_graph
from synthesize.read.onnx import network as frontend_onnx
from tests.helpers.float_models import RNG, Float
from tests.helpers.same_float import same
from tests.helpers.virtual import run_on_kit

runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def even(m: Float) -> None:
    m.conv(4, 6, 3, 3, pads=[1, 1, 1, 1])


def uneven(m: Float) -> None:
    m.conv(4, 6, 2, 2, pads=[0, 0, 1, 1])


def flat_kernel(m: Float) -> None:
    m.conv(4, 6, 1, 3, pads=[0, 1, 0, 1])
    m.conv(6, 6, 3, 1, pads=[1, 0, 1, 0])


def grouped(m: Float) -> None:
    m.conv(4, 8, 3, 3, pads=[1, 1, 1, 1], group=2)
    m.conv(8, 8, 3, 3, pads=[1, 1, 1, 1], group=8, strides=[2, 2])


def padded(m: Float) -> None:
    m.add("Pad", m.last, m.whole(0, 0, 1, 1, 0, 0, 1, 1))
    m.conv(4, 6, 3, 3)


def automatic(m: Float) -> None:
    m.conv(4, 6, 3, 3, auto_pad="SAME_UPPER")
    m.conv(6, 6, 2, 2, auto_pad="SAME_UPPER")


def twice_by_two(m: Float) -> None:
    m.add("ConvTranspose", m.last, m.random(4, 6, 2, 2), m.random(6), strides=[2, 2])


def twice_by_three(m: Float) -> None:
    m.add("ConvTranspose", m.last, m.random(4, 6, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1],
          output_padding=[1, 1])  # fmt: skip


def grouped_transposed(m: Float) -> None:
    m.add("ConvTranspose", m.last, m.random(4, 3, 2, 2), strides=[2, 2], group=2)


def turned(m: Float) -> None:
    m.add("ConvTranspose", m.last, m.random(4, 6, 3, 3), pads=[1, 1, 1, 1])


def norms(m: Float) -> None:
    """Batch norm behind, and in front of, convolutions; factors of all kinds."""
    statistics = [m.constant(RNG.uniform(0.5, 1.5, 4).astype(np.float32)) for _ in range(4)]
    m.add("BatchNormalization", m.last, *statistics)
    m.conv(4, 6, 3, 3)
    m.add("Mul", m.last, m.random(6, 1, 1))
    m.add("Sub", m.last, m.real(0.25))
    m.add("Div", m.last, m.real(2.0))
    m.add("Relu")
    again = [m.constant(RNG.uniform(0.5, 1.5, 6).astype(np.float32)) for _ in range(4)]
    m.add("BatchNormalization", m.last, *again)
    m.conv(6, 5, 3, 3, pads=[1, 1, 1, 1])


def sums(m: Float) -> None:
    a = m.conv(4, 6, 1, 1, source="x")
    b = m.conv(4, 6, 3, 3, source="x", pads=[1, 1, 1, 1])
    c = m.conv(4, 6, 1, 1, source="x")
    m.add("Add", m.add("Add", a, b), c)
    m.add("Relu")
    m.conv(6, 4, 1, 1)
    d = m.add("Sub", m.last, "x")
    m.conv(4, 3, 1, 1, source=d)


def means(m: Float) -> None:
    m.conv(4, 6, 3, 3, pads=[1, 1, 1, 1])
    m.add("Relu")
    m.add("ReduceMean", m.last, axes=[2, 3], keepdims=0)
    m.add("Gemm", m.last, m.random(6, 5), m.random(5))


def halves(m: Float) -> None:
    m.conv(4, 6, 3, 3, pads=[1, 1, 1, 1])
    m.add("Split", m.last, m.whole(2, 4), outputs=2, axis=1)
    second = m.last.replace("_0", "_1")
    first = m.conv(2, 3, 1, 1)
    m.add("Concat", m.conv(4, 3, 1, 1, source=second), first, axis=1)
    m.add("Slice", m.last, m.whole(1), m.whole(5), m.whole(1))
    m.conv(4, 2, 1, 1)


def larger(m: Float) -> None:
    m.conv(4, 6, 3, 3, pads=[1, 1, 1, 1])
    m.add("Resize", m.last, "", m.real(1, 1, 4, 4), mode="nearest", nearest_mode="floor",
          coordinate_transformation_mode="asymmetric")  # fmt: skip
    m.conv(6, 2, 1, 1)


def pooled(m: Float) -> None:
    m.conv(4, 6, 3, 3, pads=[1, 1, 1, 1])
    m.add("MaxPool", m.last, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    m.add("Relu")  # moves in front of the pooling
    m.add("AveragePool", m.last, kernel_shape=[2, 2], strides=[1, 1])
    m.add("Flatten")
    m.add("MatMul", m.last, m.random(6 * 9, 4))
    m.add("Add", m.last, m.random(4))


def limits(m: Float) -> None:
    m.conv(4, 6, 3, 3, pads=[1, 1, 1, 1])
    m.add("Clip", m.last, m.real(0.0), m.real(0.5))
    m.conv(6, 6, 1, 1)
    m.add("Abs")
    m.conv(6, 6, 1, 1)
    m.add("Clip", m.last, m.real(-0.3), m.real(0.3))


def shaped(m: Float) -> None:
    m.conv(4, 6, 3, 3, pads=[1, 1, 1, 1])
    m.add("GlobalMaxPool")
    m.add("Squeeze", m.last, m.whole(2, 3))
    m.add("Gemm", m.last, m.random(5, 6), transB=1, alpha=0.5)
    m.add("Reshape", m.last, m.whole(1, 5, 1, 1))
    m.conv(5, 3, 1, 1)


CASES: list[Callable[[Float], None]] = [
    even, uneven, flat_kernel, grouped, padded, automatic, twice_by_two, twice_by_three,
    grouped_transposed, turned, norms, sums, means, halves, larger, pooled, limits, shaped,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_it_computes_what_onnx_runtime_computes(case: Any, tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    case(model)
    same(model.save(tmp_path / "m.onnx"), (4, 8, 8))


def test_one_dimension(tmp_path: Path) -> None:
    model = Float(4, 24)
    model.conv(4, 6, 3, dilations=[2], pads=[2, 2])
    model.conv(6, 6, 3, pads=[2, 0])  # sees only what came before
    model.add("Relu")
    model.add("MaxPool", model.last, kernel_shape=[2], strides=[2])
    model.conv(6, 5, 9, pads=[2, 2])
    model.add("GlobalAveragePool")
    model.add("Flatten")
    model.add("Gemm", model.last, model.random(5, 3))
    net = same(model.save(tmp_path / "m.onnx"), (4, 24))
    assert [op.kind for op in net.ops.values()].count("conv1d") == 3


def test_pooling_over_more_than_sixteen_goes_in_steps(tmp_path: Path) -> None:
    model = Float(4, 32)
    model.conv(4, 6, 3, pads=[1, 1])
    model.add("GlobalAveragePool")
    net = same(model.save(tmp_path / "m.onnx"), (4, 32))
    assert [op.window for op in net.of("pool")] == [(16, 1), (2, 1)]
    assert any("in 2 steps" in note for note in net.notes)


def test_quantised_files_lose_their_scales(tmp_path: Path) -> None:
    """QDQ: data is taken as it is, weights as what they stand for, per channel too."""
    model = Float(4, 8, 8)
    zero = model.constant(np.zeros((), np.int8))
    for scale in (0.0079, 0.03):  # wide enough for all there is: nothing is cut off
        step = model.constant(np.array(scale, np.float32))
        whole = model.add("QuantizeLinear", model.last, step, zero)
        data = model.add("DequantizeLinear", whole, step, zero)
        integers = model.constant(RNG.integers(-127, 128, (4, 4, 3, 3)).astype(np.int8))
        steps = model.constant(RNG.uniform(0.001, 0.003, 4).astype(np.float32))
        zeros = model.constant(np.zeros(4, np.int8))
        weight = model.add("DequantizeLinear", integers, steps, zeros, axis=0)
        model.add("Conv", data, weight, pads=[1, 1, 1, 1])
    net = fuse(read(model.save(tmp_path / "m.onnx")))
    assert [op.kind for op in net.ops.values()] == ["input", "conv2d", "conv2d"]
    assert any("its own quantisation" in note for note in net.notes)
    x = torch.from_numpy(RNG.uniform(-1, 1, (1, 4, 8, 8)).astype(np.float32))
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"))
    (truth,) = session.run(None, {"x": x.numpy()})
    (value,) = evaluate.outputs(net, x).values()
    assert np.abs(value.numpy() - truth).max() < 0.1 * np.abs(truth).max()


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_a_quantisation_that_cuts_off_what_is_negative_is_a_relu(
    kind: type, tmp_path: Path
) -> None:
    """onnxruntime's quantiser leaves out the ReLU, or the Clip at 6, in front of it."""
    runtime = pytest.importorskip("onnxruntime")
    model = Float(4, 8, 8)
    model.conv(4, 4, 3, 3, pads=[1, 1, 1, 1])
    step, zero = model.real(2.0 / 255), model.constant(np.array(np.iinfo(kind).min, kind))
    whole = model.add("QuantizeLinear", model.last, step, zero)
    model.add("DequantizeLinear", whole, step, zero)
    net = fuse(read(model.save(tmp_path / "m.onnx")))
    x = torch.from_numpy(RNG.uniform(-1, 1, (1, 4, 8, 8)).astype(np.float32))
    (truth,) = runtime.InferenceSession(str(tmp_path / "m.onnx")).run(None, {"x": x.numpy()})
    (value,) = evaluate.outputs(net, x).values()
    assert (truth == 0).any()
    assert (truth > 1.99).any()
    assert np.abs(value.numpy() - truth).max() < 0.01


def test_channels_that_come_last_are_put_first(tmp_path: Path) -> None:
    """As tf2onnx writes Keras models."""
    model = Float(8, 8, 3)
    model.add("Transpose", "x", perm=[0, 3, 1, 2])
    model.conv(3, 5, 3, 3, pads=[1, 1, 1, 1])
    model.add("Relu")
    model.add("Transpose", model.last, perm=[0, 2, 3, 1])
    path = model.save(tmp_path / "m.onnx")
    net = fuse(read(path))
    assert net.layout == "nhwc"
    assert net.ops["input"].shape == (3, 8, 8)
    x = RNG.uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
    inner = data.arranged(x, (3, 8, 8), "nhwc")
    assert np.array_equal(data.given(inner, (3, 8, 8), "nhwc"), x)
    (value,) = evaluate.outputs(net, torch.from_numpy(inner)).values()
    session = runtime.InferenceSession(str(path))
    truth = np.concatenate([session.run(None, {"x": one[None]})[0] for one in x])
    np.testing.assert_allclose(value.numpy(), truth.transpose(0, 3, 1, 2), atol=1e-5)
    # Compared is what the chip computes, before the data is moved.
    (found,) = run_model(path, net, x) or [None]
    np.testing.assert_allclose(found, value.numpy(), atol=1e-5)


def test_flat_data_alone(tmp_path: Path) -> None:
    model = Float(16)
    model.add("Gemm", "x", model.random(16, 12), model.random(12))
    model.add("Relu")
    model.add("Gemm", model.last, model.random(12, 4))
    net = same(model.save(tmp_path / "m.onnx"), (16,))
    assert net.layout == "nc"


@pytest.mark.parametrize("end", ["Relu", "pool", "Abs"])
def test_outputs_of_eight_bits_are_real_numbers_in_the_written_model(
    end: str, tmp_path: Path
) -> None:
    """Their factor is a power of two, which the written model multiplies by."""
    model = Float(3, 8, 8)
    model.conv(3, 5, 3, 3, pads=[1, 1, 1, 1])
    model.add("Mul", model.last, model.real(20.0))
    model.add("Relu" if end == "pool" else end)
    if end == "pool":
        model.add("MaxPool", model.last, kernel_shape=[2, 2], strides=[2, 2])
    x = RNG.uniform(-1, 1, (12, 3, 8, 8)).astype(np.float32)
    result = quantize(model.save(tmp_path / "m.onnx"), lambda net: data.Calibration(x))
    (error,) = result.outputs.values()
    assert error < 0.03
    write(result, tmp_path / "q.onnx")
    session = runtime.InferenceSession(str(tmp_path / "q.onnx"))
    (real,) = session.run(None, {"input": x[:1]})
    chip = np.clip(np.floor(x[:1] / result.factors["input"] * 128 + 0.5), -128, 127)
    with torch.no_grad():
        (steps,) = result.student(torch.from_numpy(chip).double())
    (name,) = result.student.spec.outputs
    assert result.factors[name] > 1
    assert np.array_equal(real, steps.numpy() * result.factors[name] / 128)
    compiled = compile_graph(frontend_onnx.load(tmp_path / "q.onnx").graph)
    (found,) = run_on_kit(compiled.program, chip[0].astype(np.int8))[0].values()
    assert np.array_equal(found, steps[0].numpy())


def dilated(m: Float) -> None:
    m.conv(4, 4, 3, 3, dilations=[2, 2], pads=[2, 2, 2, 2])


def five(m: Float) -> None:
    m.conv(4, 4, 5, 5, pads=[2, 2, 2, 2])


def four_transposed(m: Float) -> None:
    m.add("ConvTranspose", m.last, m.random(4, 4, 4, 4), strides=[2, 2], pads=[1, 1, 1, 1])


def overlapping(m: Float) -> None:
    m.add("MaxPool", m.last, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])


def curved(m: Float) -> None:
    m.add("Tanh")


def product(m: Float) -> None:
    m.add("Mul", m.conv(4, 4, 1, 1, source="x"), "x")


def bilinear(m: Float) -> None:
    m.add("Resize", m.last, "", m.real(1, 1, 2, 2), mode="linear",
          coordinate_transformation_mode="half_pixel")  # fmt: skip


def strange(m: Float) -> None:
    m.add("Selu")
    m.add("LRN", m.last, size=3)


LACKING = [
    (dilated, "a 3x3 kernel with dilation [2, 2]", "3x3 kernels"),
    (five, "a 5x5 kernel", "two of them see 5x5"),
    (four_transposed, "a transposed convolution 4x4", "2x2 with stride 2"),
    (overlapping, "pooling with pads", "a window without padding"),
    (curved, "Tanh", "limits without curve"),
    (product, "the product of two tensors", "Add"),
    (bilinear, "bilinear Resize", "a smoothing convolution"),
    (strange, "Selu", "Relu"),
]


@pytest.mark.parametrize(("case", "reason", "nearest"), LACKING, ids=lambda v: getattr(
    v, "__name__", ""))  # fmt: skip
def test_what_the_chip_lacks_is_an_obstacle(
    case: Any, reason: str, nearest: str, tmp_path: Path
) -> None:
    model = Float(4, 8, 8)
    model.conv(4, 4, 1, 1)
    case(model)
    model.conv(4, 2, 1, 1)
    net = fuse(read(model.save(tmp_path / "m.onnx")))
    assert any(reason in o.reason and nearest in o.nearest for o in net.obstacles)


def test_bilinear_is_nearly_what_a_smoothing_convolution_does(tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    model.conv(4, 4, 1, 1)
    bilinear(model)
    path = model.save(tmp_path / "m.onnx")
    net = fuse(read(path), approximate=True)
    assert net.obstacles == []
    x = RNG.uniform(-1, 1, (1, 4, 8, 8)).astype(np.float32)
    (truth,) = runtime.InferenceSession(str(path)).run(None, {"x": x})
    (value,) = evaluate.outputs(net, torch.from_numpy(x)).values()
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(value.numpy()[inner], truth[inner], atol=1e-5)
    assert np.abs(value.numpy() - truth).max() > 0.01  # the edge, which is said


@pytest.mark.parametrize(
    ("shape", "said"),
    [(("n", 3, "h", 8), "only the batch may be open"), ((1,), "expected a batch")],
)
def test_sizes_that_are_not_fixed_are_refused(
    shape: tuple[Any, ...], said: str, tmp_path: Path
) -> None:
    model = Float(3, 8, 8)
    model.conv(3, 2, 1, 1)
    proto = helper.make_model(helper.make_graph(
        model.nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(model.last, TensorProto.FLOAT, None)], model.constants,
    ), opset_imports=[helper.make_opsetid("", 17)])  # fmt: skip
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(UserError, match=said):
        read(tmp_path / "m.onnx")
