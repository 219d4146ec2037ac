"""The public generator writes the same program from our descriptions, and expects the same answer.

Needs a checkout of ai8x-synthesis (``AI8X_SYNTHESIS``) and a Python with its dependencies
(``AI8X_PYTHON``); ``make ai8x`` gets both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from evalkit.kit import Kit
from synthesize.ai8x import compare
from synthesize.ai8x import description as yaml_out
from synthesize.ai8x import generator as official
from synthesize.compiler import Compiled, compile_graph, compile_network
from synthesize.read import checkpoint
from synthesize.write import elf as build
from tests.helpers.described import EARLY_SHAPE, output_before_the_last
from tests.helpers.golden_cases import Case
from tests.helpers.networks import random_graph
from tests.helpers.places import REPOSITORY

pytestmark = pytest.mark.long  # the generator takes several seconds for each network

SEEDS = (0, 1, 3, 5, 8, 9, 12, 13, 16, 17, 29, 33)
UNEQUAL_PARTS = 14
"""A random network that concatenates 8 and 16 channels."""
REASONS = {compare.MISPLACED, compare.EXTRA_ZEROS}


@pytest.fixture(scope="module")
def generator() -> official.Generator:
    try:
        found = official.find()
    except UserError as error:
        pytest.skip(str(error))
    if not Path(found.python).is_file():
        pytest.skip(f"AI8X_PYTHON: there is no {found.python}")
    return found


def check(
    generator: official.Generator,
    compiled: Compiled,
    sample: np.ndarray,
    folder: Path,
    reasons: set[str] = REASONS,
) -> Path:
    """Let the generator write the project; its state and its answer must be ours."""
    yaml_out.write(folder, compiled.legal, compiled.placement, sample)
    project = official.generate(generator, folder, folder / "official")
    program = compiled.program
    found = official.differences(program, sample, project)
    unexplained, explained = compare.explain(found, compiled)
    assert [str(difference) for difference in unexplained] == []
    assert set(explained) <= reasons
    expected = compiled.known_answer(sample)
    assert official.answer_differences(program, expected, project) == []
    return project


def test_golden_cases(generator: official.Generator, case: Case, tmp_path: Path) -> None:
    check(generator, case.compiled, case.sample, tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks(generator: official.Generator, seed: int, tmp_path: Path) -> None:
    graph = random_graph(seed)
    sample = np.random.default_rng(seed).integers(-128, 128, graph.input.shape)
    check(generator, compile_graph(graph), sample, tmp_path)


@pytest.mark.parametrize("name", ["native", "seed", "tiny", "grey", "lift"])
def test_shipped_students(generator: official.Generator, name: str, tmp_path: Path) -> None:
    path = REPOSITORY / "ai8x_models" / "checkpoints" / f"{name}-q.pth.tar"
    compiled = compile_network(checkpoint.load(path))
    shape = compiled.described.input.described_shape
    sample = np.random.default_rng(78).integers(-128, 128, shape)
    check(generator, compiled, sample, tmp_path)
    # What it accepted is the file that is shipped.
    accepted = (tmp_path / yaml_out.YAML_NAME).read_text(encoding="utf-8")
    assert accepted == (REPOSITORY / "networks" / f"{name}.yaml").read_text(encoding="utf-8")


def test_its_known_answer_test_passes_on_the_kit(
    generator: official.Generator, tmp_path: Path
) -> None:
    graph = random_graph(1)
    sample = np.random.default_rng(1).integers(-128, 128, graph.input.shape)
    compiled = compile_graph(graph)
    project = check(generator, compiled, sample, tmp_path)
    elements = sum(out.addresses.size for out in compiled.program.outputs)
    image = build.build(official.firmware(project, tmp_path / "firmware", elements))
    kit = Kit(image)
    kit.run_until(None)
    assert "*** PASS ***" in kit.uart_text()


@pytest.mark.parametrize("quadrant", [1, 3])
def test_the_quadrant_it_leaves_off_is_all_that_differs(
    generator: official.Generator, quadrant: int, tmp_path: Path
) -> None:
    compiled = output_before_the_last(tmp_path, quadrant)
    sample = np.random.default_rng(0).integers(-128, 128, EARLY_SHAPE)
    check(generator, compiled, sample, tmp_path, {compare.QUADRANT_OFF})


def test_what_it_refuses_is_passed_on(generator: official.Generator, tmp_path: Path) -> None:
    graph = random_graph(UNEQUAL_PARTS)
    compiled = compile_graph(graph)
    sample = np.zeros(graph.input.described_shape, np.int64)
    yaml_out.write(tmp_path, compiled.legal, compiled.placement, sample)
    with pytest.raises(UserError, match="non-matching channel counts"):
        official.generate(generator, tmp_path, tmp_path / "official")
    assert not (tmp_path / "official").exists()
