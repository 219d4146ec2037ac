"""Layers that take part in several sums and concatenations: one factor for all that is added."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quantize.ptq.command import write
from quantize.ptq.data import Calibration, arranged
from quantize.ptq.net import Net
from quantize.ptq.run import Result, quantize, understand
from synthesize.compiler import compile_graph
from synthesize.read.onnx import network as frontend_onnx
from tests.helpers.float_models import Float
from tests.helpers.typical import exported, inputs, made
from tests.helpers.virtual import run_on_kit

runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


class Chain(nn.Module):
    """Residual sums one behind the other, of branches that differ tenfold."""

    shape = (3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 4, 1)
        self.one, self.two, self.three = (nn.Conv2d(8, 8, 3, 1, 1) for _ in range(3))
        with torch.no_grad():
            self.one.weight.mul_(3)
            self.three.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = x + F.relu(self.one(x))
        x = x + F.relu(self.two(x))
        return self.last(x + F.relu(self.three(x)))


class Joined(Chain):
    """A concatenation of sums that share a part, which is added to once more."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.last = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        first, second = x + F.relu(self.one(x)), x + F.relu(self.two(x))
        both = torch.cat([first, second], 1)
        return self.last(both + F.relu(self.wide(both)))


class Pooled(Chain):
    """Pooled data is added, and what was pooled too."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = x + self.one(x)
        y = F.max_pool2d(x, 2)
        return self.last(y + self.two(y) - F.max_pool2d(self.three(x), 2))


KINDS = (Chain, Joined, Pooled)


def given(kind: type[nn.Module]):
    """Calibration data, for :func:`quantize`."""

    def load(net: Net) -> Calibration:
        return Calibration(arranged(inputs(kind, 32), net.ops["input"].shape, net.layout))

    return load


def of_kit(result: Result, path: Path, kind: type[nn.Module]) -> tuple[np.ndarray, np.ndarray]:
    """What the kit computes of one input, and what the integer student does."""
    write(result, path)
    real = arranged(inputs(kind, 1, 5), result.student.spec.input_shape, "nchw")[0]
    steps = np.floor(real / result.factors["input"] * 128 + 0.5)
    sample = np.clip(steps, -128, 127).astype(np.int8)
    found, _ = run_on_kit(compile_graph(frontend_onnx.load(path).graph).program, sample)
    with torch.no_grad():
        (wanted,) = result.student(torch.from_numpy(sample)[None].double())
    (words,) = found.values()
    return words.reshape(-1), wanted.numpy().reshape(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_is_added_stands_for_the_same(kind: type[nn.Module], tmp_path: Path) -> None:
    result = quantize(exported(made(kind), tmp_path / "model.onnx"), given(kind))
    assert all(error < 0.05 for error in result.outputs.values()), result.outputs
    found, wanted = of_kit(result, tmp_path / "q.onnx", kind)
    assert np.array_equal(found, wanted)


class Batches:
    """Calibration data for onnxruntime's quantiser."""

    def __init__(self, name: str, kind: type[nn.Module]) -> None:
        self.left = iter([{name: one[None]} for one in inputs(kind, 8)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_file_has_no_layer_more(
    kind: type[nn.Module], symmetric: bool, tmp_path: Path
) -> None:
    """Scales of its own, equal or not, and integers that cannot be negative ask for none."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    path = exported(made(kind), tmp_path / "model.onnx")
    net, lowered = understand(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantization.quantize_static(
            str(path), str(tmp_path / "qdq.onnx"), Batches(net.input_name, kind),
            quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options={"ActivationSymmetric": symmetric},
        )  # fmt: skip
    _, again = understand(tmp_path / "qdq.onnx")
    assert sorted(s.op for s in again.spec.layers) == sorted(s.op for s in lowered.spec.layers)
    result = quantize(tmp_path / "qdq.onnx", given(kind))
    assert all(error < 0.06 for error in result.outputs.values()), result.outputs


def test_a_limit_of_a_positive_sum_is_that_of_the_chip(tmp_path: Path) -> None:
    """onnxruntime leaves out the Clip at 6 behind a sum; its integers end there."""
    model = Float(4, 8, 8)
    parts = [model.add("Relu", model.conv(4, 4, 3, 3, source="x", pads=[1] * 4)) for _ in range(2)]
    model.add("Add", *parts)
    step, zero = model.real(1.5 / 255), model.constant(np.array(-128, np.int8))
    whole = model.add("QuantizeLinear", model.last, step, zero)
    model.add("DequantizeLinear", whole, step, zero)
    model.conv(4, 4, 1, 1)
    path = model.save(tmp_path / "model.onnx")
    _, lowered = understand(path)
    assert [s.op for s in lowered.spec.layers] == ["conv2d", "conv2d", "conv2d"]
    data = np.random.default_rng(3).uniform(-1, 1, (16, 4, 8, 8)).astype(np.float32)
    result = quantize(path, lambda net: Calibration(data))
    (error,) = result.outputs.values()
    remarked = any("are not the chip's" in note for note in result.notes)
    assert error < 0.06 or remarked, (error, result.notes)
