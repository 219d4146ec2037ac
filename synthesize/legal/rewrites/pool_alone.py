"""Pooling that cannot run in its layer gets a pass-through layer of its own in front."""

from __future__ import annotations

from dataclasses import replace

from synthesize.graph.ir import Graph, Layer


def pool_alone(graph: Graph) -> Graph:
    """Split pooling, with the join before or after it, off where it cannot be in one layer."""
    if not any(_needs(layer) for layer in graph.layers):
        return graph
    layers: list[Layer] = []
    taken = {layer.name for layer in graph.layers}
    for layer in graph.layers:
        if not _needs(layer):
            layers.append(layer)
            continue
        name = f"{layer.name}_pool"
        while name in taken:
            name += "_"
        taken.add(name)
        channels = layer.in_shape[0]
        first = replace(
            layer, name=name, op="passthrough", kernel=(1, 1), stride=(1, 1), pad=(0, 0),
            output_pad=(0, 0), dilation=1, weight=None, bias=None, bits=8, output_shift=0,
            activation="none", wide=False, out_shape=(channels, *layer.pooled),
        )  # fmt: skip
        rest = replace(
            layer, inputs=(name,), in_shape=first.out_shape, join="concat", pool=None,
            pool_first=True, reshape=None, stacked=1,
        )  # fmt: skip
        layers += [first, rest]
    return replace(graph, layers=tuple(layers))


def _needs(layer: Layer) -> bool:
    return (layer.op == "convtranspose2d" or layer.dilation > 1) and layer.pool is not None
