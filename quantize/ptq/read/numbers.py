"""Operators that change what numbers are: whole or real, quantised or not.

Data is real numbers here. A model may read whole ones and turn them into real ones in front, which
loses nothing; whole numbers that are computed with would wrap and truncate, which the chip does in
another way.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantize.ptq.net import INPUT, Op
from quantize.ptq.read.reader import Reader
from synthesize.read.onnx.model import Node

_MOVING = (
    *("Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Concat", "Split"),
    *("Slice", "MaxPool", "Pad", "Dropout"),
)
"""Operators that compute nothing: whole numbers in, the same out."""
_TO_REAL = (1, 10, 11, 16)
"""Types of ONNX that hold real numbers: float, half, double and bfloat16."""


def of_whole(
    reader: Reader, node: Node, function: Callable[[Reader, Node], Op | list[Op]]
) -> Callable[[Reader, Node], Op | list[Op]]:
    """The function of an operator, in a model that reads whole numbers."""
    from quantize.ptq.read.operators import OPERATORS, lacking

    if not reader.whole.intersection(node.inputs):
        return function
    if node.op in _MOVING or (node.op == "Cast" and node.integer("to", 1) not in _TO_REAL):
        reader.whole.update(node.outputs)
        return function
    if node.op in ("Cast", "DequantizeLinear") or node.op not in OPERATORS:
        return function
    return lacking("a Cast to float in front of it", word=f"{node.op} of whole numbers")


def cast(reader: Reader, node: Node) -> Op:
    """Cast to real numbers, or of whole numbers to a type that holds them all."""
    from quantize.ptq.read.operators import foreign

    kind = node.integer("to", 1)
    if kind in _TO_REAL or _holds(reader, node, kind):
        return reader.data(node)
    return foreign(reader, node, "Cast to whole numbers, which cuts off",
                   "real numbers up to the end, and the Cast in the application")  # fmt: skip


def _holds(reader: Reader, node: Node, kind: int) -> bool:
    """Whether a type of ONNX holds every number that the model's input may be."""
    from onnx import helper

    if node.inputs[0] not in reader.whole:
        return False
    try:
        wanted = helper.tensor_dtype_to_np_dtype(kind)
        return wanted.kind in "iu" and np.can_cast(reader.net.input_type, wanted)
    except (KeyError, TypeError):
        return False


def quantized(reader: Reader, node: Node) -> Op:
    """QuantizeLinear of data: only what it cuts off counts."""
    _remark(reader)
    source, scale, zero = reader.data(node), reader.constant(node, 1), reader.constant(node, 2)
    if source.name == INPUT and scale is not None:
        step, offset = float(scale.reshape(-1)[0]), _number(zero)
        reader.net.input_span = (step * (-128 - offset), step * (255 - offset))
    reader.steps[node.outputs[0]] = scale, zero
    if source.kind in _SIGNED and scale is not None:
        return _saturated(reader, node, source, scale, zero)
    return source


def dequantized(reader: Reader, node: Node) -> Op:
    """DequantizeLinear of data: nothing behind a QuantizeLinear of the same scale."""
    from quantize.ptq.read.operators import affine

    source, scale, zero = reader.data(node), reader.constant(node, 1), reader.constant(node, 2)
    before = reader.steps.get(node.inputs[0], (scale, zero))
    if node.inputs[0] in reader.whole:
        before = np.ones(1), np.zeros(1)
    else:
        _remark(reader)
    if scale is None or before[0] is None or (before[0] == 0).any():
        return source
    step, offset = _along(reader, node, source, scale), _along(reader, node, source, zero)
    old, past = (_along(reader, node, source, values) for values in before)
    if np.array_equal(step, old) and np.array_equal(offset, past):
        return source
    return affine(reader, node, source, step / old, (past - offset) * step)


def _along(reader: Reader, node: Node, source: Op, values: np.ndarray | None) -> np.ndarray:
    """A scale or a zero point, shaped so that it goes with the data."""
    if values is None or values.size == 1:
        return np.full(1, _number(values))
    shape = [1] * reader.rank(source)
    axis = node.integer("axis", 1)
    if not -len(shape) <= axis < len(shape):
        raise node.refuse(f"axis {axis} is none of its data's {len(shape)}")
    shape[axis] = -1
    return values.astype(np.float64).reshape(shape)


def _number(values: np.ndarray | None) -> float:
    return 0.0 if values is None or values.size == 0 else float(values.reshape(-1)[0])


def _remark(reader: Reader) -> None:
    reader.note("its own quantisation is replaced by power-of-two scales")


_SIGNED = ("conv2d", "conv1d", "convtranspose2d", "linear", "affine", "sum")
"""Operations whose results may be negative whatever they read."""


def _saturated(
    reader: Reader, node: Node, source: Op, scale: np.ndarray, zero: np.ndarray | None
) -> Op:
    """A QuantizeLinear whose least integer is 0 cuts off what is negative.

    onnxruntime leaves out the ReLU or Clip in front of it therefore.
    """
    from quantize.ptq.read.operators import activation

    given = reader.model.constants.get(node.inputs[2]) if len(node.inputs) > 2 else None
    unsigned = given.unsigned if given is not None else zero is None
    offset = 0 if zero is None else int(zero.reshape(-1)[0])
    if scale.size != 1 or offset not in ((0,) if unsigned else (-128, -32768)):
        return source
    high = float(scale.reshape(-1)[0]) * (65535 if offset == -32768 else 255)
    made = activation("relu", high=high)(reader, node)
    assert isinstance(made, Op)
    made.saturates = True
    return made
