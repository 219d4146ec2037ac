"""The worked example of docs/own-network.md: drawn shapes, from a float classifier to the chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import LayerSpec, Student, StudentSpec
from distill.tasks.own import finetune, shapes
from quantize.__main__ import main as quantize
from quantize.integer import to_integer
from synthesize.__main__ import main as synthesize
from tests.helpers.typical import NETWORKS, exported, inputs, made

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


class Shapes(nn.Module):
    """A classifier as one writes it without thinking of a chip."""

    shape = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, outputs in ((3, 16), (16, 32), (32, 48)):
            layers += [nn.Conv2d(before, outputs, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.ReLU6(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers, nn.Conv2d(48, 48, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(48, len(shapes.CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.log_softmax(self.head(F.adaptive_avg_pool2d(self.body(x), 1).flatten(1)), 1)


def real(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures.transpose(0, 3, 1, 2).astype(np.float32) - 128) / 128


def trained(count: int, epochs: int) -> nn.Module:
    torch.manual_seed(0)
    pictures, labels = shapes.pictures(count)
    data, wanted = real(pictures), torch.from_numpy(labels)
    network = Shapes()
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    fade = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for chosen in torch.randperm(count).split(32):
            loss = F.nll_loss(network(data[chosen]), wanted[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        fade.step()
    return network.eval()


def accuracy_of(line: str) -> tuple[float, float]:
    """Model and integer accuracy of what the command said."""
    words = line.split("right class: model ")[1].split()
    return float(words[0]), float(words[3])


@pytest.mark.long
def test_eight_bits_lose_less_than_a_point_and_four_are_won_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(trained(2400, 12), tmp_path / "shapes.onnx")
    shapes.write(tmp_path / "photos", 600, seed=1)
    shapes.write(tmp_path / "fresh", 600, seed=2)
    arguments = [str(tmp_path / "shapes.onnx"), "--calibrate", str(tmp_path / "photos"),
                 "--judge", str(tmp_path / "fresh"), "--count", "600"]  # fmt: skip
    floating = str(tmp_path / "float.pth.tar")
    assert quantize([*arguments, "-o", str(tmp_path / "q.onnx"), "--float", floating]) == 0
    model, integer = accuracy_of(capsys.readouterr().out)
    assert model > 85
    assert integer >= model - 1
    assert synthesize(["check", str(tmp_path / "q.onnx")]) == 0
    assert quantize([*arguments, "-o", str(tmp_path / "q4.onnx"), "--bits", "4"]) == 0
    _, untrained = accuracy_of(capsys.readouterr().out)
    shapes.write(tmp_path / "more", 1200)
    qat = str(tmp_path / "qat.pth.tar")
    assert finetune.main([floating, "--data", str(tmp_path / "more"), "--bits", "4", "--out", qat,
                          "--epochs", "6", "--rate", "1e-3"]) == 0  # fmt: skip
    won = share_right(Path(qat))
    with capsys.disabled():
        print(
            f"\n{model} % float, {integer} % at 8 bits; at 4 bits {untrained} %, tuned {won:.1f} %"
        )
    # Seen on two processors: 84.7 to 90.3 and 89.8 to 90.5, with 90.8 and 91.8 in float.
    assert won > max(untrained, model - 2)


def share_right(path: Path) -> float:
    """Accuracy of the integer student on fresh shapes, in percent."""
    student, _ = load_student(path)
    pictures, labels = shapes.pictures(600, seed=2)
    to_integer(student)
    with torch.no_grad():
        (found,) = student((real(pictures) * 128).double())
    return 100 * float((found.flatten(1).argmax(1).numpy() == labels).mean())


def test_shapes_differ_by_class_and_repeat_by_seed() -> None:
    first, labels = shapes.pictures(12)
    again, _ = shapes.pictures(12)
    other, _ = shapes.pictures(12, seed=1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (12, 32, 32, 3)
    assert list(labels) == [0, 1, 2, 3, 4, 5] * 2
    areas = {}
    for kind in shapes.CLASSES:
        y, x = np.mgrid[-1.2:1.2:200j, -1.2:1.2:200j]
        areas[kind] = float((shapes._distance(kind, x, y) < 0).mean())
    assert len({round(area, 2) for area in areas.values()}) == 6
    assert areas["ring"] < areas["circle"]


def test_fine_tuning_lowers_the_error_of_few_bits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    kind = NETWORKS["six"]
    data = inputs(kind, 48)
    np.save(tmp_path / "data.npy", data)
    model = str(exported(made(kind), tmp_path / "six.onnx"))
    floating, qat = tmp_path / "float.pth.tar", tmp_path / "qat.pth.tar"
    given = ["--calibrate", str(tmp_path / "data.npy")]
    assert quantize([model, *given, "-o", str(tmp_path / "q.onnx"), "--float", str(floating)]) == 0
    options = ["--data", str(tmp_path / "data.npy"), "--bits", "2", "--rate", "5e-3"]
    teacher, stored = load_student(floating)
    x = torch.from_numpy(data) / stored["extras"]["real_value_of_one"]["input"]
    errors = []
    for epochs in (1, 60):
        out = ["--out", str(qat), "--epochs", str(epochs)]
        assert finetune.main([str(floating), *options, *out]) == 0
        student, _ = load_student(qat)
        assert {int(layer.weight_bits) for _, layer in student.layers()} == {2}
        with torch.no_grad():
            errors.append(float((student.maps(x)[0] - teacher(x)[0]).square().mean()))
    # Measured 0.091 after 0.100: biases are corrected before the first epoch, and little is left to
    # win at 2 bits; what training wins back in accuracy the long test above shows.
    assert errors[1] < 0.93 * errors[0]
    assert quantize(["convert", str(qat), str(tmp_path / "q.pth.tar")]) == 0
    assert synthesize(["check", str(tmp_path / "q.pth.tar")]) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--epochs", "0"], "0 is not a whole number of at least 1"),
        (["--rate", "-1"], "-1 is not a number above 0"),
    ],
)
def test_fine_tuning_refuses_what_cannot_train(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = StudentSpec("s", (3, 8, 8), (LayerSpec("a", "input", 3, 4, batchnorm=False),), ("a",))
    save_student(Student(spec), tmp_path / "f.pth.tar", 0, {})
    given = [str(tmp_path / "f.pth.tar"), "--data", str(tmp_path), "--out", str(tmp_path / "o.pth")]
    assert finetune.main([*given, *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "o.pth").exists()
