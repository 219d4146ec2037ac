"""The grey student on the chip: its size, and that torch, reference and virtual kit agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import Student
from distill.tasks.grey.student import grey_student
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm
from quantize.integer import integer_extras, to_integer
from synthesize.chip.limits import WEIGHT_BYTES
from synthesize.compiler import Compiled, compile_network
from synthesize.graph import reference
from synthesize.read import checkpoint
from tests.helpers.virtual import run_on_kit

ROOT = Path(__file__).resolve().parents[4]
SHIPPED = ROOT / "ai8x_models" / "checkpoints" / "grey-q.pth.tar"
MAX_CYCLES = 250_000  # 5 ms at 50 MHz
MAX_SHARE = 0.6  # of weight memory


def write_untrained(path: Path, keypoints: int = 13, size: int = 64) -> None:
    """An integer student with random weights and realistic batch-norm statistics."""
    torch.manual_seed(keypoints)
    student = Student(grey_student(keypoints, size))
    images = torch.randint(-128, 128, (16, 1, size, size)).float() / 128
    with torch.no_grad():
        for _ in range(20):
            student.train()(images)
    fold_batchnorm(student.eval())
    calibrate(student, bits_per_layer(student, 8, {}), images)
    save_student(to_integer(student), path, 0, integer_extras(student, {}))


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
    assert wanted.shape == (100, 39, 1, 1)
    assert (wanted.amax(0) > wanted.amin(0)).all()
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
def test_it_takes_at_most_sixty_percent_of_weight_memory_and_five_milliseconds(
    keypoints: int, size: int, tmp_path: Path
) -> None:
    path = tmp_path / "grey-q.pth.tar"
    write_untrained(path, keypoints, size)
    network = compiled(path)
    weights = sum(layer.weight_bytes for layer in network.legal.layers)
    assert weights <= MAX_SHARE * WEIGHT_BYTES
    sample = pictures(1, size)[0]
    found, cycles = run_on_kit(network.program, sample)
    assert found["points"].shape == (3 * keypoints, 1, 1)
    if size == 64:
        assert cycles <= MAX_CYCLES
    wanted = reference.run(network.described, sample)["points"]
    assert np.array_equal(found["points"], wanted)


def test_it_describes_itself_to_the_compiler(untrained: Path) -> None:
    network = compiled(untrained)
    assert network.described.input.described_shape == (1, 64, 64)
    assert network.described.input.shape == (4, 32, 32)
    assert [layer.op for layer in network.described.layers][-1] == "linear"


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
