"""Enlarging by a power of two with transposed convolutions.

With padding 1 and output padding 1, a transposed 3x3 convolution with stride 2 and the taps
(0, 1, 1) along each axis repeats every pixel. Behind it a convolution with the taps (1, 2, 1) / 4
gives what bilinear interpolation by two gives, but for the outermost row and column: there the
interpolation repeats the edge and the chip pads with zeros.
"""

from __future__ import annotations

import numpy as np

from quantize.ptq.net import Op
from quantize.ptq.read.reader import Reader
from quantize.ptq.read.views import dims
from synthesize.read.onnx.model import Node


def scales_of(reader: Reader, node: Node, source: Op) -> int | None:
    """The common factor of rows and columns, None when there is none."""
    index = 1 if node.op == "Upsample" else 2
    scales, sizes = reader.constant(node, index), reader.constant(node, 3)
    view = reader.view(source)
    if scales is not None and scales.size == len(view):
        factors = scales.reshape(-1)
    elif sizes is not None and sizes.size == len(view):
        factors = sizes.reshape(-1) / np.array(dims(view, source.shape))
    else:
        return None
    whole = [round(float(f)) for f in factors]
    exact = all(abs(f - w) < 1e-6 for f, w in zip(factors, whole, strict=True))
    by_axis = dict(zip(view, whole, strict=True))
    rest = {n for letter, n in by_axis.items() if letter not in "HW"}
    if not exact or rest != {1} or by_axis.get("H", 0) != by_axis.get("W") or by_axis["H"] < 1:
        return None
    return by_axis["H"]


def enlarged(reader: Reader, node: Node, source: Op, factor: int) -> Op:
    """Every pixel repeated ``factor`` times along both axes; ``factor`` is a power of two."""
    from quantize.ptq.read.operators import out

    channels = source.shape[0]
    weight = np.zeros((channels, channels, 3, 3))
    weight[np.arange(channels), np.arange(channels), 1:, 1:] = 1.0
    while factor > 1:
        shape = (channels, 2 * source.shape[1], 2 * source.shape[2])
        op = Op(out(node), "convtranspose2d", [source.name], shape, weight=weight, pad=1, stride=2)
        op.bias = np.zeros(channels)
        source = reader.add(node, op)
        factor //= 2
    return source


def smoothed(reader: Reader, node: Node, source: Op, factor: int) -> Op:
    """Bilinear interpolation, but for the outermost pixels."""
    from quantize.ptq.read.operators import out

    channels = source.shape[0]
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    weight = np.zeros((channels, channels, 3, 3))
    weight[np.arange(channels), np.arange(channels)] = taps
    while factor > 1:
        source = enlarged(reader, node, source, 2)
        op = Op(out(node), "conv2d", [source.name], source.shape, weight=weight, pad=1)
        op.bias = np.zeros(channels)
        source = reader.add(node, op)
        factor //= 2
    reader.avoidable(
        node, "bilinear Resize", "nearest Resize and a smoothing convolution, equal but for the "
        "outermost pixels",
    )  # fmt: skip
    return source
