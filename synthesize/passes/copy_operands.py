"""Operands that lie interleaved with others get a copy of their own when somebody else reads them.

The operands of an element-wise layer, and the parts of a concatenation beyond 64 channels, lie
interleaved word by word in data memory, and no other layer of the MAX78000 can read such a tensor
(its read pointer has no gap). Parts of a smaller concatenation lie side by side, which ties their
places, so a tensor can be part of only one. A pass-through layer makes the copy.
"""

from __future__ import annotations

from dataclasses import replace

from synthesize.chip import limits
from synthesize.ir import INPUT, Graph, Layer


def interleaved(layer: Layer) -> bool:
    """Whether the inputs of a layer with several inputs lie interleaved in data memory."""
    if len(layer.inputs) < 2:
        return False
    return layer.operands > 1 or layer.in_shape[0] > limits.PROCESSORS


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
                if name == INPUT or name in joined or (interleaved(layer) and not exclusive):
                    copy = _copy(graph, name, layer, taken)
                    layers.append(copy)
                    name = copy.name
                    changed = True
                joined.add(name)
                inputs.append(name)
            layer = replace(layer, inputs=tuple(inputs))
        layers.append(layer)
    return replace(graph, layers=tuple(layers)) if changed else graph


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
