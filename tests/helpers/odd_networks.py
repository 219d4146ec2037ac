"""Random networks at the edges: long and narrow data, pooled transposed and dilated convolutions.

Their placements are changed as well: outputs go to masks that start anywhere and have gaps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthesize.graph import ir
from synthesize.graph.ir import Graph, Input, Output, Pool
from synthesize.place import verify
from synthesize.place.memories import complete
from synthesize.place.placement import Placement
from tests.helpers.networks import Builder

LONGEST = 1020
"""Rows that leave room for padding 2 on both sides in the 1,024 the chip can count."""


class OddBuilder(Builder):
    """Adds layers that the plain builder does not make."""

    def transposed(self, source: str) -> str | None:
        """A transposed convolution behind pooling, which is split off."""
        shape = self.shapes[source]
        if shape[0] > 64 or min(shape[1:]) < 2 or max(shape[1:]) > 40:
            return None
        kind = "max" if self.chance(0.5) else "avg"
        pool = Pool(kind, (2, 2), (2, 2)) if self.chance(0.7) else None  # type: ignore[arg-type]
        pad = int(self.rng.integers(0, 3))
        options = {"kernel": (3, 3), "stride": (2, 2), "pad": (pad, pad), "output_pad": (1, 1)}
        return self.add(
            self.layer("convtranspose2d", source, pool=pool, **options), self.channels(64)
        )

    def dilated(self, source: str) -> str | None:
        """A 1D convolution with zeros between its taps."""
        shape = self.shapes[source]
        if shape[2] != 1:
            return None
        if shape[1] > 12 and self.chance(0.5):
            return self.far(source)
        dilation = int(self.rng.integers(2, 5))
        length = int(self.rng.integers(2, (9 - 1) // dilation + 2))
        reach = (length - 1) * dilation + 1
        pad = int(self.rng.integers(0, min(3, reach)))
        layer = self.layer("conv1d", source, kernel=(reach, 1), pad=(pad, 0))
        name = self.add(layer, self.channels(64))
        if name is not None:
            made = self.layers[-1]
            assert made.weight is not None
            weight = np.zeros_like(made.weight)
            weight[:, :, ::dilation] = made.weight[:, :, ::dilation]
            self.layers[-1] = replace(made, weight=weight)
        return name

    def far(self, source: str) -> str | None:
        """A 1D convolution that reaches over more samples than a kernel may be long."""
        rows = self.shapes[source][1]
        length = int(self.rng.integers(2, 4))
        dilation = int(self.rng.integers(-(-9 // (length - 1)), (rows - 1) // (length - 1) + 1))
        layer = self.layer("conv1d", source, kernel=(length, 1), dilation=dilation)
        return self.add(layer, self.channels(64))

    def step(self, source: str) -> str | None:
        """One random layer."""
        kind = self.rng.random()
        if kind < 0.25:
            return self.transposed(source)
        if kind < 0.55:
            return self.dilated(source)
        if kind < 0.7:
            return self.eltwise(source)
        return self.conv(source, 64)


def odd_graph(seed: int) -> Graph:
    """Return a random network of 1 to 4 layers on long, narrow or square data."""
    b = OddBuilder(seed)
    long = int(b.rng.choice([LONGEST, int(b.rng.integers(2, LONGEST)), int(b.rng.integers(2, 60))]))
    narrow = int(b.rng.choice([1, 1, 2, 3, 7, min(long, 30)]))
    rows, cols = (long, narrow) if narrow == 1 or b.chance(0.7) else (narrow, long)
    channels = b.channels(64 if rows * cols < 4000 else 8)
    b.shapes[ir.INPUT] = (channels, rows, cols)
    current: str = ir.INPUT
    for _ in range(int(b.rng.integers(1, 4))):
        current = b.step(current) or current
    if not b.layers:
        b.add(b.layer("conv2d", current, kernel=(3, 3), pad=(1, 1)), b.channels(64))
    read = {n for layer in b.layers for n in layer.inputs}
    outputs = [layer for layer in b.layers if layer.name not in read]
    named = tuple(Output(layer.name, layer.name, 0, layer.out_shape[0]) for layer in outputs)
    return Graph(f"odd{seed}", Input(b.shapes[ir.INPUT]), tuple(b.layers), named)


def with_odd_masks(graph: Graph, placement: Placement, seed: int) -> Placement:
    """Send outputs that no layer reads to random processors, where the check allows it."""
    rng = np.random.default_rng(seed)
    for index, layer in enumerate(graph.layers):
        count = layer.out_shape[0]
        if layer.op == "passthrough" or graph.readers(layer.name) or count > 64:
            continue
        chosen = rng.choice(64, count, replace=False)
        mask = sum(1 << int(processor) for processor in chosen)
        places = list(placement.layers)
        places[index] = replace(places[index], output_processors=mask)
        odd = complete(graph, places, chw=placement.chw, fifo=placement.fifo)
        if not verify.check(graph, odd):
            placement = odd
    return placement
