"""Steps several ONNX operators share: settle a scale, limit, activate, add a constant."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from synthesize.read.onnx.build import Builder
from synthesize.read.onnx.model import Constant, Node
from synthesize.read.onnx.values import Data, exponent, scalar

LOW, HIGH = -128, 127


def untouched(value: Data) -> bool:
    """Whether a value is a bare convolution, ready for a bias or batch norm."""
    unlimited = value.limits == (-math.inf, math.inf)
    return value.state == "open" and value.activation == "none" and unlimited and value.factor == 1


def zero_point(b: Builder, node: Node) -> None:
    """Check that a (De)QuantizeLinear is symmetric."""
    zero = b.optional(node, 2, "the zero point")
    if zero is not None and zero.array.any():
        raise node.unquantised(
            f"its zero point is {zero.array.reshape(-1)[0]:g}; the chip needs 0 (symmetric int8)"
        )


def settle(node: Node, value: Data, quantum: float) -> Data:
    """Fix the step of an open value, and check its limits against it."""
    low, high = value.limits
    value = replace(value, quantum=quantum, limits=(-math.inf, math.inf))
    return limited(node, value, low / quantum, high / quantum)


def limited(node: Node, value: Data, low: float, high: float) -> Data:
    """Apply limits given in steps: 0 is ReLU, whatever 8 bits do anyway is nothing."""
    if high < HIGH or not (low <= LOW or low == 0):
        raise node.refuse(
            f"limits of {low:g} to {high:g} steps; the chip limits to -128 to 127, or 0 to 127"
        )
    return activated(node, value, "relu") if low == 0 else value


def activated(node: Node, value: Data, kind: str) -> Data:
    """Return a value behind its activation."""
    if value.activation == kind:
        return value
    if value.kernel is None or value.activation != "none":
        raise node.refuse(
            "the chip has one activation, behind a convolution; put a 1x1 Conv in front"
        )
    if kind == "abs" and value.limits != (-math.inf, math.inf):
        raise node.refuse("the limits must stand behind the activation; exchange them")
    return replace(value, activation="abs" if kind == "abs" else "relu")


def scaled(node: Node, data: Data | Constant, factor: Data | Constant, inverse: bool) -> Data:
    """Return a value times (or over) a constant power of two."""
    if not isinstance(data, Data) or not isinstance(factor, Constant):
        raise node.refuse("one of its inputs must be data and the other a constant")
    number = scalar(node, factor, "the factor")
    exponent(node, number, "the factor")
    number = 1 / number if inverse else number
    if data.state == "exact":
        return replace(data, output_scale=data.real_scale * number)
    if data.state != "open" or data.kernel is None:
        raise node.refuse("it stands between operators that must follow one another; move it")
    low, high = data.limits
    return replace(data, factor=data.factor * number, limits=(low * number, high * number))


def with_bias(b: Builder, node: Node, value: Data, offset: Constant, sign: float) -> Data:
    """Return a value plus a constant: a bias, or the half of the rounding."""
    reader = b.model.reader(node.outputs[0])
    half = offset.array.size == 1 and float(offset.real.reshape(-1)[0]) == 0.5 and sign > 0
    if half and reader is not None and reader.op == "Floor" and value.state == "open":
        return replace(value, state="half")
    kernel = value.kernel
    if kernel is None or not untouched(replace(value, factor=1.0)):
        raise node.refuse("a constant can be added directly behind a convolution only")
    shape = (1, len(kernel.weight), *(1,) * (value.rank - 2))
    try:
        per_channel = np.broadcast_to(offset.real, shape).reshape(-1)
    except ValueError as error:
        raise node.refuse(f"its constant of shape {offset.array.shape} is no bias") from error
    bias = kernel.bias + sign * per_channel / value.factor
    return replace(value, kernel=replace(kernel, bias=bias, has_bias=True))
