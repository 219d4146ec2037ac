"""Convolutions with stride 2 whose padding the chip does not have, as two layers, exactly.

The chip pads both ends alike, so that with stride 2 a kernel stands around every second pixel, the
first one included. Keras and TensorFlow pad an even size at its end only (``same``), and larger
kernels do not fit at all. The way out: one layer computes four pictures, the data itself and the
data moved by one pixel up, left and both; of each the second reads every second pixel (pooling
1x1 with stride 2 on the way in), so that it sees all four pixels of a 2x2 block side by side. A tap
at ``t`` then is a tap of the 3x3 kernel at ``floor(t / 2)`` of the picture moved by ``t mod 2``.
"""

from __future__ import annotations

import numpy as np

from quantize.ptq.net import Op
from quantize.ptq.read.reader import Reader
from synthesize.chip.limits import MAX_CHANNELS
from synthesize.read.onnx.model import Node


def split(
    weight: np.ndarray, pads: tuple[tuple[int, int], ...], sizes: tuple[int, int],
    shape: tuple[int, int, int],
) -> np.ndarray | None:  # fmt: skip
    """The 3x3 kernel [out, 4 in, 3, 3] of the second layer; None where there is none.

    Args:
        weight: float64 [out, in, rows, columns] of a convolution with stride 2.
        pads: zeros at both ends of rows and of columns.
        sizes: rows and columns of its result.
        shape: of its input.
    """
    outputs, inputs = weight.shape[:2]
    if 4 * inputs > MAX_CHANNELS or any(
        -(-n // 2) != m for n, m in zip(shape[1:], sizes, strict=True)
    ):
        return None
    whole = np.zeros((outputs, 4, inputs, 3, 3))
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            (r, up), (c, left) = divmod(row - pads[0][0], 2), divmod(column - pads[1][0], 2)
            if not (-1 <= r <= 1 and -1 <= c <= 1):
                return None
            whole[:, 2 * up + left, :, r + 1, c + 1] = weight[:, :, row, column]
    return whole.reshape(outputs, 4 * inputs, 3, 3)


def add(
    reader: Reader, node: Node, source: Op, weight: np.ndarray, bias: np.ndarray,
    sizes: tuple[int, int],
) -> Op:  # fmt: skip
    """Append the two layers."""
    from quantize.ptq.read.operators import out

    inputs, rows, columns = source.shape
    moves = np.zeros((4, inputs, inputs, 3, 3))
    for number in range(4):
        up, left = divmod(number, 2)
        moves[number, np.arange(inputs), np.arange(inputs), 1 + up, 1 + left] = 1.0
    view = reader.view(source)
    four = Op(f"{out(node)}.four", "conv2d", [source.name], (4 * inputs, rows, columns))
    four.weight, four.pad = moves.reshape(4 * inputs, inputs, 3, 3), 1
    four.bias = np.zeros(4 * inputs)
    four = reader.add(node, four, view)
    halved = Op(f"{out(node)}.half", "pool", [four.name], (4 * inputs, *sizes), step=(2, 2))
    halved = reader.add(node, halved, view)
    op = Op(out(node), "conv2d", [halved.name], (len(weight), *sizes), weight=weight, bias=bias)
    op.pad = 1
    return reader.add(node, op, view)
