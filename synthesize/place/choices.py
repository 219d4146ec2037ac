"""Choices of weight bits for every layer, the cheapest first, without those that cannot fit.

Choices come in order of rising cost (best-first search; the cost still to come is bounded from
below by dynamic programming), so the first one that can be placed is the best. A choice is passed
over only when it provably cannot fit:

* Row by row, the kernels of layers that stand side by side pack their widths (processors, in
  groups of four) into 16 groups. For every threshold t, counting a layer wider than 16 - t as a
  whole row, one narrower than t as nothing and any other by its width, the rows may not exceed the
  memory (bounds by dual feasible functions: Fekete and Schepers, "New classes of fast lower bounds
  for bin packing problems", Mathematical Programming 91, 2001). t = 0 is the area; t = 8 says that
  layers with more than 32 processors stand on top of one another.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from synthesize.chip import limits
from synthesize.graph.ir import Graph, Layer
from synthesize.graph.masks import bits_of
from synthesize.place import memories
from synthesize.place.placement import LayerPlace, Placement

_CAPACITY = limits.DATA_INSTANCES * (limits.WEIGHT_WORDS // memories.KERNEL_ALIGNMENT)


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


def _bound(tables: Sequence[np.ndarray], index: int, left: Sequence[int]) -> float:
    return max(float(t[index, room]) for t, room in zip(tables, left, strict=True))


def _groups(mask: int) -> int:
    """Return the groups of four processors that a mask touches.

    Searched placements start every tensor at a multiple of four, so layers that touch the same
    group share its first processor.
    """
    lanes = limits.PROCESSORS_PER_INSTANCE
    return len({processor // lanes for processor in bits_of(mask)})
