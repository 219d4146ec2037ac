"""A large error is remarked on, with the layer in which it arises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import UserError
from quantize.__main__ import main
from quantize.ptq import evaluate, remarks, run
from quantize.ptq.data import Calibration
from quantize.ptq.fuse import fuse
from quantize.ptq.read.reader import read
from quantize.ptq.run import Result, quantize
from tests.helpers.float_models import Float
from tests.helpers.typical import exported

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


class Steep(nn.Module):
    """Weights of the second convolution cancel one another but for a thousandth."""

    shape = (1, 16, 16)

    def __init__(self, rest: float) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, 1, 1), nn.Conv2d(8, 8, 1, bias=False)
        self.last = nn.Conv2d(8, 2, 3, 1, 1)
        with torch.no_grad():
            self.first.weight.copy_(self.first.weight[:1].expand(8, 1, 3, 3))
            self.first.bias.zero_()
            signs = torch.tensor([1.0, -1.0]).repeat(4)
            self.second.weight.copy_((signs + rest)[None, :, None, None].expand(8, 8, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.second(torch.relu(self.first(x)))))


def quantized(folder: Path, rest: float) -> Result:
    torch.manual_seed(0)
    path = exported(Steep(rest).eval(), folder / "model.onnx")
    data = np.random.default_rng(0).uniform(-1, 1, (16, 1, 16, 16)).astype(np.float32)
    return quantize(path, lambda net: Calibration(data))


def remarked(result: Result) -> list[str]:
    return [note for note in result.notes if "of its spread" in note]


def test_the_layer_that_loses_the_signal_is_named(tmp_path: Path) -> None:
    (said,) = remarked(quantized(tmp_path, 0.001))
    assert "most of it arises in layer second_Conv" in said
    assert "more bits" in said


def test_a_small_error_is_not_remarked_on(tmp_path: Path) -> None:
    assert remarked(quantized(tmp_path, 1.0)) == []


def unlike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every model give the opposite of what it does."""
    whole = run.model_outputs
    monkeypatch.setattr(run, "model_outputs", lambda *given: [-out for out in whole(*given)])


def test_a_network_unlike_its_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unlike(monkeypatch)
    with pytest.raises(UserError, match="before anything is rounded: what was read of the model"):
        quantized(tmp_path, 1.0)
    data, out = tmp_path / "data.npy", tmp_path / "q.onnx"
    np.save(data, np.random.default_rng(0).uniform(-1, 1, (16, 1, 16, 16)).astype(np.float32))
    given = ["--calibrate", str(data), "-o", str(out)]
    assert main([str(tmp_path / "model.onnx"), *given]) == 2
    assert "please report it" in capsys.readouterr().err
    assert not out.exists()


def test_what_was_replaced_may_be_unlike_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replacement is what was asked for; how far it is off is what is to be known of it."""
    unlike(monkeypatch)
    model = Float(3, 8, 8)
    model.conv(3, 4, 3, 3)
    model.add("Elu")
    model.conv(4, 2, 3, 3)
    data = np.random.default_rng(0).uniform(-1, 1, (16, 3, 8, 8)).astype(np.float32)
    path = model.save(tmp_path / "model.onnx")
    (said,) = remarked(quantize(path, lambda net: Calibration(data), approximate=True))
    assert "node Elu1 (Elu) and what stands for it are that far apart" in said


def test_noise_of_an_output_that_is_nearly_the_same_is_no_misreading(tmp_path: Path) -> None:
    """A spread as small as a float's last bit says nothing of an error as small."""
    model = Float(3, 8, 8)
    model.conv(3, 4, 3, 3)
    net = fuse(read(model.save(tmp_path / "model.onnx")))
    x = np.random.default_rng(0).uniform(-1, 1, (8, 3, 8, 8)).astype(np.float32)
    (name, op) = net.outputs[0]
    net.ops[op].weight, net.ops[op].bias = net.ops[op].weight * 1e-7, np.full(4, 3.0)
    truth = evaluate.outputs(net, torch.from_numpy(x))[name].numpy()
    net.ops[op].bias = np.full(4, 3.00001)
    assert remarks.unlike(net, x, name, truth) == 0.0
    net.ops[op].bias = np.full(4, 3.1)
    assert remarks.unlike(net, x, name, truth) > remarks.LARGE


def test_outputs_are_judged_by_how_far_they_go_from_their_mean() -> None:
    truth = np.array([[10.0, 1.0], [10.2, 1.2]])
    assert remarks.share(truth + 0.1, truth) == pytest.approx(1.0)
    assert remarks.share(truth + 0.1, np.ones_like(truth)) == 0.0
