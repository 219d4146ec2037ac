"""Memory that another network keeps: placing around it, and two networks in turn."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from common.errors import UserError
from synthesize.chip import limits
from synthesize.graph import shapes
from synthesize.graph.ir import INPUT, Graph, Input, Layer, Output
from synthesize.place import memories, search, verify
from synthesize.place.reserved import NOTHING, Reserved, starting_at
from synthesize.program import pack


def dense(name: str, source: str, inputs: int, outputs: int) -> Layer:
    rng = np.random.default_rng(inputs + outputs)
    layer = Layer(
        name, "conv2d", (source,), (inputs, 1, 1), (outputs, 1, 1),
        weight=rng.integers(-128, 128, (outputs, inputs, 1, 1)), bias=np.arange(1, outputs + 1),
    )  # fmt: skip
    return replace(layer, out_shape=shapes.result_shape(layer))


def network(*sizes: int) -> Graph:
    layers = []
    source = INPUT
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        layers.append(dense(f"n{number}", source, inputs, outputs))
        source = f"n{number}"
    return Graph(
        "g", Input((sizes[0], 1, 1)), tuple(layers), (Output(source, source, 0, sizes[-1]),)
    )


def test_a_network_starts_at_the_word_and_the_bias_it_is_told() -> None:
    graph = network(64, 64, 20)
    placement = search.search(graph, reserved=starting_at(700, 100))
    assert min(p.first_word for p in placement.layers) == 700
    assert min(p.bias_offset for p in placement.layers if p.bias_quadrant is not None) == 100
    assert verify.check(graph, placement) == []
    for block in pack.bias_blocks(graph, placement):
        assert block.address % 0x1000 == 4 * 100
        assert len(block.words) <= 84
    with pytest.raises(UserError, match="3 kernel words in each of 64 processors, but only 0 of"):
        search.search(graph, reserved=starting_at(760))
    with pytest.raises(UserError, match="biases do not fit"):
        search.search(graph, reserved=starting_at(0, 500))


def test_starts_outside_the_memories_are_refused() -> None:
    assert starting_at(0) == NOTHING
    for word, bias in ((768, 0), (-1, 0), (0, 512)):
        with pytest.raises(UserError, match="it must be in 0"):
            starting_at(word, bias)


def test_networks_placed_one_after_the_other_share_no_word_and_no_bias() -> None:
    first, second = network(64, 64, 64), network(32, 64, 48)
    one = search.search(first)
    taken = memories.reserve(first, one)
    two = search.search(second, reserved=taken)
    both = memories.reserve(second, two)
    alone = memories.reserve(second, replace(two, reserved=NOTHING))
    assert all(a & b == 0 for a, b in zip(taken.words, alone.words, strict=True))
    assert [a | b for a, b in zip(taken.words, alone.words, strict=True)] == list(both.words)
    assert sum(both.biases) == 64 + 64 + 64 + 48
    assert taken.counts()[0] == sum(p.words for p in one.layers)


def test_the_check_finds_what_lies_on_another_networks_memory() -> None:
    graph = network(64, 64)
    placement = search.search(graph)
    words = replace(placement, reserved=starting_at(4))
    assert "kernel word 0 of processor 0 belongs to another network" in str(
        verify.check(graph, words)[0]
    )
    biases = replace(placement, reserved=Reserved(biases=(1,) * limits.QUADRANTS))
    assert "bias byte 0 of quadrant 0 belongs to another network" in str(
        verify.check(graph, biases)[0]
    )


def test_wide_layers_come_first_where_the_usual_order_leaves_a_hole_too_small() -> None:
    """In the usual order the first layer takes 8 of the 12 words free, but not aligned for both."""
    graph = network(32, 64, 48)
    free = ((1 << limits.WEIGHT_WORDS) - 1) & ~(0xFFF << 100)
    low = free & ~(0xFF << 300)
    reserved = Reserved((low,) * 32 + (free,) * 32)
    placement = search.search(graph, reserved=reserved)
    assert [p.first_word for p in placement.layers] == [300, 100]
    assert verify.check(graph, placement) == []
