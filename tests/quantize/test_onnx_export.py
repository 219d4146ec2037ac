"""Students written as ONNX: ONNX Runtime and our own reader compute what torch computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ai8x_models.student_file import save_student
from ai8x_models.students import LayerSpec, Student, StudentSpec
from common.errors import UserError
from quantize import onnx_export
from quantize.integer import integer_extras
from synthesize.ai8x import compare
from synthesize.compiler import compile_graph, compile_network
from synthesize.read import checkpoint
from synthesize.read import student as frontend_student
from synthesize.read.onnx import network as frontend_onnx

BITS = (8, 4, 2, 1, 8, 8)
SMALL = StudentSpec(
    "small",
    (3, 16, 16),
    (
        LayerSpec("first", "input", 3, 8, stride=2, batchnorm=False),
        LayerSpec("second", "first", 8, 12, activation="abs", batchnorm=False),
        LayerSpec("third", "second", 12, 16, pool=2, activation="none", batchnorm=False),
        LayerSpec("fourth", "third", 16, 8, kernel=1, batchnorm=False),
        LayerSpec("wide", "third", 16, 5, kernel=1, activation="none", batchnorm=False, wide=True),
        LayerSpec("narrow", "fourth", 8, 3, activation="none", batchnorm=False),
    ),
    ("wide", "narrow"),
)
FOLDED = replace(
    SMALL,
    layers=(LayerSpec("first", "input", 12, 8, fold=2, batchnorm=False), *SMALL.layers[1:]),
)
both = pytest.mark.parametrize("spec", [SMALL, FOLDED], ids=["stride", "fold"])


def random_student(seed: int = 0, shift: int = -3, spec: StudentSpec = SMALL) -> Student:
    """An integer student with random weights of all widths."""
    rng = np.random.default_rng(seed)
    student = Student(spec)
    for (_, layer), bits in zip(student.layers(), BITS, strict=True):
        top = 1 << (bits - 1)
        weight = rng.integers(-top, max(top, 1), layer.op.weight.shape)
        layer.op.weight.data = torch.tensor(weight, dtype=torch.float32)
        bias = rng.integers(-100, 100, len(weight)) * top
        layer.op.bias.data = torch.tensor(bias, dtype=torch.float32)
        layer.weight_bits.fill_(bits)
        layer.output_shift.fill_(shift)
    return student.set_mode("integer")


@both
def test_onnx_runtime_agrees_exactly(tmp_path: Path, spec: StudentSpec) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    student = random_student(spec=spec)
    onnx_export.save(student, tmp_path / "student.onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(tmp_path / "student.onnx"), options)
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        data = torch.randint(-128, 128, (1, *SMALL.input_shape), generator=generator)
        real = session.run(None, {"input": (data.float() / 128).numpy()})
        wide, narrow = student.maps(data)
        np.testing.assert_array_equal(real[0], wide.detach().numpy())
        np.testing.assert_array_equal(128 * real[1], student(data)[1].detach().numpy())
        assert narrow.unique().numel() > 5


@both
def test_reading_it_back_gives_the_same_program(tmp_path: Path, spec: StudentSpec) -> None:
    student = random_student(spec=spec)
    direct = tmp_path / "small-q.pth.tar"
    save_student(student, direct, 0, integer_extras(student, {}))
    onnx_export.save(student, tmp_path / "small.onnx")
    loaded = frontend_onnx.load(tmp_path / "small.onnx")
    described = frontend_student.load(checkpoint.load(direct))
    assert loaded.notes == ()
    assert loaded.graph.text() == described.text()
    first = compile_network(checkpoint.load(direct)).program
    second = compile_graph(loaded.graph).program
    assert first.checksum == second.checksum
    sample = np.random.default_rng(0).integers(-128, 128, SMALL.input_shape)
    states = [compare.state_of_program(program, sample) for program in (first, second)]
    assert compare.differences(*states) == []


def folded_model(blocksize: int, readers: int = 1) -> onnx.ModelProto:
    """The folded student with another block size, or with further readers of its input."""
    model = onnx_export.to_onnx(random_student(spec=FOLDED))
    fold = next(node for node in model.graph.node if node.op_type == "SpaceToDepth")
    fold.attribute[0].i = blocksize
    for number in range(1, readers):
        model.graph.node.append(onnx.helper.make_node("Identity", ["input"], [f"copy{number}"]))
        model.graph.output.add(name=f"copy{number}")
    return model


@pytest.mark.parametrize(
    ("blocksize", "readers", "said"),
    [(3, 1, "do not divide"), (0, 1, "do not divide"), (2, 2, "only the network's input")],
)
def test_a_fold_the_loader_cannot_do_is_refused(
    tmp_path: Path, blocksize: int, readers: int, said: str
) -> None:
    onnx.save(folded_model(blocksize, readers), tmp_path / "folded.onnx")
    with pytest.raises(UserError, match=said):
        frontend_onnx.load(tmp_path / "folded.onnx")


def test_a_student_in_training_is_refused() -> None:
    with pytest.raises(UserError, match="float mode; convert it"):
        onnx_export.to_onnx(Student(SMALL))


def test_sums_that_float32_cannot_hold_are_refused() -> None:
    with pytest.raises(UserError, match="not exact in float32"):
        onnx_export.to_onnx(random_student(shift=-23))


def test_average_pooling_is_refused() -> None:
    student = random_student()
    student.third.pooling = "avg"
    with pytest.raises(UserError, match="layer third: ONNX averages without truncation"):
        onnx_export.to_onnx(student)


def test_the_command_line_names_a_missing_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert onnx_export.main([str(tmp_path / "no.pth.tar"), str(tmp_path / "out.onnx")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out.onnx").exists()
