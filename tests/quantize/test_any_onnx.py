"""Typical networks from both exporters of torch: quantised, compiled, run on the kit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from common.errors import UserError
from quantize.ptq.command import write
from quantize.ptq.data import Calibration, arranged
from quantize.ptq.module import quantize_module
from quantize.ptq.net import Net
from quantize.ptq.obstacles import UnfitNetwork
from quantize.ptq.run import Result, quantize, understand
from synthesize.compiler import compile_graph, compile_network
from synthesize.graph import reference
from synthesize.read import checkpoint
from synthesize.read.onnx import network as frontend_onnx
from tests.helpers.typical import NETWORKS, Gated, exported, inputs, made
from tests.helpers.virtual import run_on_kit

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

WORST = 0.05
"""Relative error (root of summed squares) of the integer outputs to the float model's."""
every = pytest.mark.parametrize("name", sorted(NETWORKS))
_FIRST: dict[str, Result] = {}
"""By network: what the old exporter's model gave, for comparison with the others."""


def given(kind: type, count: int = 32):
    """Calibration data of a network, for :func:`quantize`."""

    def load(net: Net) -> Calibration:
        return Calibration(arranged(inputs(kind, count), net.ops["input"].shape, net.layout))

    return load


def quantized(name: str, path: Path, opset: int = 17, dynamo: bool = False) -> Result:
    kind = NETWORKS[name]
    return quantize(exported(made(kind), path, opset, dynamo), given(kind))


def sample_of(result: Result, kind: type) -> np.ndarray:
    """One input as the bytes of the chip."""
    real = arranged(inputs(kind, 1, 5), result.student.spec.input_shape, "nchw")[0]
    steps = np.floor(real / result.factors["input"] * 128 + 0.5)
    return np.clip(steps, -128, 127).astype(np.int8)


@every
def test_it_compiles_and_the_kit_computes_what_was_measured(name: str, tmp_path: Path) -> None:
    result = quantized(name, tmp_path / "model.onnx")
    assert all(error < WORST for error in result.outputs.values()), result.outputs
    assert min(result.layers.values()) > 20
    write(result, tmp_path / "q.onnx")
    read = frontend_onnx.load(tmp_path / "q.onnx")
    assert read.notes == ()
    sample = sample_of(result, NETWORKS[name])
    with torch.no_grad():
        wanted = result.student(torch.from_numpy(sample)[None].double())
    found, _ = run_on_kit(compile_graph(read.graph).program, sample)
    for value, words in zip(wanted, found.values(), strict=True):
        assert np.array_equal(words.reshape(-1), value.numpy().reshape(-1))


@every
@pytest.mark.parametrize(
    ("opset", "dynamo"), [(13, False), (20, False), (13, True), (17, True), (18, True), (20, True)]
)
def test_every_exporter_and_opset_gives_the_same_network(
    name: str, opset: int, dynamo: bool, tmp_path: Path
) -> None:
    if dynamo:
        pytest.importorskip("onnxscript", reason="torch's new exporter needs onnxscript")
    if name not in _FIRST:
        _FIRST[name] = quantized(name, tmp_path / "first.onnx")
    first = _FIRST[name]
    again = quantized(name, tmp_path / "again.onnx", opset, dynamo)
    written = onnx.load(str(tmp_path / "again.onnx")).opset_import[0].version
    assert written == opset or (dynamo and opset < 18)  # the new exporter may stay at 18
    assert [s.op for s in first.student.spec.layers] == [s.op for s in again.student.spec.layers]
    assert list(again.outputs.values()) == pytest.approx(list(first.outputs.values()), abs=0.01)


@pytest.mark.parametrize("name", ["residual", "keywords"])
def test_a_checkpoint_is_the_same_program(name: str, tmp_path: Path) -> None:
    result = quantized(name, tmp_path / "model.onnx")
    write(result, tmp_path / "q.pth.tar")
    compiled = compile_network(checkpoint.load(tmp_path / "q.pth.tar"))
    sample = sample_of(result, NETWORKS[name])
    with torch.no_grad():
        (wanted,) = result.student(torch.from_numpy(sample)[None].double())
    (found,) = reference.run(compiled.legal, sample).values()
    assert np.array_equal(found.reshape(-1), wanted.numpy().reshape(-1))
    with pytest.raises(UserError, match=r"\.onnx or \.pth\.tar"):
        write(result, tmp_path / "q.txt")


def test_everything_in_the_way_is_listed_at_once(tmp_path: Path) -> None:
    path = exported(made(Gated), tmp_path / "gated.onnx")
    with pytest.raises(UnfitNetwork) as caught:
        understand(path)
    said = str(caught.value).splitlines()
    assert "3 things that the chip does not have" in said[0]
    assert "5x5 kernel" in said[1]
    assert "two of them see 5x5" in said[1]
    assert "HardSwish" in said[2]
    assert "nearest: Relu" in said[2]
    assert "squeeze and excitation" in said[3]
    assert "--approximate replaces 1 of them" in said[4]
    assert "it would fit" in said[5]


class Everything(torch.nn.Module):
    """Too wide, too many channels, dilated, curved, and a residual sum around 9 taps."""

    shape = (4, 24, 24)

    def __init__(self) -> None:
        super().__init__()
        self.wide = torch.nn.Conv2d(4, 1100, 1)
        self.dilated = torch.nn.Conv2d(1100, 8, 3, padding=2, dilation=2)
        self.five = torch.nn.Conv2d(8, 8, 5, padding=2)
        self.head, self.last = torch.nn.Linear(8 * 144, 1030), torch.nn.Linear(1030, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.dilated(self.wide(x)))
        x = torch.nn.functional.max_pool2d(x + self.five(x), 2)
        return self.last(torch.relu(self.head(x.flatten(1))))


def test_obstacles_and_broken_rules_are_one_list(tmp_path: Path) -> None:
    path = exported(Everything().eval(), tmp_path / "m.onnx")
    with pytest.raises(UnfitNetwork) as caught:
        understand(path)
    said = str(caught.value)
    for word in ("dilation [2, 2]", "Tanh; nearest: limits", "5x5 kernel", "linear layer of 1152"):
        assert word in said
    assert "1030 inputs" in said
    assert "1100" in said
    assert "cannot combine" not in said  # what stands in for an obstacle has its size
    assert "would still not fit" in said


def test_a_limit_that_the_chip_has_is_kept(tmp_path: Path) -> None:
    """ReLU6 becomes the end of the 8-bit range."""
    result = quantized("six", tmp_path / "six.onnx")
    assert not any("limits" in note for note in result.notes)
    first = next(op for op in result.net.ops.values() if op.activation == "relu")
    assert first.high == 6


def test_eight_bits_that_do_not_fit_are_mixed(tmp_path: Path) -> None:
    """A network of 576,000 weights gets fewer bits where it costs least."""
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = [torch.nn.Conv2d(3, 64, 3, 2, 1), torch.nn.ReLU()]
    for _ in range(4):
        layers += [torch.nn.Conv2d(layers[-2].out_channels, 128, 3, 2 if _ == 0 else 1, 1)]  # type: ignore[arg-type]
        layers += [torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers, torch.nn.Conv2d(128, 4, 1))
    network.shape = (3, 16, 16)  # type: ignore[assignment]
    path = exported(network.eval(), tmp_path / "large.onnx")
    data = np.random.default_rng(0).uniform(-1, 1, (8, 3, 16, 16)).astype(np.float32)
    result = quantize(path, lambda net: Calibration(data))
    assert len(set(result.allocation.bits.values())) > 1
    assert result.allocation.fullest <= 768
    assert all(error < 0.5 for error in result.outputs.values())
    with pytest.raises(UserError, match="words"):
        quantize(path, lambda net: Calibration(data), widths=(8,))


def test_a_torch_module_goes_the_same_way(tmp_path: Path) -> None:
    kind = NETWORKS["keywords"]
    network = made(kind)
    data = inputs(kind, 24)
    with torch.no_grad():
        labels = network(torch.from_numpy(data)).argmax(1).numpy()
    result = quantize_module(
        network, torch.zeros(1, 20, 64), data, tmp_path / "q.onnx", labels, widths=(8,)
    )
    assert result.accuracy is not None
    assert result.accuracy[0] == 1.0
    assert (tmp_path / "q.onnx").is_file()
    with pytest.raises(UserError, match="reads N x"):
        quantize_module(network, torch.zeros(1, 20, 64), data[:, :10])
    with pytest.raises(UserError, match="NaN"):
        quantize_module(network, torch.zeros(1, 20, 64), data * np.nan)


class Uneven(torch.nn.Module):
    """Pooling with unequal strides, and a global mean whose window depends on its result."""

    shape = (1, 15, 11)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.avg_pool2d(self.first(x), (5, 2), (1, 2))
        return self.head(x.mean((2, 3)))


def test_pooling_that_the_chip_lacks_hides_nothing_and_breaks_nothing_behind(
    tmp_path: Path,
) -> None:
    path = exported(Uneven().eval(), tmp_path / "m.onnx")
    with pytest.raises(UnfitNetwork) as caught:
        understand(path)
    assert "1 thing that the chip does not have" in str(caught.value)
    assert "pooling strides [1, 2]" in str(caught.value)
    assert "If these were solved, it would fit" in str(caught.value)


def test_weights_in_a_file_beside_the_model_are_read(tmp_path: Path) -> None:
    kind = NETWORKS["residual"]
    path = exported(made(kind), tmp_path / "whole.onnx")
    onnx.save(onnx.load(str(path)), str(tmp_path / "model.onnx"), save_as_external_data=True,
              location="model.onnx.data", size_threshold=0)  # fmt: skip
    whole, parted = (quantize(p, given(kind)) for p in (path, tmp_path / "model.onnx"))
    assert list(parted.outputs.values()) == list(whole.outputs.values())
