"""Teachers and float students as ONNX: ONNX Runtime computes what torch computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_models.student_file import save_student
from ai8x_models.students import Student
from distill.__main__ import main
from distill.tasks.pose.evaluation.evaluate import Network
from distill.tasks.pose.teachers.openpose import LightweightOpenPose, save_teacher
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm
from quantize.integer import integer_extras, to_integer
from tests.helpers.folded import folded_student

SIZE = 64


def uneven(network: Network) -> Network:
    """Batch norms as uneven as trained ones, with statistics of a batch."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2.0)
            torch.nn.init.uniform_(module.bias, -0.5, 1.0)
    with torch.no_grad():
        network.train().maps(torch.randn(4, 3, SIZE, SIZE))
    return network.eval()


def stored(name: str, folder: Path) -> tuple[Network, Path]:
    path = folder / f"{name}.pth.tar"
    if name == "teacher":
        teacher = LightweightOpenPose(1, width=32)
        save_teacher(teacher, path, 0, {})
        return uneven(teacher), path
    student = Student(name)
    uneven(student)
    return student, path


@pytest.mark.parametrize("name", ["teacher", "seed", "tiny", "native"])
def test_runtime_agrees_with_torch(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    network, path = stored(name, tmp_path)
    if isinstance(network, Student):
        save_student(network, path, 0, {})
    else:
        save_teacher(network, path, 0, {})
    out = tmp_path / "folder" / "network.onnx"
    assert main(["export", str(path), str(out), "--size", str(SIZE)]) == 0
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(out), options)
    for batch in (1, 3):
        pixels = torch.randint(0, 256, (batch, 3, SIZE, SIZE)).float()
        x = (pixels - 128) / 128
        with torch.no_grad():
            maps = torch.cat(tuple(network.maps(x)), dim=1)
        wanted = maps[:, :19], maps[:, 19:]
        found = session.run(["heatmaps", "pafs"], {"input": x.numpy()})
        for ours, theirs in zip(wanted, found, strict=True):
            assert ours.abs().max() > 0.01
            np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-4, atol=1e-5)


def quantised(mode: str, path: Path) -> None:
    student = fold_batchnorm(folded_student())
    calibrate(student, bits_per_layer(student, 8, {}), torch.rand(1, 3, SIZE, SIZE))
    save_student(to_integer(student) if mode == "integer" else student, path, 0,
                 integer_extras(student, {}))  # fmt: skip


def test_an_integer_student_is_exported_as_integers(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    quantised("integer", tmp_path / "q.pth.tar")
    assert main(["export", str(tmp_path / "q.pth.tar"), str(tmp_path / "q.onnx")]) == 0
    operators = {node.op_type for node in onnx.load(tmp_path / "q.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "SpaceToDepth"} <= operators


@pytest.mark.parametrize(
    ("mode", "arguments", "said"),
    [("qat", [], "qat mode"), ("float", ["--size", "60"], "multiple of 8")],
)
def test_what_cannot_be_exported(
    mode: str, arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "s.pth.tar", tmp_path / "s.onnx"
    if mode == "qat":
        quantised("qat", path)
    else:
        save_student(Student("tiny"), path, 0, {})
    assert main(["export", str(path), str(out), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_student(Student("tiny"), tmp_path / "s.pth.tar", 0, {})
    (tmp_path / "file").write_text("")
    assert main(["export", str(tmp_path / "s.pth.tar"), str(tmp_path / "file" / "s.onnx")]) == 2
    assert "cannot write" in capsys.readouterr().err
