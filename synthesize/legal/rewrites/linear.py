"""A Linear layer on 1x1 data is a 1x1 convolution."""

from __future__ import annotations

from dataclasses import replace

from synthesize.graph.ir import Graph


def linear_as_conv(graph: Graph) -> Graph:
    """Turn ``linear`` on 1x1 data into ``conv2d`` with a 1x1 kernel; drop needless flattening."""
    layers = []
    changed = False
    for layer in graph.layers:
        if layer.op == "linear" and layer.pooled == (1, 1):
            layer = replace(layer, op="conv2d", flatten=False)
            changed = True
        layers.append(layer)
    return replace(graph, layers=tuple(layers)) if changed else graph
