"""The grey student on the chip: its size, and that torch, reference and virtual kit agree."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_models import point_maps
from ai8x_models.point_maps import PointMaps
from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import Student
from common.errors import UserError
from distill.tasks.grey.points import POINTS, points_of
from distill.tasks.grey.student import grey_student
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm
from quantize.integer import integer_extras, to_integer
from synthesize.chip.limits import WEIGHT_BYTES
from synthesize.compiler import Compiled, compile_network
from synthesize.graph import reference
from synthesize.read import checkpoint
from synthesize.write import point_outputs
from tests.helpers.virtual import run_on_kit

ROOT = Path(__file__).resolve().parents[4]
SHIPPED = ROOT / "ai8x_models" / "checkpoints" / "grey-q.pth.tar"
MAX_CYCLES = 300_000  # 6 ms at 50 MHz
WIDE = {f"conv{n}": 4 for n in range(4, 11)}  # 4 bits, as grey-qat.yaml says


def write_untrained(path: Path, keypoints: int = 13, size: int = 64) -> None:
    """An integer student with random weights and realistic batch-norm statistics."""
    torch.manual_seed(keypoints)
    student = Student(grey_student(keypoints, size))
    images = torch.randint(-128, 128, (16, 1, size, size)).float() / 128
    with torch.no_grad():
        for _ in range(20):
            student.train()(images)
        student.points.op.weight.mul_(16)  # type: ignore[operator,union-attr]
    fold_batchnorm(student.eval())
    calibrate(student, bits_per_layer(student, 8, WIDE), images)
    extras = {point_maps.KEY: PointMaps(points_of(keypoints).places, 20.0, -4.0).plain()}
    save_student(to_integer(student), path, 0, integer_extras(student, extras))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grey") / "grey-q.pth.tar"
    write_untrained(path)
    return path


def compiled(path: Path) -> Compiled:
    return compile_network(checkpoint.load(path))


def pictures(count: int, size: int = 64) -> np.ndarray:
    """Noise of several grain sizes: the network's values spread over their whole range."""
    rng = np.random.default_rng(7)
    samples = []
    for index in range(count):
        grain = 2 ** (index % 5)
        small = rng.integers(-128, 128, (1, size // grain, size // grain))
        samples.append(small.repeat(grain, axis=1).repeat(grain, axis=2).astype(np.int8))
    return np.stack(samples)


@pytest.mark.parametrize("shipped", [False, True])
def test_torch_and_reference_agree_on_100_pictures_and_the_kit_on_some(
    shipped: bool, untrained: Path
) -> None:
    path = SHIPPED if shipped else untrained
    student, _ = load_student(path)
    samples = pictures(100)
    with torch.no_grad():
        (wanted,) = student(torch.from_numpy(samples).double())
    assert wanted.shape == (100, 13, 16, 16)
    assert (wanted.amax((0, 2, 3)) > wanted.amin((0, 2, 3))).all()
    network = compiled(path)
    for sample, words in zip(samples, wanted.numpy(), strict=True):
        assert np.array_equal(reference.run(network.described, sample)["points"], words)
    for index in (0, 3, 9, 50):
        assert np.array_equal(
            reference.run(network.legal, samples[index])["points"], wanted[index].numpy()
        )
        found, cycles = run_on_kit(network.program, samples[index])
        assert np.array_equal(found["points"], wanted[index].numpy())
        assert cycles <= MAX_CYCLES


@pytest.mark.parametrize(("keypoints", "size"), [(13, 64), (17, 64), (13, 128)])
def test_it_fits_weight_memory_and_six_milliseconds(
    keypoints: int, size: int, tmp_path: Path
) -> None:
    path = tmp_path / "grey-q.pth.tar"
    write_untrained(path, keypoints, size)
    network = compiled(path)
    weights = sum(layer.weight_bytes for layer in network.legal.layers)
    assert 0.9 * WEIGHT_BYTES < weights <= WEIGHT_BYTES
    sample = pictures(1, size)[0]
    found, cycles = run_on_kit(network.program, sample)
    assert found["points"].shape == (keypoints, size // 4, size // 4)
    if size == 64:
        assert cycles <= MAX_CYCLES
    wanted = reference.run(network.described, sample)["points"]
    assert np.array_equal(found["points"], wanted)


def test_it_describes_itself_to_the_compiler(untrained: Path) -> None:
    network = compiled(untrained)
    assert network.described.input.described_shape == (1, 64, 64)
    assert network.described.input.shape == (4, 32, 32)
    assert [layer.op for layer in network.described.layers][-1] == "conv2d"
    assert network.program.points == PointMaps(POINTS[13].places, 20.0, -4.0)


def test_a_compact_checkpoint_holds_the_same_integers(tmp_path: Path) -> None:
    whole, compact = tmp_path / "whole-q.pth.tar", tmp_path / "compact-q.pth.tar"
    write_untrained(whole)
    student, data = load_student(whole)
    save_student(student, compact, 0, data["extras"], compact=True)
    assert compact.stat().st_size < 0.3 * whole.stat().st_size
    found, _ = load_student(compact)
    for key, value in student.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key
    programs = [compiled(path).program for path in (whole, compact)]
    assert programs[0].checksum == programs[1].checksum


def test_settings_that_do_not_fit_the_network_are_refused(untrained: Path, tmp_path: Path) -> None:
    student, data = load_student(untrained)
    path = tmp_path / "other-q.pth.tar"
    extras = {**data["extras"], point_maps.KEY: PointMaps(POINTS[17].places).plain()}
    save_student(student, path, 0, extras)
    with pytest.raises(UserError, match=r"its settings are for 17 maps .* outputs are 13x16x16"):
        compiled(path)


def test_headers_say_how_the_maps_are_read(untrained: Path) -> None:
    program = compiled(untrained).program
    lines = point_outputs.defines(program)
    assert lines[:3] == [
        "#define POINT_OUTPUTS 1",
        "#define POINT_STRIDE 4u",
        "#define POINT_PLACES {" + ", ".join(f"{n}u" for n in range(1, 14)) + "}",
    ]
    table = [int(n) for n in re.findall(r"(\d+)u", lines[3])]
    assert tuple(table) == PointMaps(POINTS[13].places, 20.0, -4.0).visibility()
    other = dataclasses.replace(program, points=None)
    assert point_outputs.defines(other) == ["#define POINT_OUTPUTS 0"]
