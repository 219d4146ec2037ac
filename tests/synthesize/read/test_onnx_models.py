"""ONNX models become graphs that compute the same, and what cannot is refused by name."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from common.errors import UserError
from synthesize.__main__ import main
from synthesize.compiler import compile_graph
from synthesize.graph import ir, reference
from synthesize.read.onnx import network as frontend_onnx
from tests.helpers.onnx_models import UNIT, Model

PAD = {"pads": [1, 1, 1, 1]}
Built = tuple[Model, list[str]]


def plain() -> Built:
    m = Model((3, 8, 8))
    x = m.add("Relu", m.conv(m.data, m.weight(5, 3, 3, 3), 5, name="first", **PAD))
    x = m.rounded(x, -2)
    return m, [m.conv(x, m.weight(4, 5, 1, 1), 4, name="wide")]


def strided_and_pooled() -> Built:
    m = Model((3, 12, 12))
    x = m.rounded(m.conv(m.data, m.weight(6, 3, 3, 3), 6, strides=[2, 2], **PAD), -2)
    x = m.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    return m, [m.rounded(m.conv(x, m.weight(4, 6, 3, 3), 4, **PAD), -2)]


def residual() -> Built:
    m = Model((4, 6, 6))
    c = m.rounded(m.conv(m.data, m.weight(8, 4, 1, 1), 8), -1)
    a = m.rounded(m.conv(m.data, m.weight(8, 4, 3, 3), 8, **PAD), -2)
    b = m.rounded(m.conv(m.data, m.weight(8, 4, 1, 1), 8), -2)
    x = m.quantized(m.add("Add", m.add("Add", a, b), c), UNIT)
    x = m.quantized(m.add("Sub", x, b), UNIT)
    return m, [m.conv(x, m.weight(3, 8, 3, 3), 3, **PAD), x]


def concatenated() -> Built:
    m = Model((4, 6, 6))
    parts = [m.rounded(m.conv(m.data, m.weight(8, 4, 3, 3), 8, **PAD), -2) for _ in range(2)]
    x = m.add("Concat", *parts, axis=1)
    x = m.add("Clip", m.rounded(m.conv(x, m.weight(4, 16, 1, 1), 4), -2), m.number(0.0), "")
    return m, [x]


def transposed_and_absolute() -> Built:
    m = Model((3, 5, 4))
    x = m.add(
        "ConvTranspose", m.data, m.weight(3, 4, 3, 3), m.bias(4),
        strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1],
    )  # fmt: skip
    x = m.add("Abs", m.rounded(x, -2))
    return m, [m.add("Clip", x, "", m.number(127 / 128))]


def linear() -> Built:
    m = Model((3, 4, 4))
    x = m.rounded(m.conv(m.data, m.weight(6, 3, 3, 3), 6, **PAD), -2)
    x = m.rounded(m.add("Gemm", m.add("Flatten", x), m.weight(10, 96), m.bias(10), transB=1), -2)
    x = m.add("Reshape", x, m.constant(np.array([1, -1])))
    return m, [m.add("Add", m.add("MatMul", x, m.weight(10, 30)), m.bias(30))]


def one_dimensional() -> Built:
    m = Model((4, 20))
    x = m.rounded(m.conv(m.data, m.weight(6, 4, 5), 6, pads=[2, 2]), -2)
    x = m.add("MaxPool", x, kernel_shape=[2], strides=[2])
    return m, [m.conv(x, m.weight(5, 6, 3), 5)]


def batch_norm() -> Built:
    m = Model((3, 6, 6))
    # Powers of two, so that the folded weights are on the grid and nothing is rounded.
    gain = m.constant(np.array([1.0, 2.0, 0.5, 1.0], np.float32))
    offset = m.constant(np.array([0.25, -0.5, 0.125, 0.0], np.float32))
    mean = m.constant(np.zeros(4, np.float32))
    variance = m.constant(np.full(4, 0.25, np.float32))
    weight = m.weight(4, 3, 3, 3, low=-16, high=16)
    x = m.add("Conv", m.data, weight, **PAD)
    x = m.add("BatchNormalization", x, gain, offset, mean, variance, epsilon=0.0)
    return m, [m.rounded(m.add("Relu", x), 1)]


MODELS = (
    *(plain, strided_and_pooled, residual, concatenated, transposed_and_absolute, linear),
    *(one_dimensional, batch_norm),
)


def load(model: Model, outputs: list[str], folder: Path) -> ir.Graph:
    return frontend_onnx.load(model.save(folder / "model.onnx", *outputs)).graph


@pytest.mark.parametrize("build", MODELS, ids=lambda f: f.__name__)
def test_a_model_computes_what_the_onnx_runtime_computes(
    build: Callable[[], Built], tmp_path: Path
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model, outputs = build()
    graph = load(model, outputs, tmp_path)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"), options)
    for seed in range(3):
        data = np.random.default_rng(seed).integers(-128, 128, (1, *model.shape))
        expected = session.run(None, {"input": (data * UNIT).astype(np.float32)})
        ours = reference.run(graph, data[0])
        for name, real in zip(outputs, expected, strict=True):
            wide = graph.layer(next(o.layer for o in graph.outputs if o.name == name)).wide
            step = UNIT * UNIT if wide else UNIT
            got = ours[name].astype(np.float64) * step
            np.testing.assert_array_equal(got.reshape(real.shape), real)
            assert len(np.unique(real)) > 10, "a result that could not tell right from wrong"


@pytest.mark.parametrize("build", MODELS, ids=lambda f: f.__name__)
def test_a_model_compiles(build: Callable[[], Built], tmp_path: Path) -> None:
    graph = load(*build(), tmp_path)
    compiled = compile_graph(graph)
    data = np.random.default_rng(0).integers(-128, 128, graph.input.shape)
    legal = reference.run(compiled.legal, data)
    for name, values in compiled.known_answer(data).items():
        np.testing.assert_array_equal(legal[name], values)


def test_layers_are_fused_and_named_after_their_operators(tmp_path: Path) -> None:
    graph = load(*strided_and_pooled(), tmp_path)
    assert [layer.op for layer in graph.layers] == ["conv2d", "conv2d"]
    assert graph.layers[1].pool == ir.Pool("max", (2, 2), (2, 2))
    assert [layer.name for layer in load(*plain(), tmp_path).layers] == ["first", "wide"]


def test_bits_come_from_the_metadata_and_must_hold_the_weights(tmp_path: Path) -> None:
    m = Model((2, 4, 4))
    weight = m.constant(m.rng.integers(-2, 2, (3, 2, 1, 1)).astype(np.int8), "w")
    real = m.add("DequantizeLinear", weight, m.number(0.5), m.zero)
    out = m.rounded(m.add("Conv", m.data, real))
    m.metadata["pose78.weight_bits"] = json.dumps({"w": 2})
    layer = load(m, [out], tmp_path).layers[0]
    assert (layer.bits, layer.output_shift) == (2, 0)
    m.metadata["pose78.weight_bits"] = json.dumps({"w": 1})
    with pytest.raises(UserError, match="do not fit 1 bits"):
        load(m, [out], tmp_path)


def test_real_weights_are_rounded_and_that_is_said(tmp_path: Path) -> None:
    m = Model((2, 4, 4))
    weight = m.rng.uniform(-0.7, 0.7, (3, 2, 3, 3)).astype(np.float32)
    out = m.rounded(m.add("Conv", m.data, m.constant(weight), **PAD))
    loaded = frontend_onnx.load(m.save(tmp_path / "model.onnx", out))
    assert len(loaded.notes) == 1
    assert "weights were rounded" in loaded.notes[0]
    held = loaded.graph.layers[0].weight
    assert held is not None
    np.testing.assert_array_equal(held, np.floor(weight.astype(np.float64) * 128 + 0.5))


def refused(m: Model, out: str, folder: Path) -> str:
    with pytest.raises(UserError) as error:
        frontend_onnx.load(m.save(folder / "model.onnx", out))
    return str(error.value)


def test_what_the_chip_has_not_is_refused_by_name(tmp_path: Path) -> None:
    m = Model((3, 6, 6))
    conv = m.conv(m.data, m.weight(4, 3, 3, 3), 4, **PAD)
    message = refused(m, m.add("Softmax", conv, name="probabilities"), tmp_path)
    assert "probabilities (Softmax): the chip has no such operator" in message
    assert "node first (Conv): attribute group is 3" in _grouped(tmp_path)


def _grouped(folder: Path) -> str:
    m = Model((3, 6, 6))
    return refused(m, m.conv(m.data, m.weight(3, 1, 3, 3), 3, name="first", group=3), folder)


BAD: dict[str, tuple[Callable[[Model], str], str]] = {
    "scale": (
        lambda m: m.quantized(m.conv(m.data, m.weight(4, 3, 1, 1), 4), 0.3),
        r"the scale is 0.3.*; quantise with 0.25 or 0.5",
    ),
    "dilation": (
        lambda m: m.conv(m.data, m.weight(4, 3, 3, 3), 4, dilations=[2, 2]),
        "dilation 1 only",
    ),
    "uneven pads": (
        lambda m: m.conv(m.data, m.weight(4, 3, 3, 3), 4, pads=[0, 0, 1, 1]),
        "pads both ends alike",
    ),
    "unquantised": (
        lambda m: m.conv(m.conv(m.data, m.weight(4, 3, 1, 1), 4), m.weight(4, 4, 1, 1), 4),
        "is not quantised; put QuantizeLinear",
    ),
    "two scales": (
        lambda m: m.add("Concat", m.data, m.add("Mul", m.data, m.number(0.5)), axis=1),
        "the scales 0.00390625 and 0.0078125",
    ),
    "channels": (
        lambda m: m.conv(m.data, m.weight(4, 5, 1, 1), 4),
        "its weights expect 5 channels but the data has 3",
    ),
    "padded pool": (
        lambda m: m.add("MaxPool", m.data, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        "pools without padding",
    ),
    "relu on the input": (lambda m: m.add("Relu", m.data), "one activation, behind a conv"),
    "product": (lambda m: m.add("Mul", m.data, m.data), "cannot multiply two data tensors"),
    "floor alone": (lambda m: m.add("Floor", m.data), r"write Floor\(x \+ 0.5\)"),
    "wide activation": (
        lambda m: m.add("Relu", m.conv(m.data, m.weight(4, 3, 1, 1), 4)),
        "only a convolution without activation",
    ),
    "clipped short": (
        lambda m: m.rounded(
            m.add("Clip", m.conv(m.data, m.weight(4, 3, 1, 1), 4), m.number(0), m.number(0.5))
        ),
        "limits of 0 to 64 steps",
    ),
    "bias": (
        lambda m: m.rounded(
            m.add("Add", m.conv(m.data, m.weight(4, 3, 1, 1), 4), m.number(3.0))
        ),
        "exceed the 8 bits of bias memory",
    ),
    "clipped wide": (
        lambda m: m.add("Clip", m.conv(m.data, m.weight(4, 3, 1, 1), 4), m.number(-1.0)),
        "only a convolution without activation",
    ),
    "clipped sum": (
        lambda m: m.quantized(
            m.add("Clip", m.add("Add", m.data, m.data), m.number(-0.25), m.number(0.25)), UNIT
        ),
        "limits of -32 to 32 steps",
    ),
    "missing tensor": (lambda m: m.add("Relu", "nowhere"), "'nowhere', which no operator"),
    "input": (lambda m: m.data, "it is the input itself"),
    "stride 0": (
        lambda m: m.rounded(m.add("MaxPool", m.data, kernel_shape=[2, 2], strides=[2, 0])),
        r"strides is \[2, 0\]; expected 2 small numbers",
    ),
    "reshape": (
        lambda m: m.add("Reshape", m.data, m.constant(np.array([1, 6, 3, 6]))),
        r"data can only be flattened to \[1, 108\]",
    ),
    "flat reshape": (
        lambda m: m.add("Reshape", m.rounded(
            m.add("Gemm", m.add("Flatten", m.data), m.weight(108, 4))
        ), m.constant(np.array([1, 2, 2, 1]))),
        r"flattened to \[1, 4\] or be one pixel, \[1, 4, 1, 1\]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("behind", ["", "MaxPool", "Relu", "Conv", "Add"])
def test_a_bias_that_is_too_large_names_its_convolution(behind: str, tmp_path: Path) -> None:
    """Whatever reads the convolution, the bias is the convolution's."""
    m = Model((3, 6, 6))
    large = m.constant(np.full(4, 3.0, np.float32))
    x = m.rounded(m.add("Conv", m.data, m.weight(4, 3, 1, 1), large, name="loud"))
    if behind == "MaxPool":
        x = m.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    elif behind == "Relu":
        x = m.add("Relu", x)
    elif behind == "Add":
        x = m.quantized(m.add("Add", x, m.rounded(m.conv(m.data, m.weight(4, 3, 1, 1), 4))), UNIT)
    if behind:
        x = m.conv(x, m.weight(4, 4, 1, 1), 4, name="innocent")
    message = refused(m, x, tmp_path)
    assert "node loud (Conv): biases from 3 to 3 exceed" in message


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_a_bad_model_is_refused_in_one_sentence(
    case: tuple[Callable[[Model], str], str], tmp_path: Path
) -> None:
    build, words = case
    m = Model((3, 6, 6))
    message = refused(m, build(m), tmp_path)
    assert "\n" not in message
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(message)


def test_scales_per_channel_are_refused_with_their_range(tmp_path: Path) -> None:
    m = Model((3, 6, 6))
    whole = m.constant(m.rng.integers(-9, 9, (4, 3, 1, 1)).astype(np.int8))
    scales = m.constant(np.array([0.5, 0.25, 0.125, 0.5], np.float32))
    zeros = m.constant(np.zeros(4, np.int8))
    weight = m.add("DequantizeLinear", whole, scales, zeros, axis=0)
    assert "0.125 to 0.5" in refused(m, m.add("Conv", m.data, weight), tmp_path)


def test_old_operator_sets_and_outside_tensors_are_refused(tmp_path: Path) -> None:
    m, outputs = plain()
    with pytest.raises(UserError, match="opset_version=13"):
        frontend_onnx.load(m.save(tmp_path / "old.onnx", *outputs, opset=11))
    proto = m.proto(*outputs)
    tensor = proto.graph.initializer[-1]
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="../../etc/passwd")
    (tmp_path / "outside.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(UserError, match="outside of the model's folder, which is not followed"):
        frontend_onnx.load(tmp_path / "outside.onnx")


def test_damaged_files_are_refused_and_nothing_else_happens(tmp_path: Path) -> None:
    m, outputs = residual()
    content = m.proto(*outputs).SerializeToString()
    rng = random.Random(4)
    path = tmp_path / "damaged.onnx"
    refusals: list[str] = []
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged[: rng.randint(0, len(damaged))] if rng.random() < 0.3 else damaged)
        try:
            frontend_onnx.load(path)
        except UserError as error:
            refusals.append(str(error))
    assert len(refusals) > 50
    assert not any("\n" in refusal for refusal in refusals)


def test_a_tensor_of_absurd_size_is_refused(tmp_path: Path) -> None:
    m, outputs = plain()
    proto = m.proto(*outputs)
    proto.graph.initializer[-1].dims[:] = [1 << 20, 1 << 20, 1 << 20]
    (tmp_path / "huge.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(UserError, match="too many"):
        frontend_onnx.load(tmp_path / "huge.onnx")


def test_two_inputs_and_open_sizes_are_refused(tmp_path: Path) -> None:
    m, outputs = plain()
    proto = m.proto(*outputs)
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    (tmp_path / "open.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(UserError, match="only the batch may be open"):
        frontend_onnx.load(tmp_path / "open.onnx")
    proto = m.proto(*outputs)
    proto.graph.input.append(helper.make_tensor_value_info("second", 1, (1, 3, 8, 8)))
    proto.graph.node.append(helper.make_node("Identity", ["second"], ["read"]))
    proto.graph.output.append(helper.make_tensor_value_info("read", 1, (1, 3, 8, 8)))
    (tmp_path / "two.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(UserError, match="it has 2 inputs"):
        frontend_onnx.load(tmp_path / "two.onnx")


def test_the_command_line_compiles_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    m, outputs = plain()
    path = m.save(tmp_path / "model.onnx", *outputs)
    assert main(["compile", str(path), "--out", str(tmp_path / "project")]) == 0
    assert (tmp_path / "project" / "network.yaml").is_file()
    assert main(["check", str(tmp_path / "missing.onnx")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_unsigned_bytes_are_refused(tmp_path: Path) -> None:
    m = Model((3, 6, 6))
    zero = m.constant(np.zeros((), np.uint8))
    conv = m.conv(m.data, m.weight(4, 3, 1, 1), 4)
    whole = m.add("QuantizeLinear", conv, m.number(UNIT), zero)
    assert "unsigned bytes" in refused(m, whole, tmp_path)
    assert numpy_helper.to_array(m.initializers[-1]).shape == ()
