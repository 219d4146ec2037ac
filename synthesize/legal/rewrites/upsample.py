"""Nearest-neighbour upsampling by two: a transposed convolution that copies.

With padding 1 and output padding 1, output 2i of a transposed 3x3 convolution with stride 2 sees
tap 1 on input i and output 2i + 1 tap 2 on input i and tap 0 on input i + 1. Taps (0, 1, 1) along
each axis therefore repeat every pixel; the weight 64 with a shift of 1 multiplies by
64 * 2 / 128 = 1, exactly. Bilinear interpolation needs sums of two neighbours at even positions
too, which no single transposed convolution of this size gives, so it has no exact form here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from common.errors import UserError
from synthesize.graph import shapes
from synthesize.graph.ir import Graph, Layer, at


def upsample_as_convolution(graph: Graph) -> Graph:
    """Replace every upsampling by one transposed convolution per factor of two.

    Raises:
        UserError: a factor that is no power of two, or unequal factors.
    """
    if not any(layer.op == "upsample" for layer in graph.layers):
        return graph
    layers: list[Layer] = []
    for layer in graph.layers:
        if layer.op == "upsample":
            layers += _steps(layer, {other.name for other in graph.layers})
        else:
            layers.append(layer)
    return replace(graph, layers=tuple(layers))


def _steps(layer: Layer, taken: set[str]) -> list[Layer]:
    factor = layer.stride[0]
    if layer.stride[0] != layer.stride[1] or factor < 2 or factor & (factor - 1):
        raise UserError(
            f"{at(layer)}upsampling by {layer.stride[0]}x{layer.stride[1]} has no exact form on "
            "the chip; use 2, 4 or 8 in both directions"
        )
    channels = layer.in_shape[0]
    # Weights are stored turned round: tap 2 of the description is the first here.
    weight = np.zeros((channels, channels, 3, 3), np.int64)
    for channel in range(channels):
        weight[channel, channel, :2, :2] = 64
    steps: list[Layer] = []
    for number in range(factor.bit_length() - 1):
        last = 2 << number == factor
        name = layer.name if last else f"{layer.name}_{2 << number}"
        while not last and name in taken:
            name += "_"
        step = replace(
            layer,
            name=name,
            op="convtranspose2d",
            kernel=(3, 3),
            stride=(2, 2),
            pad=(1, 1),
            output_pad=(1, 1),
            weight=weight,
            output_shift=1,
            bits=8,
        )
        if steps:
            step = replace(
                step,
                inputs=(steps[-1].name,),
                join="concat",
                pool=None,
                reshape=None,
                in_shape=steps[-1].out_shape,
            )
        steps.append(replace(step, out_shape=shapes.result_shape(step)))
    return steps
