"""Folding of constants while a model is read: shape arithmetic and dequantised weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from synthesize.read.onnx.model import Constant, Node

MAX_ELEMENTS = 16 * 1024 * 1024


def folded(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Value of an operator whose inputs are all constant; None when it is not one of those here.

    Raises:
        UserError: the operator's inputs do not go together.
    """
    function = _FOLDS.get(node.op)
    if function is None:
        return None
    try:
        with np.errstate(all="ignore"):
            value = np.asarray(function(node, inputs))
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise node.refuse(f"its constant inputs do not go together ({error})") from error
    if value.size > MAX_ELEMENTS:
        raise node.refuse(f"a constant of {value.size} elements is no part of a small network")
    return value


def dequantized(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    """(x - zero point) * scale, per tensor or per channel."""
    x, scale = _given(inputs[0]), _given(inputs[1])
    zero = inputs[2] if len(inputs) > 2 else None
    axis = node.integer("axis", 1)

    def shaped(values: np.ndarray) -> np.ndarray:
        if values.size == 1:
            return values.reshape(())
        shape = [1] * x.ndim
        shape[axis] = -1
        return values.reshape(shape)

    offset = 0.0 if zero is None else shaped(zero)
    result: np.ndarray = (x - offset) * shaped(scale)
    return result


def value_of(node: Node) -> np.ndarray:
    """Value of a Constant node.

    Raises:
        UserError: it is no tensor of numbers.
    """
    value = node.attributes.get("value")
    if isinstance(value, Constant):
        return value.real if value.array.dtype.kind == "f" else value.array
    for key in ("value_float", "value_int", "value_floats", "value_ints"):
        if key in node.attributes:
            array = np.asarray(node.attributes[key])
            if array.dtype.kind in "if":
                return array
    raise node.refuse("its value is no tensor of numbers")


def _given(value: np.ndarray | None) -> np.ndarray:
    if value is None:
        raise ValueError("an input is missing")
    return value


def _axes(node: Node, inputs: Sequence[np.ndarray | None]) -> tuple[int, ...]:
    if len(inputs) > 1 and inputs[1] is not None:
        return tuple(int(n) for n in inputs[1].reshape(-1))
    return node.integers("axes") or ()


def _unsqueeze(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    return np.expand_dims(_given(inputs[0]), _axes(node, inputs))


def _squeeze(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    axes = _axes(node, inputs)
    return np.squeeze(_given(inputs[0]), axes or None)


def _slice(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    data, starts, ends = (_given(value) for value in inputs[:3])
    count = starts.size
    axes = inputs[3] if len(inputs) > 3 and inputs[3] is not None else np.arange(count)
    steps = inputs[4] if len(inputs) > 4 and inputs[4] is not None else np.ones(count, int)
    where = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        where[int(axis)] = slice(int(start), int(end), int(step))
    return data[tuple(where)]


def _reshape(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    data, wanted = _given(inputs[0]), [int(n) for n in _given(inputs[1])]
    return data.reshape([data.shape[i] if n == 0 else n for i, n in enumerate(wanted)])


def _binary(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda node, inputs: function(_given(inputs[0]), _given(inputs[1]))


def _unary(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda node, inputs: function(_given(inputs[0]))


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.dtype.kind == b.dtype.kind == "i":
        return np.asarray(np.trunc(a / b).astype(np.int64))
    return np.asarray(a / b)


def _quantize(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    zero = inputs[2] if len(inputs) > 2 and inputs[2] is not None else np.zeros(())
    return np.rint(_given(inputs[0]) / _given(inputs[1])) + zero


def _constant_of_shape(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    value = node.attributes.get("value")
    number = value.real.reshape(-1)[0] if isinstance(value, Constant) else 0.0
    return np.full(_sizes(_given(inputs[0])), number)


def _expand(node: Node, inputs: Sequence[np.ndarray | None]) -> np.ndarray:
    data = _given(inputs[0])
    return data * np.ones(_sizes(_given(inputs[1])), data.dtype)


def _sizes(given: np.ndarray) -> list[int]:
    """Sizes of a constant that is to be made; ValueError where it would be too large."""
    sizes = [int(n) for n in given.reshape(-1)]
    if math.prod(sizes) > MAX_ELEMENTS or any(n < 0 for n in sizes):
        raise ValueError(f"sizes of {sizes}")
    return sizes


_FOLDS: dict[str, Callable[[Node, Sequence[np.ndarray | None]], Any]] = {
    "Abs": _unary(np.abs),
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(_divide),
    "Mod": _binary(np.mod),
    "Equal": _binary(np.equal),
    "Max": _binary(np.maximum),
    "Min": _binary(np.minimum),
    "Pow": _binary(np.power),
    "Where": lambda node, inputs: np.where(*(_given(value) for value in inputs[:3])),
    "Sqrt": _unary(np.sqrt),
    "Expand": _expand,
    "Exp": _unary(np.exp),
    "Neg": _unary(np.negative),
    "Floor": _unary(np.floor),
    "Ceil": _unary(np.ceil),
    "Reciprocal": _unary(np.reciprocal),
    "Identity": _unary(np.asarray),
    "Cast": lambda node, inputs: (
        np.trunc(_given(inputs[0])).astype(np.int64)
        if node.integer("to", 1) in (2, 3, 4, 5, 6, 7, 12, 13)
        else _given(inputs[0])
    ),
    "Concat": lambda node, inputs: np.concatenate(
        [np.atleast_1d(_given(value)) for value in inputs], node.integer("axis", 0)
    ),
    "Gather": lambda node, inputs: np.take(
        _given(inputs[0]), _given(inputs[1]).astype(np.int64), node.integer("axis", 0)
    ),
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Slice": _slice,
    "Reshape": _reshape,
    "Transpose": lambda node, inputs: np.transpose(_given(inputs[0]), node.integers("perm")),
    "ConstantOfShape": _constant_of_shape,
    "DequantizeLinear": dequantized,
    "QuantizeLinear": _quantize,
}
