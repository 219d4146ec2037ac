"""Models with odd inputs, names and leftovers: read exactly, or refused in one sentence."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from common.errors import UserError
from common.texts import MAX_NAME
from quantize.__main__ import main
from quantize.ptq.data import Calibration, load
from quantize.ptq.obstacles import UnfitNetwork
from quantize.ptq.run import Result, quantize, understand
from tests.helpers.float_models import Float
from tests.helpers.same_float import same

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

WORST = 0.05
"""Relative error of the outputs to the model's."""


def typed(path: Path, kind: str) -> Path:
    """Let a model's input be of another type."""
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(
        np.dtype(kind)
    )
    path.write_bytes(model.SerializeToString())
    return path


def cast(path: Path, kind: str, to: int = TensorProto.FLOAT) -> Path:
    """A model that reads whole numbers and casts them."""
    model = Float(3, 8, 8)
    model.add("Cast", "x", to=to)
    model.add("Div", model.last, model.real(64.0))
    model.conv(3, 4, 3, 3, pads=[1, 1, 1, 1])
    model.add("Relu")
    model.conv(4, 4, 3, 3, pads=[1, 1, 1, 1])
    return typed(model.save(path), kind)


def whole(kind: str, count: int = 24) -> np.ndarray:
    """Inputs [N, 3, 8, 8] that fill a byte."""
    low, high = {"int8": (-128, 127), "bool": (0, 1)}.get(kind, (0, 255))
    return np.random.default_rng(3).integers(low, high, (count, 3, 8, 8), endpoint=True)


def judged(path: Path, inputs: np.ndarray) -> Result:
    return quantize(path, lambda net: Calibration(inputs.astype(np.float32)))


@pytest.mark.parametrize("kind", ["uint8", "int8", "int32", "int64", "uint16", "bool", "float64"])
def test_whole_numbers_that_are_cast_are_read(kind: str, tmp_path: Path) -> None:
    result = judged(cast(tmp_path / "model.onnx", kind), whole(kind))
    assert all(error < WORST for error in result.outputs.values()), result.outputs
    lost = any("least bit is lost" in note for note in result.notes)
    assert lost == (kind not in ("int8", "bool", "float64"))


def test_a_dequantised_input_is_a_factor_and_an_offset(tmp_path: Path) -> None:
    model = Float(3, 8, 8)
    zero = model.constant(np.array(128, np.uint8))
    model.add("DequantizeLinear", "x", model.constant(np.array(1 / 128, np.float32)), zero)
    model.conv(3, 4, 3, 3)
    result = judged(typed(model.save(tmp_path / "model.onnx"), "uint8"), whole("uint8"))
    assert all(error < WORST for error in result.outputs.values()), result.outputs


def test_quantisation_that_changes_the_scale_is_a_factor(tmp_path: Path) -> None:
    model = Float(3, 8, 8)
    zero = model.constant(np.array(0, np.int8))
    model.add("QuantizeLinear", "x", model.constant(np.array(1 / 64, np.float32)), zero)
    model.add("DequantizeLinear", model.last, model.constant(np.array(1 / 16, np.float32)), zero)
    model.conv(3, 4, 3, 3)
    result = judged(model.save(tmp_path / "model.onnx"), whole("int8") / 128)
    assert all(error < WORST for error in result.outputs.values()), result.outputs


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.5, "whole numbers from 0 to 255 (uint8), but the data holds 0.5"),
        (-1, "the data holds -1"),
        (256, "the data holds 256"),
    ],
)
def test_other_numbers_than_the_input_can_hold_are_refused(
    value: float, said: str, tmp_path: Path
) -> None:
    inputs = whole("uint8").astype(np.float32)
    inputs[1, 0, 0, 0] = value
    with pytest.raises(UserError) as caught:
        judged(cast(tmp_path / "model.onnx", "uint8"), inputs)
    assert said in str(caught.value)


def test_pictures_are_whole_numbers_to_such_a_model(tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    given = load(tmp_path, (3, 8, 8), "nchw", 1, kind="int64").inputs
    assert np.array_equal(given[0], pixels.transpose(2, 0, 1))
    signed = load(tmp_path, (3, 8, 8), "nchw", 1, kind="int8").inputs
    assert np.array_equal(signed[0], pixels.transpose(2, 0, 1) - 128.0)


def wrapping(folder: Path) -> Path:
    model = Float(3, 8, 8)
    model.add("Sub", "x", model.constant(np.array(128, np.uint8)))
    model.add("Cast", model.last, to=TensorProto.FLOAT)
    model.conv(3, 4, 3, 3)
    return typed(model.save(folder / "wrapping.onnx"), "uint8")


def cutting(folder: Path) -> Path:
    model = Float(3, 8, 8)
    model.conv(3, 4, 3, 3)
    model.add("Cast", model.last, to=TensorProto.INT32)
    model.add("Cast", model.last, to=TensorProto.FLOAT)
    model.conv(4, 4, 3, 3)
    return model.save(folder / "cutting.onnx")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (wrapping, "Sub of whole numbers; nearest: a Cast to float in front"),
        (cutting, "Cast to whole numbers, which cuts off"),
    ],
)
def test_arithmetic_of_whole_numbers_is_an_obstacle(make, said: str, tmp_path: Path) -> None:
    with pytest.raises(UnfitNetwork, match="1 thing that the chip does not have") as caught:
        understand(make(tmp_path))
    assert said in str(caught.value)


def test_an_input_of_text_is_refused(tmp_path: Path) -> None:
    path = cast(tmp_path / "model.onnx", "uint8")
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="input x holds string; export it with float32"):
        understand(path)


def four(path: Path, names: list[str], called: str = "net") -> Path:
    """Four convolutions whose nodes have given names."""
    model = Float(3, 8, 8)
    for number in range(4):
        model.conv(4 if number else 3, 4, 3, 3, pads=[1, 1, 1, 1])
    stored = onnx.load(str(model.save(path)))
    stored.graph.name = called
    for node, name in zip(stored.graph.node, names, strict=True):
        node.name = name
    path.write_bytes(stored.SerializeToString())
    return path


@pytest.mark.parametrize(
    "names",
    [
        [f"{'block/' * 50}{n}" for n in range(4)],
        [f"{n}{'/block' * 50}" for n in range(4)],
        [f"{'a' * 150}{n}{'b' * 150}" for n in range(4)],
        ["same"] * 4,
        ["x" * 300] * 4,
        ["", "", "same", "same"],
        ["A", "a", "a_2", "a"],
    ],
)
def test_layers_stay_distinct_whatever_nodes_are_called(
    names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = four(tmp_path / "model.onnx", names, "n" * 300), tmp_path / "q.onnx"
    np.save(tmp_path / "in.npy", whole("int8").astype(np.float32) / 128)
    given = ["--calibrate", str(tmp_path / "in.npy"), "-o", str(out)]
    assert main([str(path), *given]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "conv2d" in line]
    assert len(set(rows)) == 4
    written = {node.name for node in onnx.load(str(out)).graph.node}
    assert max(map(len, written)) < MAX_NAME
    from synthesize.read.onnx.network import load as compiled

    layers = [layer.name for layer in compiled(out).graph.layers]
    assert len({name.lower() for name in layers}) == len(layers) == 4


def test_what_no_output_needs_stops_nothing(tmp_path: Path) -> None:
    model = Float(3, 8, 8)
    model.conv(3, 4, 3, 3)
    kept = model.last
    model.constants.append(helper.make_tensor("words", TensorProto.STRING, [2], [b"a", b"b"]))
    model.constants.append(helper.make_tensor("waves", TensorProto.COMPLEX64, [1], [1 + 2j]))
    away = helper.make_tensor("away", TensorProto.FLOAT, [1], [1.0])
    away.ClearField("float_data")
    away.data_location = TensorProto.EXTERNAL
    away.external_data.add(key="location", value="gone.bin")
    model.constants.append(away)
    model.add("StringNormalizer", "words")
    model.add("RandomNormal", kept, shape=[1])
    path = model.save(tmp_path / "model.onnx", kept)
    stored = onnx.load(str(path), load_external_data=False)
    stored.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.STRING, (1,)))
    path.write_bytes(stored.SerializeToString())
    result = judged(path, whole("int8") / 128)
    assert all(error < WORST for error in result.outputs.values()), result.outputs


def test_text_that_an_output_needs_is_named(tmp_path: Path) -> None:
    model = Float(3, 8, 8)
    model.conv(3, 4, 3, 3)
    model.constants.append(helper.make_tensor("words", TensorProto.STRING, [2], [b"a", b"b"]))
    model.add("ArrayFeatureExtractor", "words", model.last, domain="ai.onnx.ml")
    with pytest.raises(UserError, match="tensor words holds text, expected real numbers"):
        understand(model.save(tmp_path / "model.onnx"))


class Normed(nn.Module):
    """A norm between two convolutions."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 8, 3), norm, nn.Conv2d(8, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.norm(self.first(x))))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("norm", "name"),
    [
        (nn.GroupNorm(2, 8), "GroupNorm"),
        (nn.GroupNorm(4, 8, affine=False), "GroupNorm"),
        (nn.InstanceNorm2d(8), "InstanceNorm"),
        (nn.InstanceNorm2d(8, affine=True), "InstanceNorm"),
        (nn.LayerNorm([8, 14, 14]), "LayerNorm"),
    ],
)
def test_norms_of_each_input_are_called_as_people_know_them(
    norm: nn.Module, name: str, tmp_path: Path
) -> None:
    content = io.BytesIO()
    module = Normed(norm).eval()
    torch.onnx.export(module, (torch.zeros(1, 3, 16, 16),), content, opset_version=17, dynamo=False)
    (tmp_path / "model.onnx").write_bytes(content.getvalue())
    with pytest.raises(UnfitNetwork, match="1 thing that the chip does not have") as caught:
        understand(tmp_path / "model.onnx")
    assert f": {name}, whose statistics are those of each input" in str(caught.value)
    assert "nearest: BatchNorm" in str(caught.value)


class OverChannels(nn.Module):
    """LayerNorm over channels that lie in front, as ConvNeXt writes it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(1, keepdim=True)
        spread = (x - mean).pow(2).mean(1, keepdim=True)
        return 2 * (x - mean) / torch.sqrt(spread + 1e-6) + 1


class OfMeanSquare(nn.Module):
    """RMSNorm by hand."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-6)


class OfLength(nn.Module):
    """Every pixel as a direction."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(x, dim=1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("norm", "name"),
    [
        (nn.LayerNorm([8, 14, 14]), "LayerNorm"),
        (OverChannels(), "LayerNorm"),
        (OfMeanSquare(), "RMSNorm"),
        (OfLength(), "normalize"),
    ],
)
def test_norms_that_are_written_out_are_one_thing(
    norm: nn.Module, name: str, tmp_path: Path
) -> None:
    """The old exporter and old opsets know no operator for them."""
    content = io.BytesIO()
    module = Normed(norm).eval()
    torch.onnx.export(module, (torch.zeros(1, 3, 16, 16),), content, opset_version=13, dynamo=False)
    (tmp_path / "model.onnx").write_bytes(content.getvalue())
    with pytest.raises(UnfitNetwork, match="1 thing that the chip does not have") as caught:
        understand(tmp_path / "model.onnx")
    assert f": {name}, whose statistics are those of each input" in str(caught.value)
    assert "--approximate" not in str(caught.value)


def test_a_quotient_of_other_data_is_no_norm(tmp_path: Path) -> None:
    """At the end the application cannot compute it either, of one of the two."""
    model = Float(3, 8, 8)
    data = model.conv(3, 4, 3, 3)
    other = model.conv(3, 4, 3, 3, source="x")
    model.add("Div", data, model.add("ReduceMean", other, axes=[1]))
    with pytest.raises(UnfitNetwork, match="the quotient of data"):
        understand(model.save(tmp_path / "model.onnx"))


def test_factors_of_another_size_behind_what_the_chip_lacks_are_part_of_it(tmp_path: Path) -> None:
    """A linear layer over columns; its own offset goes with it."""
    model = Float(4, 8, 8)
    rows = model.conv(4, 4, 3, 3)
    model.add("Add", model.add("MatMul", rows, model.random(6, 9)), model.random(9))
    model.add("MatMul", model.last, model.random(9, 6))
    model.conv(4, 4, 1, 1)
    with pytest.raises(UnfitNetwork, match="a matrix product that is no linear layer"):
        understand(model.save(tmp_path / "model.onnx"))


def test_factors_of_another_size_are_refused(tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    model.add("Add", model.conv(4, 4, 3, 3), model.random(1, 6, 1, 1))
    with pytest.raises(UserError, match="6 numbers, but its data has 4 channels"):
        understand(model.save(tmp_path / "model.onnx"))


@pytest.mark.parametrize(
    "more", [{}, {"strides": [2, 2]}, {"dilations": [2, 2]}, {"pads": [1] * 4}]
)
def test_a_kernel_that_the_chip_lacks_makes_nothing_behind_it_wrong(
    more: dict[str, list[int]], tmp_path: Path
) -> None:
    model = Float(3, 28, 28)
    model.conv(3, 4, 7, 7, **more)
    model.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    model.add("Flatten")
    span = 7 if "dilations" not in more else 13
    side = ((28 - span + 2 * ("pads" in more)) // (2 if "strides" in more else 1) + 1) // 2
    model.add("Gemm", model.last, model.random(5, 4 * side * side), transB=1)
    with pytest.raises(UnfitNetwork, match="1 thing that the chip does not have") as caught:
        understand(model.save(tmp_path / "model.onnx"))
    assert "it would fit" in str(caught.value)


def test_of_a_network_without_layers_it_is_said_what_it_was(tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    model.add("Tanh", model.add("Einsum", "x", equation="abcd->abcd"))
    with pytest.raises(UnfitNetwork, match="no layers") as caught:
        understand(model.save(tmp_path / "model.onnx"))
    assert "(Einsum)" in str(caught.value)


def put_out(*last: str) -> Float:
    """Data that is flattened with channels last, and what stands behind it."""
    model = Float(8, 4)
    model.add("MatMul", "x", model.random(4, 3))
    model.add("Flatten")
    for op in last:
        if op == "Concat":
            model.add(op, model.last, model.last, axis=1)
        elif op == "Sub":
            model.add(op, model.last, model.random(24))
        elif op == "ReduceMean":
            model.add(op, model.last, axes=[1])
        elif op == "MaxPool":
            model.add("Unsqueeze", model.last, model.whole(2))
            model.add(op, model.last, kernel_shape=[1])
        elif op == "Reshape":
            model.add(op, model.last, model.whole(1, 4, 6))
        else:
            model.add(op)
    return model


@pytest.mark.parametrize(
    "last",
    [(), ("Concat",), ("Sub",), ("Softmax",), ("ReduceMean",), ("MaxPool",), ("Relu", "Softmax"),
     ("Reshape",)],
)  # fmt: skip
def test_flat_data_in_another_order_is_put_out_in_the_chips_own(
    last: tuple[str, ...], tmp_path: Path
) -> None:
    path = put_out(*last).save(tmp_path / "model.onnx")
    x = np.random.default_rng(0).uniform(-1, 1, (24, 4, 8, 1)).astype(np.float32)
    result = quantize(path, lambda net: Calibration(x))
    assert all(error < WORST for error in result.outputs.values()), result.outputs
    wanted = "6x8 (channels, steps)" if "Concat" in last else "3x8 (channels, steps)"
    wanted = "24 values, channel by channel" if "Sub" in last else wanted
    assert any(wanted in note for note in result.notes)


def test_other_obstacles_stay_where_flat_data_is_put_out(tmp_path: Path) -> None:
    with pytest.raises(UnfitNetwork, match=r"1 thing .*\n.*Elu; nearest: Relu"):
        understand(put_out("Elu", "Sub", "Concat").save(tmp_path / "model.onnx"))


def test_what_replaces_an_activation_keeps_the_order_of_flat_data(tmp_path: Path) -> None:
    """Of a curve that is nearly a ReLU on what is positive, so that an order shows."""
    model = Float(8, 4)
    model.add("Abs", model.add("MatMul", "x", model.random(4, 3)))
    model.add("LeakyRelu", model.add("Flatten"))
    model.add("Gemm", model.last, model.random(24, 3))
    x = np.random.default_rng(0).uniform(-1, 1, (24, 4, 8, 1)).astype(np.float32)
    path = model.save(tmp_path / "model.onnx")
    result = quantize(path, lambda net: Calibration(x), approximate=True)
    assert all(error < WORST for error in result.outputs.values()), result.outputs


def test_a_quantised_linear_layer_on_every_step_is_read(tmp_path: Path) -> None:
    """Its data and its weights are dequantised."""
    model = Float(24, 10)
    step, zero = model.real(1 / 128), model.constant(np.zeros(1, np.int8))
    whole = model.constant(model.rng.integers(-128, 128, (10, 8)).astype(np.int8))
    data = model.add("DequantizeLinear", model.add("QuantizeLinear", "x", step, zero), step, zero)
    model.add("MatMul", data, model.add("DequantizeLinear", whole, step, zero))
    net, _ = understand(model.save(tmp_path / "model.onnx"))
    assert net.layout == "nlc"


def test_channels_in_front_may_be_multiplied_from_the_left(tmp_path: Path) -> None:
    model = Float(10, 24)
    model.add("Relu", model.add("MatMul", model.random(8, 10), "x"))
    model.add("MatMul", model.random(1, 6, 8), model.last)
    assert same(model.save(tmp_path / "model.onnx"), model.shape).layout == "ncl"


def product(*shape: int, turned: bool = False) -> Float:
    """A convolution and a matrix product behind it, which the chip does not have."""
    model = Float(4, 8, 8)
    given = [model.conv(4, 4, 3, 3, pads=[1] * 4), model.random(*shape)]
    model.add("MatMul", *(reversed(given) if turned else given))
    model.add("Transpose", model.conv(4, 4, 1, 1, source=model.last), perm=[0, 2, 3, 1])
    return model


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (product(8, 8), "a matrix product that is no linear layer on flat data or along"),
        (product(8, 8, turned=True), "a matrix product with the constant in front"),
        (product(4, 8, 8), r"weights of shape \[4, 8, 8\], not \[inputs, outputs\]; nearest"),
        (product(8), r"weights of shape \[8\], not \[inputs, outputs\]; nearest"),
    ],
)
def test_other_matrix_products_are_named(model: Float, said: str, tmp_path: Path) -> None:
    if said.startswith(r"weights of shape \[8"):  # it gives one axis less
        del model.nodes[2:]
        model.add("Add", "t1_0", "t1_0")
    with pytest.raises(UnfitNetwork, match=said):
        understand(model.save(tmp_path / "model.onnx"))


def test_the_memory_of_no_weights_has_no_bits(tmp_path: Path) -> None:
    model = Float(4, 8, 8)
    model.add("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2])
    model.add("MaxPool", model.add("Mul", model.last, "t0_0"), kernel_shape=[2, 2])
    with pytest.raises(UnfitNetwork, match="kernel words, "):
        understand(model.save(tmp_path / "model.onnx"))


@pytest.mark.parametrize("op", ["Gemm", "Conv"])
def test_a_bias_that_is_data_is_refused(op: str, tmp_path: Path) -> None:
    model = Float(4) if op == "Gemm" else Float(4, 8, 8)
    weight = model.random(4, 4, *([1, 1] if op == "Conv" else []))
    data = model.add("ReduceMean", "x", axes=[2, 3], keepdims=0) if op == "Conv" else "x"
    data = model.add("Reshape", data, model.whole(4))
    model.add(op, "x", weight, data)
    with pytest.raises(UserError, match="its bias is data"):
        understand(model.save(tmp_path / "model.onnx"))


@pytest.mark.parametrize("stride", [1, 2])
def test_columns_without_rows_are_convolved_and_pooled(stride: int, tmp_path: Path) -> None:
    model = Float(5, 4, 8)
    model.add("ReduceMean", "x", axes=[2], keepdims=0)
    model.conv(5, 4, 3, pads=[1, 1], strides=[stride])
    model.add("MaxPool", model.last, kernel_shape=[2], strides=[2])
    same(model.save(tmp_path / "model.onnx"), model.shape)
