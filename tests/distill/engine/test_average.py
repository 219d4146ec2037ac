"""The mean of several students."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import Student
from distill.__main__ import main
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm


def saved(folder: Path, name: str, seed: int, kind: str = "tiny") -> Path:
    torch.manual_seed(seed)
    path = folder / f"{name}.pth.tar"
    save_student(Student(kind), path, 1, {})
    return path


def test_the_mean_of_two_is_halfway(tmp_path: Path) -> None:
    one, two, out = saved(tmp_path, "one", 1), saved(tmp_path, "two", 2), tmp_path / "mean.pth.tar"
    assert main(["pose", "average", str(one), str(two), "-o", str(out)]) == 0
    states = [load_student(path)[0].state_dict() for path in (one, two, out)]
    for key, value in states[2].items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (states[0][key] + states[1][key]) / 2)


def test_other_networks_and_modes_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = saved(tmp_path, "one", 1), saved(tmp_path, "other", 1, "native")
    out = tmp_path / "mean.pth.tar"
    assert main(["pose", "average", str(one), str(other), "-o", str(out)]) == 2
    assert "another network" in capsys.readouterr().err
    student = Student("tiny").eval()
    fold_batchnorm(student)
    calibrate(student, bits_per_layer(student, 8, {}), torch.zeros(1, 3, 64, 64))
    save_student(student, other, 1, {})
    assert main(["pose", "average", str(one), str(other), "-o", str(out)]) == 2
    assert "mode 'qat'" in capsys.readouterr().err
    assert not out.exists()


def test_students_with_the_same_bits_and_shifts_have_a_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student = Student("tiny").eval()
    fold_batchnorm(student)
    calibrate(student, bits_per_layer(student, 8, {}), torch.zeros(1, 3, 64, 64))
    files = [tmp_path / f"{number}.pth.tar" for number in range(3)]
    name = next(key for key in student.state_dict() if key.endswith("op.weight"))
    for file in files[:2]:
        student.state_dict()[name].fill_(0.25 * files.index(file))
        save_student(student, file, 1, {})
    out = tmp_path / "mean.pth.tar"
    assert main(["pose", "average", *map(str, files[:2]), "-o", str(out)]) == 0
    made = load_student(out)[0]
    assert made.mode == "qat"
    assert (made.state_dict()[name] == 0.125).all()
    student.state_dict()[name.replace("op.weight", "output_shift")].add_(1)
    save_student(student, files[2], 1, {})
    assert main(["pose", "average", str(files[0]), str(files[2]), "-o", str(out)]) == 2
    assert "output_shift of layer" in capsys.readouterr().err
