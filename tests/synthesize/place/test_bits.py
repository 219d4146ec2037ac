"""Bit allocation: what it returns fits, what it refuses it explains."""

from __future__ import annotations

import re

import pytest

from ai8x_models.students import SPECS
from common.errors import UserError
from synthesize.chip import limits
from synthesize.graph.ir import Graph
from synthesize.place import memories, verify
from synthesize.place.bits import allocate, graph_of, with_bits
from synthesize.place.choices import Problem
from synthesize.place.search import search

SEED = SPECS["seed"]
CHOSEN_BY_HAND = {"conv4", "conv5", "conv6", "conv7", "conv8", "cpm2", "cpm3"}


@pytest.fixture(scope="module")
def seed_graph() -> Graph:
    return graph_of("seed", SEED.describe())


def costs(graph: Graph, table: dict[int, float]) -> dict[str, dict[int, float]]:
    return {layer.name: dict(table) for layer in graph.layers}


def test_the_graph_of_a_description_has_the_students_sizes(seed_graph: Graph) -> None:
    parameters = sum(x.weight.size + len(x.bias) for x in seed_graph.layers)
    # The torch student counts two numbers of batch norm per output of its 13 inner layers more.
    inner = sum(x.out_shape[0] for x in seed_graph.layers if not x.wide)
    assert parameters + 2 * inner == 659_001
    assert seed_graph.input.shape == (3, 128, 128)


def test_expensive_layers_keep_their_bits_and_the_result_fits(seed_graph: Graph) -> None:
    table = costs(seed_graph, {8: 0.0, 4: 1.0})
    for name in CHOSEN_BY_HAND:
        table[name] = {8: 0.0, 4: 0.01}
    found = allocate(seed_graph, table)
    assert {name for name, bits in found.bits.items() if bits == 4} == CHOSEN_BY_HAND
    assert found.cost == pytest.approx(sum(table[n][b] for n, b in found.bits.items()))
    assert found.fullest <= limits.WEIGHT_WORDS
    assert verify.check(found.graph, found.placement) == []
    for layer, spot in zip(found.graph.layers, found.placement.layers, strict=True):
        assert found.words[layer.name] == memories.kernel_words(layer, spot) == spot.words


def test_bounds_never_refuse_what_can_be_placed(seed_graph: Graph) -> None:
    from synthesize.legal.rewrites import legalise

    legal = legalise(seed_graph, check=False)
    for bits in (1, 2, 4):
        chosen = with_bits(legal, {layer.name: bits for layer in legal.layers})
        placement = search(chosen)
        names = [layer.name for layer in chosen.layers]
        problem = Problem(chosen, placement, {name: {bits: 0.0} for name in names})
        fullest = max(spot.first_word + spot.words for spot in placement.layers)
        rows = problem.least_rows(dict.fromkeys(names, bits))
        assert rows * memories.KERNEL_ALIGNMENT <= -(-fullest // 4) * 4


def test_a_network_that_misses_the_chip_says_by_how_much(seed_graph: Graph) -> None:
    with pytest.raises(UserError) as caught:
        allocate(seed_graph, costs(seed_graph, {8: 0.0}))
    sentence = str(caught.value)
    need, more = map(int, re.findall(r"(?:least|processor,) (\d+)", sentence))
    assert need - more == limits.WEIGHT_WORDS
    # Layers with more than 32 processors lie on top of one another: their words, by hand.
    stacked = 64 + 96 + 192 + 256 + 256 + 24 + 192 + 192 + 16 + 16
    assert need >= stacked
    for name in ("conv7 (256 words at 8 bits)", "conv8", "cpm2"):
        assert name in sentence


def test_a_network_that_is_too_slow_names_the_slowest_layers(seed_graph: Graph) -> None:
    with pytest.raises(UserError, match=r"143,265 more than the 1,000,000 allowed.*conv3"):
        allocate(seed_graph, costs(seed_graph, {4: 0.0}), max_cycles=1_000_000)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"conv99": {8: 0.0}}, "conv99 has costs but does not exist"),
        ({"conv1": {}}, "no bit width is allowed"),
        ({"conv1": {3: 0.0}}, "at 3 bits"),
        ({"conv1": {8: float("nan")}}, "nan at 8 bits"),
    ],
)
def test_costs_that_make_no_sense_are_refused(seed_graph: Graph, change: dict, word: str) -> None:
    with pytest.raises(UserError, match=word):
        allocate(seed_graph, {**costs(seed_graph, {4: 0.0}), **change})


def test_missing_costs_are_refused(seed_graph: Graph) -> None:
    table = costs(seed_graph, {4: 0.0})
    del table["cpm2"]
    with pytest.raises(UserError, match="cpm2 has no costs"):
        allocate(seed_graph, table)


def test_copies_that_are_convolutions_need_no_costs() -> None:
    """Concatenated with the input, a layer of the chip's own copies that; two sums of the same."""

    def entry(name: str, source: list[str], channels: int, **options: object) -> dict[str, object]:
        made = {"name": name, "op": "conv2d", "in": source, "in_channels": channels, "pad": 1}
        return {**made, "out_channels": 8, "kernel": 3, **options}

    network = [entry("a", ["input"], 8), entry("b", ["input", "a"], 16)]
    graph = graph_of("dense", {"network": network, "input": {"shape": [8, 6, 6]}})
    found = allocate(graph, {"a": {8: 0.0, 4: 1.0}, "b": {8: 0.0}})
    assert found.bits == {"a": 8, "b": 8}
    assert found.cost == 0.0
