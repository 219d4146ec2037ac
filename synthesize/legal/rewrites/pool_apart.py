"""Pooling in front of a transposed convolution: a layer of its own.

Whether the accelerator pools what it then spreads with zeros is shown by no golden case and by none
of the public generator's tests, so the two are kept apart.
"""

from __future__ import annotations

from dataclasses import replace

from synthesize.graph.ir import Graph, Layer


def pool_apart(graph: Graph) -> Graph:
    """Move the pooling (and the join) of transposed convolutions into pass-through layers."""
    if not any(_pooled(layer) for layer in graph.layers):
        return graph
    taken = {layer.name for layer in graph.layers}
    layers: list[Layer] = []
    for layer in graph.layers:
        if not _pooled(layer):
            layers.append(layer)
            continue
        name = f"{layer.name}_pool"
        while name in taken:
            name += "_"
        taken.add(name)
        first = Layer(
            name=name,
            op="passthrough",
            inputs=layer.inputs,
            in_shape=layer.in_shape,
            out_shape=(layer.in_shape[0], *layer.pooled),
            join=layer.join,
            pool=layer.pool,
            pool_first=layer.pool_first,
            reshape=layer.reshape,
            where=layer.where,
        )
        layers.append(first)
        alone = replace(layer, inputs=(name,), join="concat", pool=None, reshape=None)
        layers.append(replace(alone, in_shape=first.out_shape))
    return replace(graph, layers=tuple(layers))


def _pooled(layer: Layer) -> bool:
    return layer.op == "convtranspose2d" and layer.pool is not None
