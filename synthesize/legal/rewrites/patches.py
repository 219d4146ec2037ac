"""2x2 convolutions with stride 2 (patches that do not overlap), inside a 3x3 kernel.

A 3x3 kernel with padding 1 whose first row and column are zero sees the pixel and its neighbours
to the right and below, which is a 2x2 patch; keeping every second result gives the patches. The
number of results agrees when rows and columns are even.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthesize.graph.ir import Graph


def widen_patches(graph: Graph) -> Graph:
    """Turn 2x2 stride-2 convolutions on even data into 3x3 stride-2 ones."""
    layers = []
    changed = False
    for layer in graph.layers:
        even = layer.pooled[0] % 2 == 0 and layer.pooled[1] % 2 == 0
        patches = (layer.kernel, layer.stride, layer.pad) == ((2, 2), (2, 2), (0, 0))
        if layer.op == "conv2d" and patches and even and layer.weight is not None:
            weight = np.pad(layer.weight, ((0, 0), (0, 0), (1, 0), (1, 0)))
            layer = replace(layer, weight=weight, kernel=(3, 3), pad=(1, 1))
            changed = True
        layers.append(layer)
    return replace(graph, layers=tuple(layers)) if changed else graph
