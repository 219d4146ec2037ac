"""Models written for ai8x-training: imported, traced and quantised."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ai8x_models import ai8x
from ai8x_models.trace import TraceError, trace
from common.errors import UserError
from quantize.__main__ import main
from quantize.project import load_model, load_weights
from synthesize.compiler import compile_network
from synthesize.graph import reference
from synthesize.read import checkpoint

MODEL = """
import torch
from torch import nn

import ai8x


class Net(nn.Module):
    def __init__(self, num_classes=5, num_channels=3, dimensions=(16, 16), bias=False, **kwargs):
        super().__init__()
        self.conv1 = ai8x.FusedConv2dBNReLU(num_channels, 16, 3, padding=1, bias=True, **kwargs)
        self.conv2 = ai8x.FusedMaxPoolConv2dBNReLU(16, 16, 3, padding=1, bias=True, **kwargs)
        self.conv3 = ai8x.Conv2d(16, 16, 1, bias=bias, **kwargs)
        self.resid = ai8x.Add()
        self.up = ai8x.FusedConvTranspose2dReLU(16, 8, 3, stride=2, padding=1, bias=bias, **kwargs)
        self.pool = ai8x.AvgPool2d(4, **kwargs)
        self.drop = nn.Dropout(0.3)
        self.fc = ai8x.Linear(24 * 16, num_classes, bias=bias, wide=True, **kwargs)

    def forward(self, x):
        x = self.conv1(x)
        y = self.conv2(x)
        z = self.resid(y, self.conv3(y))
        x = torch.cat((x, self.up(z)), dim=1)
        x = self.drop(self.pool(x))
        x = x.view(x.size(0), -1)
        return self.fc(x)


def mynet(pretrained=False, **kwargs):
    assert not pretrained
    return Net(**kwargs)
"""


def project(folder: Path, qat: bool, seed: int = 0) -> tuple[Path, Path, nn.Module]:
    """A model's file, a checkpoint of it, and the model itself."""
    path = folder / "mynet.py"
    path.write_text(MODEL)
    torch.manual_seed(seed)
    model = load_model(f"{path}:mynet", (3, 16, 16), {"fc.op.bias": 0})
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(data(16))
    if qat:
        ai8x.fuse_bn_layers(model)
        ai8x.initiate_qat(model, {"weight_bits": 8, "overrides": {"conv2": {"weight_bits": 4}}})
    stored = folder / "checkpoint.pth.tar"
    torch.save({"epoch": 7, "arch": "mynet", "state_dict": model.state_dict()}, stored)
    return path, stored, model.eval()


def data(count: int) -> Tensor:
    return torch.randint(-128, 128, (count, 3, 16, 16)) / 128


def test_a_qat_checkpoint_runs_on_the_chip_as_it_was_trained(tmp_path: Path) -> None:
    path, stored, model = project(tmp_path, qat=True)
    out = tmp_path / "q.pth.tar"
    assert (
        main(["project", f"{path}:mynet", str(stored), "--input", "3,16,16", "-o", str(out)]) == 0
    )
    compiled = compile_network(checkpoint.load(out))
    assert {layer.bits for layer in compiled.described.layers if layer.name == "conv2"} == {4}
    x = data(1)
    with torch.no_grad():
        wanted = (model.double()(x.double()) * 2.0**14).flatten().numpy()
    (found,) = reference.run(compiled.legal, (x[0] * 128).numpy().astype(np.int64)).values()
    assert np.array_equal(found.flatten(), wanted)
    assert "ai8x" not in sys.modules


def test_a_float_checkpoint_is_calibrated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, stored, model = project(tmp_path, qat=False)
    out, inputs = tmp_path / "q.pth.tar", tmp_path / "inputs.npy"
    arguments = ["project", f"{path}:mynet", str(stored), "--input", "3,16,16", "-o", str(out)]
    assert main(arguments) == 2
    assert "give inputs with --calibrate" in capsys.readouterr().err
    np.save(inputs, data(32).numpy())
    assert main([*arguments, "--calibrate", str(inputs)]) == 0
    read = checkpoint.load(out)
    x = data(1)
    with torch.no_grad():
        wanted = model(x).flatten().numpy()
    graph = compile_network(read).described
    (found,) = reference.run(graph, (x[0] * 128).numpy().astype(np.int64)).values()
    (scale,) = read.extras["output_scale"].values()
    error = np.linalg.norm(found.flatten() * scale - wanted) / np.linalg.norm(wanted)
    # Measured 0.105: such models fix the range of all data, of which a random one fills little.
    assert error < 0.12


def test_a_traced_student_computes_the_model(tmp_path: Path) -> None:
    _, _, model = project(tmp_path, qat=False)
    student = trace(model, (3, 16, 16))
    x = data(4)
    with torch.no_grad():
        torch.testing.assert_close(student(x)[0].flatten(1), model(x))
    kinds = [spec.op for spec in student.spec.layers]
    assert kinds.count("passthrough") == 2
    assert kinds.count("convtranspose2d") == 1


class Odd(nn.Module):
    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.conv = what, ai8x.Conv2d(3, 4, 1)
        self.plain, self.again = nn.Conv2d(4, 4, 1), ai8x.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.what == "tanh":
            return self.again(torch.tanh(x))
        if self.what == "module":
            return self.plain(x)
        if self.what == "method":
            return self.again(x.sigmoid())
        if self.what == "view":
            return self.again(x.view(x.size(0), x.shape[1], 4, -1))
        if self.what == "nothing":
            return torch.ones(1)
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("tanh", "tanh is not possible"),
        ("module", "plain (Conv2d) is no layer of the chip"),
        ("method", ".sigmoid() is not possible"),
        ("view", "view to [4, 4, 16] is not possible"),
        ("nothing", "no layer computes it"),
        ("branch", "graph cannot be read"),
    ],
)
def test_what_no_layer_computes_is_named(what: str, said: str) -> None:
    with pytest.raises(TraceError) as caught:
        trace(Odd(what), (3, 8, 8))
    assert said in str(caught.value)


class Ends(nn.Module):
    """Asks for sizes, has an option, and ends with what the application computes."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = ai8x.Conv2d(3, 4, 1), ai8x.Conv2d(3, 8, 3, padding=1)
        self.line, self.soft = ai8x.Linear(4 * 64, 6), ai8x.SoftwareLinear(6, 2, bias=True)

    def forward(self, x: Tensor, early: bool = False) -> Tensor | dict[str, Tensor]:
        if x.shape[1] == 6:
            x = x[:, :3]
        a, b = self.one(x), self.two(x)
        if early:
            return a
        boxes = b.permute(0, 2, 3, 1).reshape(b.size(0), -1, 4)
        return {"classes": self.soft(self.line(a.flatten(1))), "boxes": torch.tanh(boxes)}


def test_what_comes_last_is_left_to_the_application() -> None:
    notes: list[str] = []
    model, x = Ends(), data(2)[..., :8, :8]
    student = trace(model, (3, 8, 8), note=notes.append)
    assert student.spec.outputs == ("line", "two")
    assert [note.partition(" comes last")[0] for note in notes] == [
        "soft (SoftwareLinear)", "permute: .permute()", "tanh: tanh",
    ]  # fmt: skip
    with torch.no_grad():
        line, two = student(x)
        torch.testing.assert_close(line.flatten(1), model.line(model.one(x).flatten(1)))
        torch.testing.assert_close(two, model.two(x))


def test_other_files_of_the_project_are_found_and_forgotten(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "parts_of_it.py").write_text("import ai8x\n\nLayer = ai8x.Conv2d\n")
    path = tmp_path / "models" / "net.py"
    path.write_text(
        "from parts_of_it import Layer\n\n\ndef net(bias):\n    return Layer(3, 4, 1)\n"
    )
    known = set(sys.modules)
    assert isinstance(load_model(f"{path}:net", (3, 8, 8), {}), ai8x.Conv2d)
    assert "parts_of_it" not in sys.modules
    assert "ai8x" not in sys.modules
    assert known <= set(sys.modules)


@pytest.mark.parametrize(
    ("named", "shape", "said"),
    [
        ("missing.py:x", "3,16,16", "name a Python file"),
        ("{path}", "3,16,16", "name a Python file"),
        ("{path}:other", "3,16,16", "holds no model 'other'"),
        ("{path}:mynet", "3,16", "cannot"),
        ("{path}:mynet", "a,b", "--input a,b"),
        ("{path}:mynet", "1,16,16", "conv1.op.weight is 16x3x3x3, the model's 16x1x3x3;"),
    ],
)
def test_wrong_names_are_refused(
    named: str, shape: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, stored, _ = project(tmp_path, qat=True)
    out = tmp_path / "q.pth.tar"
    model = named.format(path=path)
    assert main(["project", model, str(stored), "--input", shape, "-o", str(out)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_weights_of_another_model_are_told_in_our_words(tmp_path: Path) -> None:
    _, stored, model = project(tmp_path, qat=False)
    state = torch.load(stored, weights_only=True)["state_dict"]
    load_weights(model, state, "a.pth.tar")
    strange = {f"encoder.{key}": value for key, value in state.items()}
    with pytest.raises(UserError) as caught:
        load_weights(model, strange, "a.pth.tar")
    said = str(caught.value)
    assert "there is no conv1.op.weight (and " in said
    assert "the model has no encoder.conv1.op.weight (and " in said
    assert "state_dict" not in said
    assert len(said) < 300
