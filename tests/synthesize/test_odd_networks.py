"""Odd networks and odd masks: described == legalised == the virtual accelerator, cycles equal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from synthesize.compiler import build_program, place_automatically
from synthesize.graph import reference
from tests.helpers.odd_networks import odd_graph, with_odd_masks
from tests.helpers.virtual import run_on_kit

REFUSED = (
    "kernel words", "biases do not fit", "data memory", "pooling without convolution",
    "exceed the 1023", "exceed the 1024", "streaming does not help", "several passes",
)  # fmt: skip
"""A random network may be too large; it must then be refused for one of these reasons."""


def check(seed: int) -> str:
    """Compile one odd network and compare all stages; returns "ran" or the refusal."""
    graph = odd_graph(seed)
    data = np.random.default_rng(seed).integers(-128, 128, graph.input.shape)
    before = reference.run(graph, data)
    try:
        legal, placement = place_automatically(graph)
        placement = with_odd_masks(legal, placement, seed)
    except UserError as error:
        if not any(reason in str(error) for reason in REFUSED):
            raise
        return str(error)
    program = build_program(legal, placement)
    outputs, cycles = run_on_kit(program, data)
    assert cycles == program.cycles
    after = reference.run(legal, data)
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)
        np.testing.assert_array_equal(outputs[name], values)
    return "ran"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_odd_networks(seed: int) -> None:
    check(seed)


@pytest.mark.long
def test_three_thousand_odd_networks() -> None:
    """With the two thousand of test_compiler.py these are five thousand."""
    results = [check(seed) for seed in range(3000)]
    assert results.count("ran") > 2000
