"""``pose78 check`` of networks that are no students: torch modules, ONNX, floats, descriptions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import pose78
from ai8x_models.spec.layer import LayerSpec
from ai8x_models.student_file import save_student
from ai8x_models.students import Student, StudentSpec
from pose78.__main__ import main
from pose78.shipped import shipped

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
    assert "Net does not take 3x32: layer body.0.conv (Conv2d) reads 3 channels" in said(capsys)
    assert main(["check", file, "--input", "three"]) == 2
    assert "--input is 'three'; give channels" in said(capsys)


def test_a_model_of_ai8x_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "model.py"
    file.write_text(AI8X)
    assert main(["check", f"{file}:model", "--input", "3,32,32"]) == 0
    assert "fits" in said(capsys)
    assert main(["check", str(file), "--input", "3,16,16"]) == 0
    said(capsys)
    assert main(["check", f"{file}:Model", "--input", "1,32,32"]) == 0
    said(capsys)
    file.write_text(AI8X.replace("num_channels, 32, 3", "3, 32, 3"))
    assert main(["check", f"{file}:model", "--input", "1,32,32"]) == 2
    text = said(capsys)
    assert "layer conv1 (FusedConv2dReLU) reads 3 channels and is given 1x32x32" in text
    assert "Given groups" not in text


def test_everything_between_the_layers_of_a_model_is_named_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    between = AI8X.replace("self.conv1(x)", "self.odd(self.conv1(x).sin().cos())").replace(
        "self.fc = ", "self.odd = nn.Conv2d(32, 32, 5, padding=2)\n        self.fc = "
    )
    file = tmp_path / "model.py"
    file.write_text(between)
    assert main(["check", f"{file}:model", "--input", "3,32,32", "--json"]) == 1
    answer = json.loads(said(capsys))
    named = "\n".join(answer["problems"])
    for sentence in ("sin() is not possible", "cos() is not possible", "odd (Conv2d) is no layer"):
        assert sentence in named
    assert len(answer["problems"]) == 3
    assert answer["cycles"] > 10_000


def test_what_is_left_to_the_application_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.py"
    file.write_text(AI8X.replace("x.size(0), -1))", "x.size(0), -1)).sin().cos()"))
    assert main(["check", f"{file}:model", "--input", "3,32,32"]) == 0
    text = said(capsys)
    assert text.count("note: ") == 2
    assert "sin" in text
    last = write(tmp_path, activation="").replace("net.py", "last.py")
    plain = Path(last).with_name("net.py").read_text()
    Path(last).write_text(plain.replace("flatten(1))", "flatten(1)).sin()"))
    assert main(["check", last]) == 0
    assert "(Sin): Sin comes last and is left to the application" in said(capsys)


def test_a_line_of_the_module_that_fails_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, activation="undefined")
    assert main(["check", file]) == 2
    text = said(capsys)
    assert "NameError" in text
    assert "net.py line " in text


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--student", "native", "--input", "3,64,64"], "says its input itself"),
        (["--student", "lift", "--weights", "x.npz"], "--weights goes with a network description"),
        ([str(shipped()["lift"]), "--bits", "4"], "whose bits are settled"),
        ([str(ROOT / "networks" / "lift.yaml"), "--bits", "4"], "says its weight bits itself"),
    ],
)
def test_options_that_would_change_nothing_are_refused(
    given: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *given]) == 2
    assert sentence in said(capsys)


def test_a_limit_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    wide = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1))
    problems = pose78.check(wide, (3, 256, 256)).problems
    assert problems
    assert not [p for p in problems for other in problems if p != other and p in other]


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


@pytest.mark.parametrize(
    ("name", "value", "said_so"),
    [
        ("a.op.weight", torch.zeros(1).expand(20_000, 20_000, 3, 3), "more than the file holds"),
        ("a.op.weight", torch.eye(4).to_sparse(), "no plain tensor"),
        ("a.op.weight", torch.eye(4).to(torch.float8_e4m3fn), "no plain tensor"),
        ("a.op.weight", torch.eye(4, device="meta"), "no plain tensor"),
        ("a.op.weight", [1.5], "no plain tensor"),
        ((1, 2), torch.eye(4), "no name of a tensor"),
    ],
)
def test_what_is_no_tensor_of_a_checkpoint_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: object, value: object, said_so: str
) -> None:
    path = tmp_path / "odd.pth.tar"
    torch.save({"arch": "mine", "state_dict": {name: value}, "extras": {}}, path)
    assert main(["check", str(path)]) == 2
    said = capsys.readouterr().err
    assert said_so in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_do_not_fit(
    wrong: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = StudentSpec("s", (3, 8, 8), (LayerSpec("a", "input", 3, 4),), ("a",))
    student = Student(spec)
    with torch.no_grad():
        student.a.op.weight[0, 0, 0, 0] = wrong
    save_student(student, tmp_path / "s.pth.tar", 0, {})
    assert main(["check", str(tmp_path / "s.pth.tar")]) == 2
    assert "'a.op.weight' holds NaN or infinity: its training went wrong" in said(capsys)
