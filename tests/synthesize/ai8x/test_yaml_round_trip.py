"""compile(yaml(placement)) == placement, for random networks."""

from __future__ import annotations

import tempfile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from synthesize.ai8x import compare
from synthesize.ai8x import description as yaml_out
from synthesize.ai8x import generator as official
from synthesize.compiler import build_program, place_automatically
from tests.helpers.networks import random_graph


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_networks_survive_the_round_trip(seed: int) -> None:
    graph = random_graph(seed)
    try:
        legal, placement = place_automatically(graph)
    except UserError:
        return  # too large; what may be refused is the business of test_random_networks.py
    sample = np.random.default_rng(seed).integers(-128, 128, graph.input.shape)
    program = build_program(legal, placement)
    with tempfile.TemporaryDirectory() as folder:
        yaml_out.write(folder, legal, placement, sample)
        again, folded = official.load(folder)
    first = compare.state_of_program(program, sample)
    assert compare.differences(compare.state_of_program(again.program, folded), first) == []
