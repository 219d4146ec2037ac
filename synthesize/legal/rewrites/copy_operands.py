"""Operands that lie interleaved with others get a copy of their own when somebody else reads them.

The operands of an element-wise layer, and the parts of a concatenation beyond 64 channels, lie
interleaved word by word in data memory, and no other layer of the MAX78000 can read such a tensor
(its read pointer has no gap). Parts of a smaller concatenation lie side by side, which ties their
places, so a tensor can be part of only one. A Conv1d whose dilation is long writes around its
output as well. A pass-through layer makes an interleaved copy. It cannot move data to other
processors, so a part of a concatenation is copied by a convolution with the unit matrix:
64 * 2**1 / 128 = 1, exact for every value.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthesize.graph.hardware import interleaved
from synthesize.graph.ir import INPUT, Graph, Layer


def copy_shared_operands(graph: Graph) -> Graph:
    """Insert pass-through layers so that every joined input can have the place it needs."""
    outputs = {o.layer for o in graph.outputs}
    taken = {layer.name for layer in graph.layers}
    joined: set[str] = set()
    layers: list[Layer] = []
    changed = False
    for layer in graph.layers:
        if len(layer.inputs) > 1:
            inputs: list[str] = []
            for name in layer.inputs:
                uses = sum(other.inputs.count(name) for other in graph.layers)
                exclusive = uses == 1 and name not in outputs
                bound = name == INPUT or name in joined or _spills(graph, name)
                if bound or (interleaved(layer) and not exclusive):
                    copy = _copy(graph, name, layer, taken)
                    if not interleaved(layer):
                        copy = _as_convolution(copy)
                    layers.append(copy)
                    name = copy.name
                    changed = True
                joined.add(name)
                inputs.append(name)
            layer = replace(layer, inputs=tuple(inputs))
        layers.append(layer)
    return replace(graph, layers=tuple(layers)) if changed else graph


def _spills(graph: Graph, name: str) -> bool:
    """Whether a layer writes more than its output, which others must not lie among."""
    return graph.layer(name).dilation > 1


def _as_convolution(copy: Layer) -> Layer:
    """Return a copying layer that can also move its data to other processors."""
    channels = copy.in_shape[0]
    unit = 64 * np.eye(channels, dtype=np.int64)[:, :, None, None]
    return replace(copy, op="conv2d", weight=unit, output_shift=1)


def _copy(graph: Graph, name: str, reader: Layer, taken: set[str]) -> Layer:
    fresh = f"{name}_for_{reader.name}"
    while fresh in taken:
        fresh += "_"
    taken.add(fresh)
    shape = graph.shape(name)
    return Layer(
        name=fresh, op="passthrough", inputs=(name,), in_shape=shape, out_shape=shape,
        where=reader.where,
    )  # fmt: skip
