"""Chooses the weight bits of every layer: the cheapest choice that the chip can hold.

Given what each width costs in each layer (any additive measure; normally the error it adds to the
outputs), :func:`allocate` returns the choice with the least total cost among all that the
compiler's own placement accepts. Nothing about packing is repeated here: the words of a layer come
from :func:`synthesize.place.memories.kernel_words`, and what fits is what
:func:`synthesize.place.search.search` places, bias memory included.

:mod:`synthesize.place.choices` yields choices in order of rising cost and leaves out only what
cannot fit. The first one that is placed is returned; one that takes at least as many words in every
layer as one that was refused is passed over. That rule is what makes large networks possible, and
all that keeps the result from being exact: kernels are packed first fit, as the public generator
packs them, so now and then more words fit where fewer leave a gap of the wrong size.

The cycles of a layer do not depend on its bits; a limit on them is checked once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from common.errors import UserError
from synthesize.chip import limits
from synthesize.chip.cycles import STARTUP_CYCLES
from synthesize.graph.ir import Graph, Layer, at
from synthesize.legal import rewrites, streaming
from synthesize.place import geometry, memories, search
from synthesize.place.choices import Problem
from synthesize.place.placement import Placement
from synthesize.read import student
from synthesize.read.checkpoint import Checkpoint, LayerWeights

Costs = Mapping[str, Mapping[int, float]]
"""Cost of every allowed width (1, 2, 4 or 8 bits) of every layer, by layer name."""

ATTEMPTS = 30
"""Shuffled orders the placement tries per choice. Where one of them helps at all, it is among the
first few; refusing quickly is what counts, because most choices asked about do not fit."""

_NAMED = 4
"""Layers that a sentence names."""


@dataclass(frozen=True)
class Allocation:
    """The chosen bits and what they lead to.

    Args:
        bits: weight bits by layer of the described network.
        cost: total cost of the choice.
        words: kernel words in each of its processors, by layer as it runs on the chip.
        fullest: end of the used kernel words in the fullest processor (limit 768).
        weight_bytes, bias_bytes: bytes of the weights and biases.
        cycles: CNN clock cycles of one inference.
        refused: cheaper choices that were placed in vain.
        graph, placement: the graph as it runs on the chip, and the place found for it.
    """

    bits: dict[str, int]
    cost: float
    words: dict[str, int]
    fullest: int
    weight_bytes: int
    bias_bytes: int
    cycles: int
    refused: int
    graph: Graph
    placement: Placement


def allocate(described: Graph, costs: Costs, max_cycles: int | None = None) -> Allocation:
    """Choose the bits of a described network, over all forms the compiler would try.

    Layers that are merged in one of these forms get equal bits there. Equal costs are decided by
    the fewer cycles.

    Args:
        described: the network; the values of its weights do not matter.
        costs: cost by layer and width; widths that are missing are not allowed.
        max_cycles: most CNN clock cycles of one inference.

    Raises:
        UserError: no choice fits (the sentence says by how much and which layers to shrink), or
            the costs do not belong to the network.
    """
    _check_costs(described, costs)
    best: Allocation | None = None
    error: UserError | None = None
    for legal in rewrites.alternatives(rewrites.legalise(described, check=False), check=False):
        try:
            found = allocate_legal(legal, costs, max_cycles)
        except UserError as failure:
            error = error or failure
            continue
        if best is None or (found.cost, found.cycles) < (best.cost, best.cycles):
            best = found
    if best is None:
        assert error is not None
        raise error
    return best


def allocate_legal(graph: Graph, costs: Costs, max_cycles: int | None = None) -> Allocation:
    """Choose the bits of one legal graph; arguments and errors as :func:`allocate`.

    A layer ``a+b`` made by merging costs the sum of its parts at equal bits.
    """
    graph = streaming.widen_first(graph, search.streaming_layers(graph))
    options = _options(graph, costs)
    placement = _place_narrowest(graph, options)
    _check_cycles(graph, placement, max_cycles)
    problem = Problem(graph, placement, options)
    refused: list[tuple[int, ...]] = []
    for cost, bits in problem.choices():
        rows = problem.rows(bits)
        if any(all(a >= b for a, b in zip(rows, worse, strict=True)) for worse in refused):
            continue
        chosen = with_bits(graph, bits)
        try:  # the narrowest was placed before, by as many tries as it took
            last = all(width == min(options[name]) for name, width in bits.items())
            placement = search.search(chosen, attempts=search.ATTEMPTS if last else ATTEMPTS)
        except UserError:
            refused.append(rows)
            continue
        return _allocation(chosen, placement, bits, costs, cost, len(refused))
    raise AssertionError("the narrowest choice was placed before, so one must be found")


def with_bits(graph: Graph, bits: Mapping[str, int]) -> Graph:
    """Return the graph with other weight bits (the weights' values stay as they are)."""
    layers = (replace(x, bits=bits[x.name]) if x.name in bits else x for x in graph.layers)
    return replace(graph, layers=tuple(layers))


def graph_of(name: str, description: Mapping[str, Any]) -> Graph:
    """Return the graph of a network that has no weights yet, for questions of size.

    Args:
        name: name of the network.
        description: what a student's checkpoint carries as ``extras`` (see
            :mod:`synthesize.read.student`), with ``in_channels`` and ``out_channels``.

    Returns:
        The described graph; weights are zero, biases one (so that they take their place).

    Raises:
        UserError: the description is malformed.
    """
    layers = []
    for entry in description.get("network") or ():
        try:
            kernel = entry.get("kernel", 1)
            rows, cols = (kernel, kernel) if isinstance(kernel, int) else kernel
            outputs, inputs = int(entry["out_channels"]), int(entry["in_channels"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"network {name}: every layer of its description needs in_channels, out_channels "
                f"and kernel ({type(error).__name__} at {error})"
            ) from error
        if entry.get("op") == "passthrough":
            continue
        first = (inputs, outputs) if entry.get("op") == "convtranspose2d" else (outputs, inputs)
        weight = np.zeros((*first, rows, cols), np.int64)
        bias = np.full(outputs, 128, np.int64)  # 1 in bias memory at 8 bits
        layers.append(LayerWeights(str(entry.get("name")), weight, bias, 0, 8))
    return student.load(Checkpoint(f"network {name}", name, tuple(layers), description))


def _parts(layer: Layer, costs: Costs) -> list[str]:
    """Return the described layers that a legal layer is made of; none for a copy of data."""
    if layer.name in costs:
        return [layer.name]
    return [part for part in layer.name.split("+") if part in costs]


def _options(graph: Graph, costs: Costs) -> dict[str, dict[int, float]]:
    options = {}
    for layer in graph.layers:
        if layer.weight is not None:
            parts = _parts(layer, costs)
            if not parts:  # its weights are the chip's own business, and exact as they are
                options[layer.name] = {layer.bits: 0.0}
                continue
            common = set.intersection(*(set(costs[part]) for part in parts))
            if not common:
                raise UserError(
                    f"{at(layer)}its parts have no bit width in common; allow the same widths"
                )
            options[layer.name] = {b: sum(costs[part][b] for part in parts) for b in common}
    return options


def _check_costs(described: Graph, costs: Costs) -> None:
    names = {layer.name for layer in described.layers if layer.weight is not None}
    for name in sorted(names ^ set(costs)):
        problem = "has no costs" if name in names else "has costs but does not exist"
        raise UserError(f"network {described.name}: layer {name} {problem}; give one set per layer")
    for name, widths in costs.items():
        for bits, cost in widths.items():
            if bits not in limits.WEIGHT_BITS or not math.isfinite(cost):
                raise UserError(
                    f"layer {name}: a cost of {cost} at {bits} bits cannot be used; widths are 1, "
                    "2, 4 and 8 and costs are finite"
                )
        if not widths:
            raise UserError(f"layer {name}: no bit width is allowed; allow at least one")


def _place_narrowest(graph: Graph, options: Mapping[str, Mapping[int, float]]) -> Placement:
    """Place the choice with the fewest words.

    Raises:
        UserError: not even that fits.
    """
    narrowest = {name: min(widths) for name, widths in options.items()}
    smallest = with_bits(graph, narrowest)
    try:
        return search.search(smallest)
    except UserError:
        one_bit = with_bits(graph, dict.fromkeys(options, min(limits.WEIGHT_BITS)))
        placement = search.search(one_bit)  # not a matter of weights when this fails as well
        problem = Problem(graph, placement, options)
        words = problem.least_rows(narrowest) * memories.KERNEL_ALIGNMENT
        if words <= limits.WEIGHT_WORDS:
            raise
        raise UserError(_too_large(graph, problem, narrowest, words)) from None


def _too_large(graph: Graph, problem: Problem, bits: Mapping[str, int], words: int) -> str:
    def need(name: str) -> int:
        return problem.height[name][bits[name]] * memories.KERNEL_ALIGNMENT

    largest = sorted(problem.order, key=lambda n: -problem.groups[n] * need(n))[:_NAMED]
    named = ", ".join(f"{name} ({need(name)} words at {bits[name]} bits)" for name in largest)
    return (
        f"network {graph.name}: even with the fewest bits allowed its kernels need at least "
        f"{words} words in the fullest processor, {words - limits.WEIGHT_WORDS} more than the "
        f"{limits.WEIGHT_WORDS} there are; allow fewer bits or give fewer channels to the largest "
        f"layers: {named}"
    )


def _cycles(graph: Graph, placement: Placement) -> list[int]:
    pairs = zip(graph.layers, placement.layers, strict=True)
    return [geometry.cycles(layer, spot) for layer, spot in pairs]


def _check_cycles(graph: Graph, placement: Placement, most: int | None) -> None:
    """Refuse a network that is too slow; bits do not change the cycles."""
    if most is None:
        return
    cycles = _cycles(graph, placement)
    total = STARTUP_CYCLES + sum(cycles)
    if total > most:
        slowest = sorted(zip(cycles, graph.layers, strict=True), key=lambda pair: -pair[0])
        named = ", ".join(f"{layer.name} ({n:,})" for n, layer in slowest[:_NAMED])
        raise UserError(
            f"network {graph.name}: it takes {total:,} cycles at any bit width, {total - most:,} "
            f"more than the {most:,} allowed; pool earlier or give fewer channels to the slowest "
            f"layers: {named}"
        )


def _allocation(
    graph: Graph,
    placement: Placement,
    bits: Mapping[str, int],
    costs: Costs,
    cost: float,
    refused: int,
) -> Allocation:
    spots = dict(zip((layer.name for layer in graph.layers), placement.layers, strict=True))
    weighted = [layer for layer in graph.layers if layer.name in bits]
    by_part = {part: bits[layer.name] for layer in weighted for part in _parts(layer, costs)}
    return Allocation(
        bits=by_part,
        cost=cost,
        words={name: spots[name].words for name in bits},
        fullest=max(spot.first_word + spot.words for spot in placement.layers),
        weight_bytes=sum(layer.weight_bytes for layer in graph.layers),
        bias_bytes=sum(0 if x.bias is None else len(x.bias) for x in graph.layers),
        cycles=STARTUP_CYCLES + sum(_cycles(graph, placement)),
        refused=refused,
        graph=graph,
        placement=placement,
    )
