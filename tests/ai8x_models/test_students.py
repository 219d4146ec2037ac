"""The students beside the seed: their sizes, and that they fit the chip at their recipes' bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_models.layers import fold_blocks
from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import SPECS, Student
from common.errors import UserError
from distill.engine.recipe import load_recipe
from distill.tasks.pose.recipe import PictureRecipe
from quantize.calibrate import bits_per_layer, calibrate
from quantize.equalize import equalize
from quantize.fold import fold_batchnorm
from quantize.integer import integer_extras, to_integer
from synthesize.__main__ import main
from synthesize.chip.limits import PROCESSORS
from synthesize.graph import ir, reference
from synthesize.read import checkpoint
from synthesize.read.student import load
from tests.helpers.folded import folded_student

WEIGHT_MEMORY = 442_368  # bytes: 64 processors x 768 words x 9
CONFIGS = Path(__file__).parents[2] / "distill" / "tasks" / "pose" / "recipes"
SEED_CYCLES = 1_143_265


def recipe_bits(student: Student, recipe: str) -> dict[str, int]:
    found = load_recipe(CONFIGS / recipe, [], PictureRecipe)
    assert found.student == student.spec.name
    return bits_per_layer(student, found.qat.default_bits, found.qat.bits)


def integer_student(student: Student, recipe: str = "") -> Student:
    """Random weights, batch norm folded, levelled and quantised as the commands do."""
    torch.manual_seed(0)
    fold_batchnorm(student)
    pixels = torch.randint(-128, 128, (1, 3, 64, 64)).float() / 128
    equalize(student, pixels)
    bits = recipe_bits(student, recipe) if recipe else bits_per_layer(student, 8, {})
    calibrate(student, bits, pixels)
    return to_integer(student)


def test_parameters_and_widths_of_tiny() -> None:
    assert sum(p.numel() for p in Student("tiny").parameters()) == 378_969
    layers = SPECS["tiny"].layers
    assert all(layer.in_channels <= PROCESSORS for layer in layers)
    kernels = sum(la.in_channels * la.out_channels * la.kernel**2 for la in layers)
    assert kernels <= WEIGHT_MEMORY  # one byte each


@pytest.mark.parametrize(
    ("name", "recipe", "said", "cycles"),
    [
        ("tiny", "tiny-qat.yaml", "378,816 of 442,368 bytes", 877_009),
        ("native", "native-qat.yaml", "743 of     768 words", 1_098_057),
    ],
)
def test_it_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
    name: str, recipe: str, said: str, cycles: int,
) -> None:  # fmt: skip
    student = integer_student(Student(name), recipe)
    path = tmp_path / "student-q.pth.tar"
    save_student(student, path, 0, integer_extras(student, {}))
    assert main(["check", str(path)]) == 0
    table = capsys.readouterr().out
    assert "fits" in table
    assert said in table
    assert f"{name}: {cycles:,} cycles" in table
    assert cycles <= SEED_CYCLES


def test_folding_is_the_compilers() -> None:
    picture = np.random.default_rng(0).integers(-128, 128, (3, 16, 8))
    folded = reference.fold_input(ir.Input((48, 4, 2), 4, ir.Where("test")), picture)
    ours = fold_blocks(torch.from_numpy(picture)[None], 4)[0]
    assert np.array_equal(ours.numpy(), folded)


@pytest.mark.parametrize("name", ["native", "folded"])
def test_reference_computes_the_student(tmp_path: Path, name: str) -> None:
    made = folded_student() if name == "folded" else Student(name)
    student = integer_student(made, "" if name == "folded" else f"{name}-qat.yaml")
    path = tmp_path / "student-q.pth.tar"
    save_student(student, path, 0, integer_extras(student, {}))
    graph = load(checkpoint.load(path))
    picture = torch.randint(-128, 128, student.spec.input_shape, dtype=torch.int16)
    with torch.no_grad():
        wanted = student(picture[None].double())
    found = reference.run(graph, picture.numpy())
    for name, maps in zip(student.spec.outputs, wanted, strict=True):
        assert np.array_equal(found[name], maps[0].numpy())


@pytest.mark.parametrize("fold", [3, 0, "4"])
def test_a_fold_that_does_not_divide_is_refused(tmp_path: Path, fold: object) -> None:
    student = integer_student(folded_student())
    path = tmp_path / "folded-q.pth.tar"
    extras = {**integer_extras(student, {}), "input": {"shape": [3, 64, 64], "fold": fold}}
    save_student(student, path, 0, extras)
    with pytest.raises(UserError, match="fold"):
        load(checkpoint.load(path))


def test_a_file_of_an_older_network_of_the_same_name_loads(tmp_path: Path) -> None:
    """The name ``native`` has stood for other networks; their files describe themselves."""
    tiny = SPECS["tiny"]
    older = Student(replace(tiny, name="native"))
    path = tmp_path / "student.pth.tar"
    save_student(older, path, 1, {})
    loaded, _ = load_student(path)
    assert load_student(str(path))[0].spec == loaded.spec
    assert loaded.spec.name == "native"
    assert [layer.name for layer in loaded.spec.layers] == [layer.name for layer in tiny.layers]
    picture = torch.rand(1, 3, 64, 64)
    older.eval()
    loaded.eval()
    for ours, theirs in zip(older.maps(picture), loaded.maps(picture), strict=True):
        assert torch.equal(ours, theirs)
