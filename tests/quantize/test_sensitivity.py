"""Sensitivity per layer and width, and the bits chosen from it."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest
import torch
import yaml

from ai8x_models.layers import FusedConv2d
from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import Student
from common.errors import UserError
from quantize.__main__ import main
from quantize.calibrate import bits_per_layer, calibrate, choose_shift, real_output
from quantize.fold import fold_batchnorm
from quantize.sensitivity import calibration_images, sensitivity
from tests.helpers.warmed import pixels, warmed_student


@pytest.fixture(scope="module")
def student() -> Student:
    return fold_batchnorm(warmed_student())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for index in range(3):
        small = generator.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), cv2.resize(small, (80, 60)))
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_cost_is_the_error_of_quantising_that_layer_alone(student: Student) -> None:
    torch.manual_seed(1)
    images = pixels(2, 32)
    before = copy.deepcopy(student.state_dict())
    costs = sensitivity(student, images, (4, 8))
    for key, value in student.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert list(costs) == [spec.name for spec, _ in student.layers()]
    # The same by hand, for a layer in the middle: quantise it in a copy and run the whole network.
    with torch.no_grad():
        exact = {"input": images}
        for spec, layer in student.layers():
            exact[spec.name] = layer(exact[spec.source])
        changed = copy.deepcopy(student)
        choose_shift(
            ("cpm2",), {"cpm2": changed.cpm2}, {"cpm2": 4}, {"cpm2": (exact["cpm1"],)}, exact
        )
        got, wanted = torch.cat(changed(images), 1), torch.cat(student(images), 1)
    assert costs["cpm2"][4] == pytest.approx(float((got - wanted).square().mean()), rel=1e-4)


def test_wide_outputs_are_compared_as_real_numbers(student: Student) -> None:
    torch.manual_seed(2)
    images = pixels(2, 32)
    costs = sensitivity(student, images, (8,))
    with torch.no_grad():
        size = float(torch.cat(student(images), 1).square().mean())
    assert 0 < costs["heat_out"][8] < 1e-3 * size


def test_fewer_bits_cost_more(student: Student) -> None:
    torch.manual_seed(3)
    costs = sensitivity(student, pixels(2, 32), (2, 8))
    # A random student hardly passes on what its first layers see, so look at the last ones.
    for name in ("cpm1", "cpm2", "cpm3", "heat_hidden", "paf_hidden", "heat_out", "paf_out"):
        assert costs[name][2] > 10 * costs[name][8], name


def test_large_biases_are_not_cut_off() -> None:
    """Eight-bit layers reach biases of one step of the shift only; the shift has to make room."""
    torch.manual_seed(4)
    layer = FusedConv2d(8, 8, 1, activation="relu")
    with torch.no_grad():
        layer.op.weight.mul_(0.2)
        layer.op.bias.fill_(0.7)
        x = torch.rand(4, 8, 6, 6)
        wanted = layer(x)
        choose_shift(("layer",), {"layer": layer}, {"layer": 8}, {"layer": (x,)}, {"layer": wanted})
        assert float((real_output(layer, x) - wanted).abs().max()) < 0.02


def test_a_student_with_batch_norm_is_refused() -> None:
    with pytest.raises(UserError, match="fold"):
        sensitivity(Student("seed"), pixels(1, 32))


def test_pictures_become_network_input(pictures) -> None:
    images = calibration_images(pictures, 2, 32)
    assert images.shape == (2, 3, 32, 32)
    assert images.min() >= -1
    assert images.max() < 1
    assert (images[:, :, 24:] == 0).all()  # 60 of 80 rows; below it is grey


def test_pictures_become_grey_input_for_a_grey_student(pictures) -> None:
    colour, grey = (calibration_images(pictures, 2, 32, channels) for channels in (3, 1))
    assert grey.shape == (2, 1, 32, 32)
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)  # ITU-R BT.601
    wanted = (colour * weights).sum(1, keepdim=True)
    torch.testing.assert_close(grey, wanted, rtol=0, atol=1 / 128)
    with pytest.raises(UserError, match="32 channels"):
        calibration_images(pictures, 2, 32, 32)


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_pictures_is_refused(tmp_path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=name):
        calibration_images(tmp_path / name, 4, 32)


def test_the_command_writes_a_piece_of_a_recipe(pictures, tmp_path, capsys) -> None:
    source, out = tmp_path / "float.pth.tar", tmp_path / "bits.yaml"
    save_student(warmed_student(), source, 1, {})
    command = ["bits", str(source), "--images", str(pictures), "--out", str(out)]
    assert main([*command, "--count", "1", "--widths", "4", "8"]) == 0
    read = yaml.safe_load(out.read_text(encoding="utf-8"))
    assert set(read) == {"qat"}
    qat = read["qat"]
    assert qat["enabled"] is True
    bits = bits_per_layer(Student("seed"), qat["default_bits"], qat["bits"])
    assert set(bits.values()) == {4, 8}
    assert " ".join(f"{n}={bits[n]}" for n in sorted(bits)) == " ".join(
        sorted(capsys.readouterr().out.splitlines()[0].split())
    )
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["bits.yaml", "float.pth.tar"]


def test_a_network_that_cannot_fit_writes_nothing(pictures, tmp_path, capsys) -> None:
    source, out = tmp_path / "float.pth.tar", tmp_path / "bits.yaml"
    save_student(warmed_student(), source, 1, {})
    command = ["bits", str(source), "--images", str(pictures), "--out", str(out)]
    assert main([*command, "--count", "1", "--widths", "8"]) == 2
    assert "768" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("word", [["convert"], []])
def test_convert_works_with_and_without_its_name(tmp_path, word: list[str]) -> None:
    student = fold_batchnorm(warmed_student())
    calibrate(student, bits_per_layer(student, 4, {}), pixels(1, 32))
    source, out = tmp_path / "qat.pth.tar", tmp_path / "q.pth.tar"
    save_student(student, source, 1, {})
    assert main([*word, str(source), str(out)]) == 0
    assert load_student(out)[0].mode == "integer"
