"""The integers of :mod:`synthesize.graph.reference`, for many pictures one after the other.

What does not change from picture to picture is done once: weights become matrices of single
precision, scaled as the layer scales its sums, and every thread keeps its buffers. A convolution of
r rows of taps is r matrix products: beside every channel stand its copies moved by one tap each, so
that a product covers a row of taps. A transposed convolution is as many convolutions as its stride
has places, each of the taps that meet data there. Where single precision would not be exact (see
the reference), and for all that is no convolution in two dimensions, the reference itself runs.
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
class _Part:
    """The sums of every n-th row and m-th column of a result, (n, m) being ``step``.

    Attributes:
        taps: float32 [rows of taps, out, columns of taps * in].
        first: where in the operand the first tap of the first sum is, row and column.
        place: row and column of the first sum in the result.
        size: rows and columns of sums.
    """

    taps: np.ndarray
    first: Pair
    place: Pair
    size: Pair

    def sums(self, data: np.ndarray, buffers: Buffers) -> np.ndarray:
        """float32 [out, rows * columns] of an operand, int8 [in, rows, columns]; in a buffer."""
        rows, cols = self.size
        beside = self._beside(data, buffers)
        total, more = _pair(buffers, self.taps.shape[1], rows * cols)
        for row, taps in enumerate(self.taps):
            begin = row * cols
            np.matmul(taps, beside[:, begin : begin + rows * cols], out=more if row else total)
            if row:
                total += more
        return total

    def _beside(self, data: np.ndarray, buffers: Buffers) -> np.ndarray:
        """[columns of taps * in, pixels]: what every tap of a row meets, for all rows of taps.

        What is around the picture is zero from the beginning and never written.
        """
        channels, height, width = data.shape
        taps, cols = self.taps.shape[2] // channels, self.size[1]
        rows = self.size[0] + len(self.taps) - 1
        key = ("beside", data.shape, self.first, taps, rows, cols)
        if key not in buffers:
            buffers[key] = np.zeros((taps, channels, rows, cols), np.float32)
        top, bottom = _inside(self.first[0], rows, height)
        for tap, copy in enumerate(buffers[key]):
            begin = self.first[1] + tap
            left, right = _inside(begin, cols, width)
            copy[:, top:bottom, left:right] = data[
                :, top + self.first[0] : bottom + self.first[0], left + begin : right + begin
            ]
        return buffers[key].reshape(taps * channels, -1)


@dataclass(frozen=True, eq=False)
class _Convolution:
    """A convolution whose sums are exact in single precision.

    Attributes:
        layer: what it computes.
        parts: between them all its sums, in steps of the layer's scaled result.
        start: float32 [out, 1], what every sum begins with: the bias, and half a step to round.
        step: from sum to sum of a part, rows and columns.
    """

    layer: Layer
    parts: tuple[_Part, ...]
    start: np.ndarray
    step: Pair

    def run(self, data: np.ndarray, buffers: Buffers) -> np.ndarray:
        """The layer's result for its operand, int8 [in, rows, columns]."""
        kind = np.int64 if self.layer.wide else np.int8
        result = np.empty(self.layer.out_shape, kind)
        for part in self.parts:
            sums = part.sums(data, buffers)
            sums += self.start
            if not self.layer.wide:
                self._finish(sums)
            place = result[:, part.place[0] :: self.step[0], part.place[1] :: self.step[1]]
            place[:] = sums.reshape(place.shape)
        return result

    def _finish(self, sums: np.ndarray) -> None:
        """Round down to whole steps, clip, apply the activation."""
        if self.layer.activation != "relu":
            np.floor(sums, out=sums)
            np.maximum(sums, -128, out=sums)
        if self.layer.activation == "abs":
            np.abs(sums, out=sums)
        if self.layer.activation == "relu":
            np.maximum(sums, 0, out=sums)  # becoming an integer rounds down what is not negative
        np.minimum(sums, 127, out=sums)


def _inside(first: int, count: int, size: int) -> tuple[int, int]:
    """Which of the places ``first``, ``first + 1`` ... are among 0 .. size - 1: from, to."""
    begin = min(max(0, -first), count)
    return begin, max(begin, min(count, size - first))


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
    if largest.max() >= _EXACT or min(map(int.__sub__, layer.kernel, layer.stride)) < 0:
        return None
    # A power of two, which leaves single precision exact.
    worth = np.float32(1 if layer.wide else 2.0 ** (layer.shift - _LARGEST_SHIFT))
    step = layer.stride if spread else (1, 1)
    parts = tuple(
        _part(layer, (row, col), step, worth) for row in range(step[0]) for col in range(step[1])
    )
    return _Convolution(layer, parts, start.astype(np.float32)[:, None] * worth, step)


def _part(layer: Layer, place: Pair, step: Pair, worth: np.float32) -> _Part:
    """The sums of a layer from a place on, in steps."""
    assert layer.weight is not None
    before = [
        k - 1 - pad if layer.op == "convtranspose2d" else pad
        for k, pad in zip(layer.kernel, layer.pad, strict=True)
    ]
    # Data stand ``step`` apart, from ``before`` on: taps between them meet zeros.
    skip = [(b - p) % s for b, p, s in zip(before, place, step, strict=True)]
    rows, cols = ((p + k - b) // s for p, k, b, s in zip(place, skip, before, step, strict=True))
    taps = layer.weight[:, :, skip[0] :: step[0], skip[1] :: step[1]].transpose(2, 0, 3, 1)
    ready = np.ascontiguousarray(taps.reshape(*taps.shape[:2], -1), np.float32) * worth
    size = [-(-(n - p) // s) for n, p, s in zip(layer.out_shape[1:], place, step, strict=True)]
    return _Part(ready, (rows, cols), place, (size[0], size[1]))
