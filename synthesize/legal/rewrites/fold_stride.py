"""A stride-2 3x3 first convolution, folded into a stride-1 one over four times the channels.

The input [C, 2H, 2W] is cut into 2x2 blocks; pixel (row, column) of a block becomes channels
``C * (2 * row + column)`` onwards of one folded pixel (the order of ai8x-training's ``fold``). Per
axis, tap 0 of the kernel reads the second position of the block before, tap 1 the first and tap 2
the second position of the same block; the folded kernel's last tap is zero. Exact for padding 1.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthesize.graph.ir import INPUT, Graph, Input

_TAPS = ((0, 1), (1, 0), (1, 1))
"""For each tap of the described kernel: tap of the folded kernel, position within the block."""


def fold_first_stride(graph: Graph) -> Graph:
    """Fold the input when the only layer that reads it is a 3x3 convolution with stride 2."""
    readers = graph.readers(INPUT)
    first = graph.layers[0]
    rows, cols = graph.input.shape[1:]
    if (
        readers != (first,)
        or first.inputs != (INPUT,)
        or first.op != "conv2d"
        or (first.kernel, first.stride, first.pad) != ((3, 3), (2, 2), (1, 1))
        or first.pool is not None
        or first.weight is None
        or rows % 2
        or cols % 2
        or graph.input.fold != 1
    ):
        return graph
    channels = graph.input.shape[0]
    weight = np.zeros((first.weight.shape[0], 4 * channels, 3, 3), np.int64)
    for row, (to_row, block_row) in enumerate(_TAPS):
        for col, (to_col, block_col) in enumerate(_TAPS):
            start = channels * (2 * block_row + block_col)
            weight[:, start : start + channels, to_row, to_col] = first.weight[:, :, row, col]
    shape = (4 * channels, rows // 2, cols // 2)
    folded = replace(first, weight=weight, stride=(1, 1), in_shape=shape)
    source = Input(shape, 2, graph.input.where)
    return replace(graph, input=source, layers=(folded, *graph.layers[1:]))
