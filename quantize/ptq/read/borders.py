"""Padded pooling, which the chip does not have, as a layer that puts zeros around and pooling.

Zeros are what an average over its padding counts. For a maximum they are as good as the minus
infinity of ONNX where no value is negative. The layer copies: a 3x3 kernel with a single one and
padding 2 gives a row and a column more on both sides, or two on one. Windows that reach beyond the
edge (``ceil_mode``) see zeros in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quantize.ptq.net import Op, Pair
from quantize.ptq.read.reader import Reader, label
from synthesize.read.onnx.model import Node

MOST = 2
"""Layers in a row; two put up to four rows on a side."""


@dataclass(frozen=True)
class Reach:
    """What windows along one axis see beyond it: ``before``, and ``least`` to ``most`` behind.

    More than ``most`` would make one window more.
    """

    before: int
    least: int
    most: int

    def fits(self, grown: int) -> bool:
        """Whether the axis may be so much longer."""
        return self.before <= grown and self.least <= grown - self.before <= self.most


def reach(size: int, window: int, step: int, before: int, count: int) -> Reach:
    """What ``count`` windows see of an axis of some size."""
    behind = (count - 1) * step + window - size - before
    return Reach(before, max(0, behind), max(0, behind + step - 1))


def bordered(reader: Reader, node: Node, source: Op, axes: list[Reach]) -> Op | None:
    """The data with zeros around, None where layers cannot put them there.

    Args:
        reader: of the model, which takes the layers and a remark.
        node: that pools.
        source: data to pool.
        axes: of rows, and of columns where windows go along them.
    """
    for layers in range(MOST + 1):
        grown = 2 * layers
        if all(axis.fits(grown) for axis in axes):
            for ends in _shares([axis.before for axis in axes], layers):
                source = _around(reader, node, source, ends)
            if layers:
                what = "a layer" if layers == 1 else f"{layers} layers"
                reader.note(f"{label(node)}: the padding takes {what} more, with zeros around")
            return source
    return None


def _shares(before: list[int], layers: int) -> Iterator[list[Pair]]:
    """How many zeros each layer puts in front and behind, by axis: two together."""
    left = list(before)
    for _ in range(layers):
        front = [min(2, n) for n in left]
        left = [n - taken for n, taken in zip(left, front, strict=True)]
        yield [(n, 2 - n) for n in front]


def _around(reader: Reader, node: Node, source: Op, ends: list[Pair]) -> Op:
    """One layer that copies and puts zeros around."""
    from quantize.ptq.read.operators import out

    channels, flat = source.shape[0], len(ends) == 1
    weight = np.zeros((channels, channels, 3, 1 if flat else 3))
    row, column = 2 - ends[0][0], 0 if flat else 2 - ends[1][0]
    weight[np.arange(channels), np.arange(channels), row, column] = 1.0
    shape = (channels, source.shape[1] + 2, source.shape[2] + (0 if flat else 2))
    op = Op(f"{out(node)}.around", "conv1d" if flat else "conv2d", [source.name], shape)
    op.weight, op.bias, op.pad, op.copies = weight, np.zeros(channels), 2, True
    return reader.add(node, op)
