"""Values while an ONNX model is read: what is pending, and how real numbers become integers.

A :class:`Data` is a tensor of the model together with everything that happened since the last
tensor that exists on the chip: join, pooling, convolution, activation. Operators add to it until it
must exist, then it becomes one layer of the graph. ``scale`` is the real value of one step of the
integers the chip holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from synthesize.graph.ir import Activation, Join, Op, Pair, Pool, Shape
from synthesize.read.onnx.model import Constant, Node

State = Literal["raw", "open", "half", "rounded", "integer", "exact"]
BIAS_STEP = 128
MAX_EXPONENT = 40


@dataclass(frozen=True, eq=False)
class Kernel:
    """A convolution's parameters as real numbers.

    Args:
        op: kind of layer.
        weight: float64 [out, in, rows, columns].
        bias: float64 [out], 0 without bias; ``has_bias`` tells them apart.
        scale: step of the weights when they are integers already, else None.
        bits: bits per weight.
        stride, pad, output_pad: rows and columns.
        dilation: samples from tap to tap, in 1D.
    """

    op: Op
    weight: np.ndarray
    bias: np.ndarray
    has_bias: bool
    scale: float | None
    bits: int
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    output_pad: Pair = (0, 0)
    dilation: int = 1


@dataclass(frozen=True, eq=False)
class Data:
    """A tensor with pending operations; see the module description.

    Args:
        sources: tensors on the chip it reads.
        shape: [channels, rows, columns] of the value (of the data before flattening).
        rank: dimensions in ONNX, the batch included (4, 3 for 1D data, 2 when flattened).
        scale: real value of one step of the sources' integers.
        name, order: name of the layer it would become, and number of the operator behind it.
        source_shape: shape of the joined sources.
        state: ``raw`` (the network's input before it is quantised), ``open`` (a full-width sum),
            ``half`` (the same plus one half), ``rounded`` (not yet limited to 8 bits),
            ``integer`` (quantised, scale 1) or ``exact`` (8-bit integers times ``real_scale``).
        repeat: times every pixel is repeated along both axes, after pooling.
        factor: power of two the open sum is multiplied by.
        limits: real numbers an open value is clipped to.
        quantum: real value, before quantisation, of one step of the result.
        output_scale: real value of one step of the result after quantisation.
    """

    sources: tuple[str, ...]
    shape: Shape
    rank: int
    scale: float
    name: str
    order: int
    source_shape: Shape
    join: Join = "concat"
    pool: Pool | None = None
    pool_first: bool = True
    flatten: bool = False
    repeat: int = 1
    kernel: Kernel | None = None
    activation: Activation = "none"
    state: State = "exact"
    factor: float = 1.0
    limits: tuple[float, float] = (-math.inf, math.inf)
    quantum: float = 1.0
    output_scale: float | None = None

    @property
    def plain(self) -> bool:
        """Whether nothing is pending (flattening alone moves no data)."""
        bare = self.kernel is None and self.pool is None and self.repeat == 1
        return bare and len(self.sources) == 1

    @property
    def real_scale(self) -> float:
        """Real value of one step of an exact tensor."""
        return self.scale if self.output_scale is None else self.output_scale

    @property
    def key(self) -> tuple[object, ...]:
        """What decides the layer it becomes; equal keys are the same layer."""
        return (
            *(self.sources, self.join, self.pool, self.pool_first, self.flatten, self.repeat),
            *(id(self.kernel), self.activation, self.quantum, self.factor),
        )


def exponent(node: Node, value: float, what: str) -> int:
    """Return e where ``value`` is 2**e.

    Raises:
        UserError: it is no power of two; the message names the number and the nearest ones.
    """
    if not (math.isfinite(value) and value > 0):
        raise node.refuse(f"{what} is {value:g}; it must be a positive power of two")
    mantissa, e = math.frexp(value)
    if abs(e) > MAX_EXPONENT:
        raise node.refuse(f"{what} is {value:g}, far out of the range of the chip")
    if mantissa != 0.5:
        raise node.unquantised(
            f"{what} is {value:.9g}, but the chip scales by powers of two only; quantise with "
            f"{2.0 ** (e - 1):g} or {2.0**e:g}"
        )
    return e - 1


def scalar(node: Node, constant: Constant, what: str) -> float:
    """Return a constant that has one value everywhere.

    Raises:
        UserError: its values differ; the message gives the smallest and the largest.
    """
    values = constant.real.reshape(-1)
    if values.size == 0 or not np.isfinite(values).all():
        raise node.refuse(f"{what} is empty or not finite")
    if (values != values[0]).any():
        raise node.unquantised(
            f"{what} differs by channel ({values.min():g} to {values.max():g}), but the chip has "
            "one shift per layer; quantise per tensor"
        )
    return float(values[0])


def integer_weights(node: Node, kernel: Kernel) -> tuple[np.ndarray, float, float]:
    """Return (int64 weights, step, largest change) of a kernel.

    Dequantised integers stay as they are. Real numbers that are integers times a power of two are
    taken exactly; others are rounded, floor(x + 0.5), to the finest grid that holds the largest.

    Raises:
        UserError: integers outside the bits, or a step that is no power of two.
    """
    low, high = -(1 << (kernel.bits - 1)), max((1 << (kernel.bits - 1)) - 1, 0)
    if kernel.scale is not None:
        exponent(node, kernel.scale, "the scale of the weights")
        whole = np.rint(kernel.weight / kernel.scale).astype(np.int64)
        if whole.min() < low or whole.max() > high:
            raise node.refuse(
                f"weights from {whole.min()} to {whole.max()} do not fit {kernel.bits} bits "
                f"({low} to {high}); quantise again"
            )
        return whole, kernel.scale, 0.0
    if not np.isfinite(kernel.weight).all():
        raise node.refuse("the weights are not finite; train the model again")
    most = float(np.abs(kernel.weight).max(initial=0.0))
    if most == 0.0:
        return np.zeros(kernel.weight.shape, np.int64), 2.0 ** (1 - kernel.bits), 0.0
    step = 2.0 ** (math.ceil(math.log2(most)) - (kernel.bits - 1))
    if (kernel.weight / step).max() == -low == high + 1 and _on_grid(kernel.weight, 2 * step):
        step *= 2  # +2**n itself is one too large for the finer grid
    whole = np.floor(kernel.weight / step + 0.5).clip(low, high).astype(np.int64)
    return whole, step, float(np.abs(whole * step - kernel.weight).max())


def _on_grid(values: np.ndarray, step: float) -> bool:
    scaled = values / step
    return bool((scaled == np.rint(scaled)).all())


def stored_bias(node: Node, kernel: Kernel, step: float) -> tuple[np.ndarray | None, float]:
    """Return (int64 bytes of bias memory or None, largest change of the real bias).

    Args:
        node: for messages.
        kernel: its bias is real.
        step: real value of one step of the accumulator; a bias byte counts 128 of them.

    Raises:
        UserError: a bias does not fit 8 bits.
    """
    if not kernel.has_bias:
        return None, 0.0
    unit = step * BIAS_STEP
    if not np.isfinite(kernel.bias).all():
        raise node.refuse("the biases are not finite; train the model again")
    rounded = np.floor(kernel.bias / unit + 0.5)
    if rounded.min() < -128 or rounded.max() > 127:
        raise node.unquantised(
            f"biases from {kernel.bias.min():g} to {kernel.bias.max():g} exceed the 8 bits of bias "
            f"memory ({-128 * unit:g} to {127 * unit:g} here); use a larger weight or input scale"
        )
    return rounded.astype(np.int64), float(np.abs(rounded * unit - kernel.bias).max())
