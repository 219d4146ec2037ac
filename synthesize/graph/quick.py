"""The integers of :mod:`synthesize.graph.reference`, for many pictures one after the other.

What does not change from picture to picture is done once: weights become matrices of single
precision, and every thread keeps its buffers. A convolution of r rows of taps is r matrix products:
beside every channel stand its copies moved by one tap each, so that a product covers a row of taps.
Where single precision would not be exact (see the reference), and for all that is no convolution in
two dimensions, the reference itself runs.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from synthesize.graph import reference
from synthesize.graph.ir import Graph, Layer, Pair

Buffers = dict[tuple[object, ...], np.ndarray]
_EXACT = 1 << 24
"""Integers below are exact in single precision."""
_LARGEST_SHIFT = 7


class Runner:
    """A graph made ready to be run again and again, by any number of threads.

    Args:
        graph: the network, before or after legalisation.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._ready = {layer.name: _prepared(layer) for layer in graph.layers}
        self._own = threading.local()

    def run(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Compute all outputs: arguments, results and errors of ``reference.run``."""
        values = reference.first_values(self._graph, inputs)
        for layer in self._graph.layers:
            given = reference.given(values, layer)
            ready = self._ready[layer.name]
            values[layer.name] = (
                reference.run_layer(layer, given)
                if ready is None
                else ready.run(reference.operand(layer, given), self._buffers())
            )
            reference.keep(values, self._graph, layer)
        return {
            out.name: values[out.layer][out.first : out.first + out.channels].astype(np.int32)
            for out in self._graph.outputs
        }

    def _buffers(self) -> Buffers:
        """Those of this thread."""
        if not hasattr(self._own, "buffers"):
            self._own.buffers = {}
        buffers: Buffers = self._own.buffers
        return buffers


@dataclass(frozen=True, eq=False)
class _Convolution:
    """A convolution whose sums are exact in single precision.

    Attributes:
        layer: what it computes.
        taps: float32 [kernel rows, out, kernel columns * in].
        start: float32 [out, 1], what every sum begins with: the bias, and half a step to round.
        pad: zeros around the operand, rows and columns.
    """

    layer: Layer
    taps: np.ndarray
    start: np.ndarray
    pad: Pair

    def run(self, data: np.ndarray, buffers: Buffers) -> np.ndarray:
        """The layer's result for its operand, int8 [in, rows, columns]."""
        if self.layer.op == "convtranspose2d":
            data = reference.spread(self.layer, data)
        k_rows, k_cols = self.layer.kernel
        height, width = data.shape[1] + 2 * self.pad[0], data.shape[2] + 2 * self.pad[1]
        out_rows, out_cols = height - k_rows + 1, width - k_cols + 1
        beside = self._beside(data, height, width, buffers)
        length = (out_rows - 1) * width + out_cols
        total, part = _pair(buffers, len(self.start), length)
        for row, taps in enumerate(self.taps):
            begin = k_cols - 1 + row * width
            np.matmul(taps, beside[:, begin : begin + length], out=part if row else total)
            total += part if row else self.start
        # Sums that straddle two rows of the picture are cut off.
        sums = np.zeros((len(self.start), out_rows * width), np.int32)
        sums[:, :length] = total
        return self._finished(sums.reshape(-1, out_rows, width)[:, :, :out_cols])

    def _beside(self, data: np.ndarray, height: int, width: int, buffers: Buffers) -> np.ndarray:
        """The padded channels in single precision, and their copies moved by a tap each.

        Pixel i of copy c is pixel i + c; before the first is a margin as wide as the moves. What is
        around the picture is zero from the beginning and never written.
        """
        taps, (channels, rows, cols) = self.layer.kernel[1], data.shape
        margin = taps - 1
        key = ("beside", data.shape, self.pad, taps)
        if key not in buffers:
            size = margin + height * width + margin + width
            buffers[key] = np.zeros((taps, channels, size), np.float32)
        for tap, copy in enumerate(buffers[key]):
            at = margin + self.pad[0] * width + self.pad[1] - tap
            strip = copy[:, at : at + rows * width].reshape(channels, rows, width)
            strip[:, :, :cols] = data
        return buffers[key].reshape(taps * channels, -1)

    def _finished(self, sums: np.ndarray) -> np.ndarray:
        """Scaled, clipped, with activation; int32 [out, rows, columns] is overwritten."""
        if self.layer.wide:
            return sums.astype(np.int64)
        sums >>= _LARGEST_SHIFT - self.layer.shift
        if self.layer.activation == "abs":
            np.abs(np.clip(sums, -128, 127, out=sums), out=sums)
        low = 0 if self.layer.activation == "relu" else -128
        return np.clip(sums, low, 127, out=sums).astype(np.int8)


def _pair(buffers: Buffers, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Two buffers for sums."""
    key = ("sums", rows, columns)
    if key not in buffers:
        buffers[key] = np.empty((2, rows, columns), np.float32)
    return buffers[key][0], buffers[key][1]


def _prepared(layer: Layer) -> _Convolution | None:
    """None where the reference has to do it."""
    spread = layer.op == "convtranspose2d"
    if layer.op not in ("conv2d", "convtranspose2d") or layer.weight is None:
        return None
    if (layer.stride != (1, 1) and not spread) or (not layer.wide and layer.shift > _LARGEST_SHIFT):
        return None
    start = np.zeros(len(layer.weight), np.int64)
    if layer.bias is not None:
        start = start + 128 * layer.bias
    if not layer.wide:
        start = start + ((64 >> layer.shift) if layer.shift > 0 else (64 << -layer.shift))
    largest = np.abs(layer.weight).sum(axis=(1, 2, 3)) * 128 + np.abs(start)
    if largest.max() >= _EXACT:
        return None
    taps = layer.weight.transpose(2, 0, 3, 1).reshape(layer.kernel[0], len(layer.weight), -1)
    ready = np.ascontiguousarray(taps, np.float32)
    pad = (0, 0) if spread else layer.pad
    return _Convolution(layer, ready, start.astype(np.float32)[:, None], pad)
