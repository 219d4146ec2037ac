"""Crops for the firmware and the comparison of its maps: numbers, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ai8x_models.student_file import save_student
from ai8x_models.students import Student
from distill.__main__ import main
from distill.people.crops import Augmentation, CropDataset
from distill.people.person_sets import SyntheticSet
from evalkit.__main__ import main as evalkit
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm
from quantize.integer import integer_extras, to_integer

PEOPLE = ["--synthetic", "3", "--size", "64"]


@pytest.fixture(scope="module")
def integers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Student, Path]:
    torch.manual_seed(0)
    student = fold_batchnorm(Student("tiny"))
    calibrate(student, bits_per_layer(student, 8, {}), torch.rand(1, 3, 64, 64) - 0.5)
    path = tmp_path_factory.mktemp("student") / "tiny-q.pth.tar"
    save_student(to_integer(student), path, 0, integer_extras(student, {}))
    return student, path


def stored_maps(student: Student, folder: Path, change: int = 0) -> Path:
    """Maps as the firmware would send them, the first value changed by ``change``."""
    crops = CropDataset(SyntheticSet(3, 0), 64, Augmentation())
    pixels = torch.stack([crops[index]["image"] for index in (0, 1)]).double() - 128
    with torch.no_grad():
        maps = [out.numpy().astype(np.int32) for out in student(pixels)]
    maps[1].flat[0] += change
    np.savez(folder / "maps.npz", names=["000000.png", "000001.png"], output_0=maps[0],
             output_1=maps[1])  # fmt: skip
    return folder / "maps.npz"


@pytest.mark.parametrize(("change", "status", "said"), [(0, 0, "2 of 2"), (1, 1, "1 of 2")])
def test_every_word_counts(
    integers: tuple[Student, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    change: int, status: int, said: str,
) -> None:  # fmt: skip
    maps = stored_maps(integers[0], tmp_path, change)
    assert main(["kit", str(integers[1]), str(maps), *PEOPLE]) == status
    assert f"{said} crops: all maps equal" in capsys.readouterr().out


def test_crops_are_the_evaluations(tmp_path: Path) -> None:
    assert main(["crops", "--out", str(tmp_path / "c"), "--count", "2", *PEOPLE]) == 0
    people = SyntheticSet(3, 0)
    crops = CropDataset(people, 64, Augmentation())
    files = sorted((tmp_path / "c").iterdir())
    last = len(people.people) - 1
    assert [file.name for file in files] == ["000000.png", f"{last:06d}.png"]
    pixels = cv2.cvtColor(cv2.imread(str(files[-1])), cv2.COLOR_BGR2RGB)
    assert np.array_equal(pixels.transpose(2, 0, 1), crops[last]["image"].numpy())


def test_what_is_refused(
    integers: tuple[Student, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student, path = integers
    good = stored_maps(student, tmp_path)
    floating = tmp_path / "float.pth.tar"
    save_student(Student("tiny"), floating, 0, {})
    (tmp_path / "broken.npz").write_bytes(good.read_bytes()[:300])
    np.savez(tmp_path / "other.npz", names=["000000.png"], output_0=np.zeros((1, 5, 8, 8)))
    np.savez(tmp_path / "far.npz", names=["000999.png"], output_0=np.zeros((1, 19, 8, 8)))
    for arguments, said in (
        (["kit", str(floating), str(good), *PEOPLE], "is no integer student"),
        (["kit", str(path), str(tmp_path / "broken.npz"), *PEOPLE], "cannot be read"),
        (["kit", str(path), str(tmp_path / "none.npz"), *PEOPLE], "do not exist"),
        (["kit", str(path), str(tmp_path / "other.npz"), *PEOPLE], "of another network"),
        (["kit", str(path), str(tmp_path / "far.npz"), *PEOPLE], "of another set"),
        (["crops", "--out", str(tmp_path), *PEOPLE], "is not empty"),
        (["crops", "--out", str(tmp_path / "n"), "--count", "0", *PEOPLE], "--count"),
        (["crops", "--out", str(good / "n"), *PEOPLE], "is a file, not a folder"),
    ):
        assert main(arguments) == 2, arguments
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--camera", "none"], "none does not exist"),
        (["--camera", ".", "--count", "0"], "0 is not a whole number of at least 1"),
        (["--camera", ".", "-o", "/dev/null/m.npz"], "cannot write /dev/null/m.npz"),
    ],
)
def test_maps_of_nothing(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evalkit(["maps", "--kit", "none.elf", "-o", "m.npz", *arguments]) == 2
    assert said in capsys.readouterr().err
