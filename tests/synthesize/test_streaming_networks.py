"""Random networks too large to be stored: the search streams them, and they compute the same."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesize.ai8x import compare
from synthesize.ai8x import description as yaml_out
from synthesize.ai8x import generator as official
from synthesize.compiler import compile_graph
from tests.helpers.networks import random_chain
from tests.helpers.virtual import run_on_kit


def check(seed: int) -> int:
    """Compile, run on the virtual accelerator and write as YAML; returns the streaming layers."""
    graph = random_chain(seed)
    compiled = compile_graph(graph)
    program = compiled.program
    count = sum(place.streaming for place in compiled.placement.layers)
    assert count > 0
    assert compiled.placement.fifo
    data = np.random.default_rng(seed).integers(-128, 128, graph.input.shape)
    outputs, cycles = run_on_kit(program, data)
    assert cycles == program.cycles
    np.testing.assert_array_equal(outputs["y"], compiled.known_answer(data)["y"])
    with tempfile.TemporaryDirectory() as folder:
        yaml_out.write(folder, compiled.legal, compiled.placement, data)
        again, _ = official.load(folder)  # the check of placements by hand runs here
    first = compare.state_of_program(program, data)
    assert compare.differences(compare.state_of_program(again.program, data), first) == []
    return count


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_streaming_networks(seed: int) -> None:
    check(seed)


@pytest.mark.long
def test_a_hundred_random_streaming_networks() -> None:
    counts = [check(seed) for seed in range(100)]
    assert set(counts) >= {1, 2, 3, 4}
