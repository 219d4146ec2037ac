"""Random networks too large to be stored: the search streams them, and they compute the same."""

from __future__ import annotations

import tempfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesize.ai8x import compare
from synthesize.ai8x import description as yaml_out
from synthesize.ai8x import generator as official
from synthesize.chip import limits
from synthesize.compiler import compile_graph
from synthesize.graph import ir
from synthesize.graph.ir import INPUT, Graph, Output, Pool
from tests.networks import Builder
from tests.virtual import run_on_kit


def random_chain(seed: int) -> Graph:
    """A network whose input of 1 to 16 channels is large enough that its first layers stream."""
    b = Builder(seed)
    before = int(b.rng.integers(4))  # layers before the first pooling
    # An input that is pooled at once may be stored up to 32768 pixels, one channel per memory.
    low, high = (183, 200) if before == 0 else (91, 131)
    rows, cols = (int(n) for n in b.rng.integers(low, high, 2))
    b.shapes[INPUT] = (int(b.rng.integers(1, 17)), rows, cols)
    current: str = INPUT
    for i in range(max(2, before + int(b.rng.integers(1, 3)))):
        kernel = 3 if i == 0 or b.chance(0.7) else 1
        size = 1 if i < before else int(b.rng.integers(2, 4))
        pool = Pool(str(b.pick("max", "avg")), (size, size), (size, size)) if size > 1 else None  # type: ignore[arg-type]
        options = {"kernel": (kernel, kernel), "pad": (kernel // 2,) * 2, "pool": pool}
        name = b.add(b.layer("conv2d", current, **options), b.channels(32))
        assert name is not None
        current = name
    layers = list(b.layers)
    rows, cols = layers[-1].out_shape[1:]
    if 4 * rows * cols <= limits.DATA_INSTANCE_WORDS and b.chance(0.5):
        layers[-1] = replace(layers[-1], wide=True, activation="none")
    outputs = (Output("y", current, 0, layers[-1].out_shape[0]),)
    return Graph(f"chain{seed}", ir.Input(b.shapes[INPUT]), tuple(layers), outputs)


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
