"""``pose78 check`` of networks that are no students: torch modules, ONNX, floats, descriptions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import pose78
from pose78.__main__ import main
from pose78.estimator import shipped

ROOT = Path(__file__).resolve().parents[2]
PLAIN = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, inputs, outputs, kernel=3):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))

class Net(nn.Module):
    {shape}
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(Block(3, 32), nn.MaxPool2d(2), Block(32, 64{kernel}))
        self.head = nn.Linear({inputs}, 10)
    def forward(self, x):
        x = {activation}(self.body(x))
        return self.head(nn.functional.max_pool2d(x, {pool}).flatten(1))
"""
FITS = {"shape": "input_shape = (3, 32, 32)", "kernel": "", "inputs": 64, "activation": "",
        "pool": 16}  # fmt: skip
AI8X = """
import ai8x
from torch import nn

class Model(nn.Module):
    def __init__(self, num_classes=10, num_channels=3, dimensions=(32, 32), bias=False):
        super().__init__()
        self.conv1 = ai8x.FusedConv2dReLU(num_channels, 32, 3, padding=1, bias=bias)
        self.conv2 = ai8x.FusedMaxPoolConv2dReLU(32, 32, 3, padding=1, pool_size=16,
                                                pool_stride=16, bias=bias)
        self.fc = ai8x.Linear(32 * (dimensions[0] // 16) ** 2, num_classes, bias=True, wide=True)
    def forward(self, x):
        x = self.conv2(self.conv1(x))
        return self.fc(x.view(x.size(0), -1))

def model(pretrained=False, **kwargs):
    assert not pretrained
    return Model(**kwargs)
"""


def said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


def write(folder: Path, **changed: object) -> str:
    (folder / "net.py").write_text(PLAIN.format(**{**FITS, **changed}))
    return str(folder / "net.py")


def test_a_file_with_a_torch_module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its parts, which need arguments, are not taken for networks."""
    assert main(["check", write(tmp_path)]) == 0
    text = said(capsys)
    assert text.startswith("Net: ")
    assert text.endswith("fits\n")


def test_everything_the_chip_lacks_is_named_at_once_with_the_cycles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, kernel=", 5", activation="nn.functional.gelu", pool=1, inputs=64 * 256)
    assert main(["check", file, "--json"]) == 1
    answer = json.loads(said(capsys))
    text = "\n".join(answer["problems"])
    for sentence in ("a 5x5 kernel", "Gelu", "a linear layer of 16384 inputs"):
        assert sentence in text
    assert answer["cycles"] > 10_000
    assert not answer["fits"]


def test_a_module_that_does_not_say_what_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, shape="pass")
    assert main(["check", file]) == 2
    assert "Net does not say what it reads; give one input's shape" in said(capsys)
    assert main(["check", file, "--input", "3,32,32"]) == 0
    assert main(["check", file, "--input", "3,32,32", "--bits", "4"]) == 0
    said(capsys)
    assert main(["check", file, "--input", "3,32"]) == 2
    assert "torch cannot export the module" in said(capsys)
    assert main(["check", file, "--input", "three"]) == 2
    assert "--input is 'three'; give channels" in said(capsys)


def test_a_model_of_ai8x_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "model.py"
    file.write_text(AI8X)
    assert main(["check", f"{file}:model", "--input", "3,32,32"]) == 0
    assert "fits" in said(capsys)
    assert main(["check", str(file), "--input", "3,16,16"]) == 0
    said(capsys)
    file.write_text(AI8X.replace("self.conv2(self.conv1(x))", "self.conv2(self.conv1(x)).sin()"))
    assert main(["check", f"{file}:model", "--input", "3,32,32"]) == 2
    assert "sin" in said(capsys)


def test_a_module_in_python_and_bits_that_would_do() -> None:
    wide = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(),
                         *(nn.Conv2d(64, 64, 3, padding=1) for _ in range(13)))  # fmt: skip
    verdict = pose78.check(wide, (3, 32, 32))
    assert not verdict.fits
    assert verdict.hint == "with 4 bits in every layer it fits: --bits 4"
    assert verdict.hint in verdict.text()
    assert pose78.check(wide, (3, 32, 32), bits=4).fits


def test_a_float_onnx_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from quantize.ptq.module import export

    path = tmp_path / "float.onnx"
    export(
        nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()), torch.zeros(1, 3, 16, 16), path
    )
    assert main(["check", str(path)]) == 0
    assert said(capsys).startswith("float: ")


def test_checkpoints_of_floats_and_of_integers_are_the_same_network() -> None:
    floats = pose78.check(shipped()["native"].with_name("native-float.pth.tar"))
    integers = pose78.check(shipped()["native"])
    assert floats.cycles == integers.cycles
    assert floats.fits
    assert integers.fits


def test_floats_of_an_unknown_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = {"a.op.weight": torch.full((4, 4, 3, 3), 0.3)}
    torch.save({"arch": "mine", "state_dict": state, "extras": {}}, tmp_path / "f.pth.tar")
    assert main(["check", str(tmp_path / "f.pth.tar")]) == 2
    assert "does not say what its network is; name the Python file" in said(capsys)


@pytest.mark.parametrize("name", ["native", "lift", "grey"])
def test_descriptions_that_the_compiler_wrote_need_no_weights(name: str) -> None:
    described = pose78.check(ROOT / "networks" / f"{name}.yaml")
    assert described.fits
    assert described.cycles == pose78.check(shipped()[name]).cycles


def test_a_description_with_the_weights_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["check", str(ROOT / "networks" / "lift.yaml"), "--weights"]
    assert main([*given, str(shipped()["lift"])]) == 0
    said(capsys)
    assert main([*given, str(shipped()["grey"])]) == 2
    assert "error: " in said(capsys)
    assert main([*given, str(tmp_path / "missing.pth.tar")]) == 2
    assert "missing.pth.tar" in said(capsys)
