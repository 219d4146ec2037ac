"""Bit allocation: brute force over every choice finds nothing cheaper, but for first-fit packing.

What takes more bits in every layer than a choice without a place is passed over. Packing is first
fit, so it might have a place all the same (one case is kept below).
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from synthesize.chip import limits
from synthesize.graph.ir import Graph
from synthesize.place.bits import ATTEMPTS, allocate_legal, graph_of, with_bits
from synthesize.place.search import search

WIDTHS = st.sampled_from([8, 24, 32, 48, 64, 96, 128, 160])


def chain(widths: list[int]) -> Graph:
    """3x3 layers of the given widths on 4x4 data, the first reading 16 channels."""
    network = []
    before, source = 16, "input"
    for index, width in enumerate(widths):
        name = f"layer{index}"
        network.append(
            {
                "name": name, "op": "conv2d", "in": [source], "in_channels": before,
                "out_channels": width, "kernel": 3, "pad": 1, "act": "relu",
            }
        )  # fmt: skip
        before, source = width, name
    return graph_of("chain", {"network": network, "input": {"shape": [16, 4, 4]}})


def kernel_volume(graph: Graph, bits: dict[str, int]) -> int:
    """Kernel words that a choice takes at least, over all processors together.

    Counted here anew: each of a layer's processors holds its 3x3 kernels, a word for 8 of their
    bits, for every output and pass.
    """
    total = 0
    for layer in graph.layers:
        passes = -(-layer.in_shape[0] // limits.PROCESSORS)
        each = -(-layer.in_shape[0] // passes)
        total += each * -(-layer.out_shape[0] * passes * bits[layer.name] // 8)
    return total


def brute_force(graph: Graph, costs: dict[str, dict[int, float]]) -> float | None:
    """Least cost over all choices that the placement accepts, None when there is none.

    Cheapest first, so that the first one placed is the answer; only choices that hold more words
    than the chip has, or as many bits in every layer as one without a place, are not tried.
    """
    names = list(costs)
    refused: list[tuple[int, ...]] = []
    choices = [
        (sum(costs[n][b] for n, b in zip(names, widths, strict=True)), widths)
        for widths in itertools.product(*(costs[name] for name in names))
    ]
    for cost, widths in sorted(choices):
        bits = dict(zip(names, widths, strict=True))
        if kernel_volume(graph, bits) > limits.PROCESSORS * limits.WEIGHT_WORDS:
            continue
        if any(all(a >= b for a, b in zip(widths, worse, strict=True)) for worse in refused):
            continue
        try:
            search(with_bits(graph, bits), attempts=ATTEMPTS)
        except UserError:
            refused.append(widths)
            continue
        return cost
    return None


@st.composite
def problems(draw: st.DrawFn) -> tuple[Graph, dict[str, dict[int, float]]]:
    widths = draw(st.lists(WIDTHS, min_size=2, max_size=4))
    # A wide last layer makes the memory tight, so that a real choice has to be made.
    widths += [draw(st.sampled_from([128, 192, 256, 320])), draw(st.sampled_from([64, 256, 320]))]
    allowed = draw(st.sampled_from([(4, 8), (2, 4, 8), (2, 8)]))
    graph = chain(widths)
    price = st.integers(0, 1000)
    costs = {layer.name: {bits: float(draw(price)) for bits in allowed} for layer in graph.layers}
    return graph, costs


def check_against_brute_force(problem: tuple[Graph, dict[str, dict[int, float]]]) -> None:
    graph, costs = problem
    wanted = brute_force(graph, costs)
    if wanted is None:
        with pytest.raises(UserError):
            allocate_legal(graph, costs)
    else:
        assert allocate_legal(graph, costs).cost == wanted


@settings(max_examples=8, deadline=None)
@given(problems())
def test_no_choice_is_cheaper(problem: tuple[Graph, dict[str, dict[int, float]]]) -> None:
    check_against_brute_force(problem)


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(problems())
def test_no_choice_is_cheaper_in_many_networks(
    problem: tuple[Graph, dict[str, dict[int, float]]],
) -> None:
    check_against_brute_force(problem)


def test_memory_is_tight_enough_for_a_choice() -> None:
    """One hand-made case: only one of two equal layers can keep 8 bits."""
    graph = chain([128, 192, 256, 64])
    costs = {layer.name: {8: 0.0, 4: 10.0} for layer in graph.layers}
    costs["layer1"] = {8: 0.0, 4: 7.0}
    found = allocate_legal(graph, costs)
    # 8 bits take 128, 384, 768 and 256 words: layer 2 alone would fill the memory.
    assert found.bits == {"layer0": 8, "layer1": 4, "layer2": 4, "layer3": 4} or found.cost == (
        brute_force(graph, costs)
    )
    assert found.cost == brute_force(graph, costs)


def test_more_words_may_fit_where_fewer_leave_a_gap() -> None:
    """Why a choice that is passed over could have been cheaper: with 8 bits layer 0 ends where the
    others can follow, with 4 it does not. The answer is then the cheapest of the rest."""
    graph = chain([160, 160, 96, 320, 256])
    costs = {layer.name: dict.fromkeys((2, 4, 8), 0.0) for layer in graph.layers}
    costs["layer0"] = {2: 321.0, 4: 191.0, 8: 296.0}
    costs["layer2"] = {2: 106.0, 4: 0.0, 8: 0.0}
    search(with_bits(graph, dict(zip(costs, (8, 2, 4, 2, 2), strict=True))), attempts=ATTEMPTS)
    with pytest.raises(UserError, match="kernel words"):
        search(with_bits(graph, dict(zip(costs, (4, 2, 4, 2, 2), strict=True))))
    assert allocate_legal(graph, costs).cost == 297.0
