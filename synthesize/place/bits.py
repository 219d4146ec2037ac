"""Chooses the weight bits of every layer: the cheapest choice that the chip can hold, exactly.

Given what each width costs in each layer (any additive measure; normally the error it adds to the
outputs), :func:`allocate` returns the choice with the least total cost among all that the
compiler's own placement accepts. Nothing about packing is repeated here: the words of a layer come
from :func:`synthesize.place.memories.kernel_words`, and what fits is what
:func:`synthesize.place.search.search` places, bias memory included.

Why the result is exact: choices are visited in order of rising cost (best-first search; the cost
still to come is bounded from below by dynamic programming), and the first one that is placed is
returned. A choice is passed over without asking the placement only when it provably cannot fit:

* Row by row, the kernels of layers that stand side by side pack their widths (processors, in
  groups of four) into 16 groups. For every threshold t, counting a layer wider than 16 - t as a
  whole row, one narrower than t as nothing and any other by its width, the rows may not exceed the
  memory (bounds by dual feasible functions: Fekete and Schepers, "New classes of fast lower bounds
  for bin packing problems", Mathematical Programming 91, 2001). t = 0 is the area; t = 8 says that
  layers with more than 32 processors stand on top of one another.
* A choice that takes at least as many words in every layer as one that was refused.

The cycles of a layer do not depend on its bits; a limit on them is checked once.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from common.errors import UserError
from synthesize.chip import limits
from synthesize.chip.cycles import STARTUP_CYCLES
from synthesize.graph.ir import Graph, Layer, at
from synthesize.graph.masks import bits_of
from synthesize.legal import rewrites, streaming
from synthesize.place import geometry, memories, search
from synthesize.place.placement import LayerPlace, Placement
from synthesize.read import student
from synthesize.read.checkpoint import Checkpoint, LayerWeights

Costs = Mapping[str, Mapping[int, float]]
"""Cost of every allowed width (1, 2, 4 or 8 bits) of every layer, by layer name."""

ATTEMPTS = 30
"""Shuffled orders the placement tries per choice. Where one of them helps at all, it is among the
first few; refusing quickly is what counts, because most choices asked about do not fit."""

_CAPACITY = limits.DATA_INSTANCES * (limits.WEIGHT_WORDS // memories.KERNEL_ALIGNMENT)
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
        try:
            placement = search.search(chosen, attempts=ATTEMPTS)
        except UserError:
            refused.append(rows)
            continue
        return _allocation(chosen, placement, bits, cost, len(refused))
    raise AssertionError("the narrowest choice was placed before, so one must be found")


class Problem:
    """Kernel rows (four words each) of every choice, and the choices in order of cost.

    Args:
        graph: a legal graph.
        placement: any placement of it; only the widths of the masks are used.
        options: cost by layer with weights and width.
    """

    def __init__(
        self, graph: Graph, placement: Placement, options: Mapping[str, Mapping[int, float]]
    ) -> None:
        names = (layer.name for layer in graph.layers)
        spots = dict(zip(names, placement.layers, strict=True))
        layers = {name: graph.layer(name) for name in options}
        self.options = options
        self.height = {
            name: {b: kernel_rows(layers[name], spots[name], b) for b in widths}
            for name, widths in options.items()
        }
        self.groups = {name: _groups(spots[name].processors) for name in options}
        # Layers with much to decide first: their bounds cut off the most.
        self.order = sorted(options, key=lambda n: -self.groups[n] * max(self.height[n].values()))
        self.bounds = self._bounds()

    def rows(self, bits: Mapping[str, int]) -> tuple[int, ...]:
        """Return the rows of every layer for a choice, in a fixed order."""
        return tuple(self.height[name][bits[name]] for name in self.order)

    def least_rows(self, bits: Mapping[str, int]) -> int:
        """Return a lower bound of the rows that the fullest processor needs for a choice."""
        total = [
            sum(counted[n] * self.height[n][bits[n]] for n in self.order) for counted in self.bounds
        ]
        return -(-max(total) // limits.DATA_INSTANCES)

    def choices(self) -> Iterator[tuple[float, dict[str, int]]]:
        """Yield (cost, bits by layer) that keep all bounds, cheapest first."""
        tables = [self._table(counted) for counted in self.bounds]
        number = itertools.count()
        full = (_CAPACITY,) * len(self.bounds)
        queue: list[tuple[float, int, float, tuple[int, ...], tuple[int, ...]]] = []
        heapq.heappush(queue, (_bound(tables, 0, full), next(number), 0.0, full, ()))
        while queue:
            estimate, _, cost, left, chosen = heapq.heappop(queue)
            if estimate == math.inf:
                return
            if len(chosen) == len(self.order):
                yield cost, dict(zip(self.order, chosen, strict=True))
                continue
            name = self.order[len(chosen)]
            for bits, price in self.options[name].items():
                height = self.height[name][bits]
                rest = tuple(c - b[name] * height for c, b in zip(left, self.bounds, strict=True))
                if min(rest) < 0:
                    continue
                after = (*chosen, bits)
                total = cost + price
                estimate = total + _bound(tables, len(after), rest)
                heapq.heappush(queue, (estimate, next(number), total, rest, after))

    def _bounds(self) -> list[dict[str, int]]:
        """Return what each threshold counts a layer's width as, in sixteenths of a row."""
        whole = limits.DATA_INSTANCES
        found: list[dict[str, int]] = []
        for threshold in range(whole // 2 + 1):
            counted = {}
            for name, width in self.groups.items():
                if width > whole - threshold:
                    counted[name] = whole
                else:
                    counted[name] = width if width >= threshold else 0
            if counted not in found:
                found.append(counted)
        return found

    def _table(self, counted: Mapping[str, int]) -> np.ndarray:
        """Return float64 [layers + 1, capacity + 1]: least cost of the layers from i on.

        Capacity is counted in sixteenths of a row.
        """
        table = np.zeros((len(self.order) + 1, _CAPACITY + 1))
        for i in range(len(self.order) - 1, -1, -1):
            name = self.order[i]
            row = np.full(_CAPACITY + 1, math.inf)
            for bits, price in self.options[name].items():
                need = counted[name] * self.height[name][bits]
                if need <= _CAPACITY:
                    reach = table[i + 1, : _CAPACITY + 1 - need] + price
                    row[need:] = np.minimum(row[need:], reach)
            table[i] = row
        return table


def kernel_rows(layer: Layer, spot: LayerPlace, bits: int) -> int:
    """Return the rows of four kernel words that a layer takes at some width."""
    words = memories.kernel_words(replace(layer, bits=bits), spot)
    return -(-words // memories.KERNEL_ALIGNMENT)


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


def _bound(tables: Sequence[np.ndarray], index: int, left: Sequence[int]) -> float:
    return max(float(t[index, room]) for t, room in zip(tables, left, strict=True))


def _groups(mask: int) -> int:
    """Return the groups of four processors that a mask touches.

    Searched placements start every tensor at a multiple of four, so layers that touch the same
    group share its first processor.
    """
    lanes = limits.PROCESSORS_PER_INSTANCE
    return len({processor // lanes for processor in bits_of(mask)})


def _parts(layer: Layer, costs: Costs) -> list[str]:
    """Return the described layers that a legal layer is made of."""
    return [layer.name] if layer.name in costs else layer.name.split("+")


def _options(graph: Graph, costs: Costs) -> dict[str, dict[int, float]]:
    options = {}
    for layer in graph.layers:
        if layer.weight is not None:
            parts = _parts(layer, costs)
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
    graph: Graph, placement: Placement, bits: Mapping[str, int], cost: float, refused: int
) -> Allocation:
    spots = dict(zip((layer.name for layer in graph.layers), placement.layers, strict=True))
    by_part = {part: b for name, b in bits.items() for part in name.split("+")}
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
