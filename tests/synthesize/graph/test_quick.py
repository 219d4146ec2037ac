"""The quick runner gives the reference's integers, whatever the network and the thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesize.graph import quick, reference
from synthesize.graph.ir import Graph, Input, Layer, Output
from tests.helpers.networks import random_chain, random_graph


def same(graph: Graph, seed: int, turns: int = 2) -> None:
    runner = quick.Runner(graph)
    draw = np.random.default_rng(seed)
    for _ in range(turns):  # what one picture leaves in the buffers is not seen in the next
        data = draw.integers(-128, 128, graph.input.shape)
        wanted, got = reference.run(graph, data), runner.run(data)
        assert wanted.keys() == got.keys()
        for name, values in wanted.items():
            assert got[name].dtype == values.dtype
            np.testing.assert_array_equal(got[name], values)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([random_graph, random_chain]))
def test_random_networks(seed: int, make) -> None:
    same(make(seed), seed)


@pytest.mark.parametrize("activation", ["none", "relu", "abs"])
@pytest.mark.parametrize("shift", [-15, -3, 0, 1, 6, 7, 8, 15])
@pytest.mark.parametrize(("kernel", "pad"), [((3, 3), (1, 1)), ((3, 3), (0, 2)), ((1, 1), (2, 0))])
def test_one_layer(activation, shift: int, kernel, pad) -> None:
    draw = np.random.default_rng(shift + 20)
    shape = (5, 7, 9)
    out = (6, 7 + 2 * pad[0] - kernel[0] + 1, 9 + 2 * pad[1] - kernel[1] + 1)
    weight, bias = draw.integers(-128, 128, (6, 5, *kernel)), draw.integers(-128, 128, 6)
    layer = Layer("a", "conv2d", ("input",), shape, out, kernel=kernel, pad=pad, weight=weight,
                  bias=bias, output_shift=shift, activation=activation)  # fmt: skip
    same(Graph("one", Input(shape), (layer,), (Output("a", "a", 0, 6),)), shift + 20)


@pytest.mark.parametrize("activation", ["none", "relu", "abs"])
@pytest.mark.parametrize("pad", [0, 1, 2])
@pytest.mark.parametrize("wide", [False, True])
def test_a_transposed_layer_is_taken_apart(activation: str, pad: int, wide: bool) -> None:
    draw = np.random.default_rng(pad)
    shape, weight = (5, 4, 6), draw.integers(-128, 128, (6, 5, 3, 3))
    out = (6, *(2 * (n - 1) + 1 + 2 * (2 - pad) + 1 - 2 for n in shape[1:]))
    layer = Layer("a", "convtranspose2d", ("input",), shape, out, kernel=(3, 3), stride=(2, 2),
                  pad=(pad, pad), output_pad=(1, 1), weight=weight, output_shift=-2, wide=wide,
                  bias=draw.integers(-128, 128, 6), activation=activation)  # fmt: skip
    ready = quick._prepared(layer)
    assert ready is not None
    taps = [part.taps.shape[0] * part.taps.shape[2] // 5 for part in ready.parts]
    assert sum(taps) == 9  # none meets the zeros between the data
    same(Graph("up", Input(shape), (layer,), (Output("a", "a", 0, 6),)), pad)


def test_sums_beyond_single_precision_are_left_to_the_reference() -> None:
    weight = np.full((1, 1024, 3, 3), 127)
    layer = Layer("a", "conv2d", ("input",), (1024, 4, 4), (1, 4, 4), kernel=(3, 3), pad=(1, 1),
                  weight=weight, wide=True)  # fmt: skip
    assert quick._prepared(layer) is None
    same(Graph("large", Input((1024, 4, 4)), (layer,), (Output("a", "a", 0, 1),)), 3)


def test_threads_do_not_disturb_each_other() -> None:
    graph = random_graph(11)
    runner, draw = quick.Runner(graph), np.random.default_rng(5)
    pictures = [draw.integers(-128, 128, graph.input.shape) for _ in range(40)]
    wanted = [reference.run(graph, picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        for answer, right in zip(pool.map(runner.run, pictures), wanted, strict=True):
            for name, values in right.items():
                np.testing.assert_array_equal(answer[name], values)
