"""Random legal networks: described == legalised == what the virtual accelerator computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from synthesize.compiler import build_program, place_automatically
from synthesize.graph import reference
from synthesize.legal import rewrites as passes
from synthesize.legal import rules
from synthesize.place import verify
from tests.helpers.networks import random_graph
from tests.helpers.virtual import run_on_kit

REFUSED_FOR_SPACE = (
    "kernel words",
    "biases do not fit",
    "data memory",
    "exceed the 512",
    "concatenat",
)
"""A random network may be too large; it must then be refused for one of these reasons."""


def check(seed: int) -> str:
    """Compile one random network and compare all stages; returns "ran" or the refusal."""
    graph = random_graph(seed)
    data = np.random.default_rng(seed).integers(-128, 128, graph.input.shape)
    before = reference.run(graph, data)
    try:
        rules.check(passes.legalise(graph))
        legal, placement = place_automatically(graph)
    except UserError as error:
        refusal = str(error)
        if not any(reason in refusal for reason in REFUSED_FOR_SPACE):
            raise
        return refusal
    after = reference.run(legal, data)
    assert [str(finding) for finding in verify.check(legal, placement)] == []
    program = build_program(legal, placement)
    outputs, cycles = run_on_kit(program, data)
    assert cycles == program.cycles
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)
        np.testing.assert_array_equal(outputs[name], values)
    return "ran"


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_networks(seed: int) -> None:
    check(seed)


def test_an_output_tied_to_several_layers() -> None:
    """Pass-through layers tie one buffer to two others; honouring the first tie alone was wrong."""
    assert check(688311) == "ran"


@pytest.mark.long
def test_two_thousand_random_networks() -> None:
    results = [check(seed) for seed in range(2000)]
    assert results.count("ran") > 1500
