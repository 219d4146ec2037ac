"""Chooses the weight bits of every layer: the cheapest choice that the chip can hold, exactly.

Given what each width costs in each layer (any additive measure; normally the error it adds to the
outputs), :func:`allocate` returns the choice with the least total cost among all that the
compiler's own placement accepts. Nothing about packing is repeated here: the words of a layer come
from :func:`synthesize.place.kernel_words`, and what fits is what :func:`synthesize.search.search`
places.

Why the result is exact: choices are visited in order of rising cost (best-first search; the cost
still to come is bounded from below by dynamic programming), and the first one that is placed is
returned. A choice is passed over without asking the placement only when it provably cannot fit:

* Row by row, the kernels of layers that stand side by side are a packing of widths (processors)
  into 64. For every threshold t, counting a layer wider than 64 - t as a whole row, one narrower
  than t as nothing and any other by its width, the rows may not exceed the memory (bounds by dual
  feasible functions: Fekete and Schepers, "New classes of fast lower bounds for bin packing
  problems", Mathematical Programming 91, 2001). t = 0 is the area; t = 32 says that layers with
  more than 32 processors stand on top of one another.
* A choice that takes at least as many words in every layer as one that was refused.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from synthesize import frontend_student, geometry, passes, place, rules, search
from synthesize.checkpoint import Checkpoint, LayerWeights
from synthesize.chip import limits
from synthesize.chip.cycles import STARTUP_CYCLES
from synthesize.chip.errors import UserError
from synthesize.ir import Graph, Layer
from synthesize.placement import LayerPlace, Placement, bit_count

Costs = Mapping[str, Mapping[int, float]]
"""Cost of every allowed width (1, 2, 4 or 8 bits) of every layer, by layer name."""
Placer = Callable[[Graph], Placement]

_ROWS = limits.WEIGHT_WORDS // place.KERNEL_ALIGNMENT
_NAMED = 4  # layers a sentence names


@dataclass(frozen=True)
class Allocation:
    """The chosen bits and what they lead to.

    Args:
        bits: weight bits by layer of the described network.
        cost: total cost of the choice.
        words: kernel words in each of its processors, by layer as it runs on the chip.
        fullest: kernel words in use up to the highest of any processor (limit 768).
        weight_bytes, bias_bytes: bytes of the weights and biases.
        cycles: CNN clock cycles of one inference.
        refused: choices that had to be placed to learn that they do not fit.
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


def allocate(
    described: Graph, costs: Costs, max_cycles: int | None = None, placer: Placer = search.search
) -> Allocation:
    """Choose the bits of a described network, over all forms the compiler would try.

    Layers that are merged in one of these forms get equal bits there. Equal costs are decided by
    the fewer cycles.

    Args:
        described: the network; the values of its weights do not matter.
        costs: cost by layer and width; widths that are missing are not allowed.
        max_cycles: most CNN clock cycles of one inference.
        placer: finds a placement or raises :class:`UserError`.

    Raises:
        UserError: no choice fits; the sentence says by how much and which layers to shrink.
    """
    _check_costs(described, costs)
    best: Allocation | None = None
    error: UserError | None = None
    for legal in passes.alternatives(passes.legalise(described, check=False), check=False):
        try:
            found = allocate_legal(legal, costs, max_cycles, placer)
        except UserError as failure:
            error = error or failure
            continue
        if best is None or (found.cost, found.cycles) < (best.cost, best.cycles):
            best = found
    if best is None:
        assert error is not None
        raise error
    return best


def allocate_legal(
    graph: Graph, costs: Costs, max_cycles: int | None = None, placer: Placer = search.search
) -> Allocation:
    """Choose the bits of one legal graph; arguments and errors as :func:`allocate`.

    A layer ``a+b`` made by merging costs the sum of its parts at equal bits.
    """
    options = _options(graph, costs)
    smallest = {name: min(widths) for name, widths in options.items()}
    narrowest = _with_bits(graph, smallest)
    for layer in narrowest.layers:
        rules.check_layer_limits(narrowest, layer) if False else None
    placement = _place_smallest(narrowest, placer)
    _check_cycles(narrowest, placement, max_cycles)
    problem = _Problem(graph, placement, options)
    refused: list[tuple[int, ...]] = []
    for cost, bits in problem.choices():
        rows = problem.rows(bits)
        if any(all(a >= b for a, b in zip(rows, worse, strict=True)) for worse in refused):
            continue
        chosen = _with_bits(graph, bits)
        try:
            placement = placer(chosen)
        except UserError:
            refused.append(rows)
            continue
        if max_cycles is None or _cycles(chosen, placement) <= max_cycles:
            return _allocation(chosen, placement, costs, bits, cost, len(refused))
    raise AssertionError("the narrowest choice was placed, so one must be found")
