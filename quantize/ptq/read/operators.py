"""What every ONNX operator is in a float network: one function per operator.

Each takes the reader and a node and returns the operation that computes the node's output (a list
where it has several). What the chip does not have is a ``foreign`` operation, whose ``word`` and
``nearest`` become a line of the list of obstacles unless a rewrite finds a use for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from quantize.ptq.net import Norm, Op, one_by_one
from quantize.ptq.read import attention, joins, norms, numbers, pooling, shapes, views
from quantize.ptq.read.kernels import convolution, transposed
from quantize.ptq.read.products import linear
from quantize.ptq.read.reader import Reader, label
from synthesize.read.onnx.model import Node

Operator = Callable[[Reader, Node], Op | list[Op]]


def out(node: Node) -> str:
    """Name of the operation behind a node: that of its output, which other tools show."""
    return (node.name or node.outputs[0]).strip("/").replace("/", ".") or node.outputs[0]


def foreign(reader: Reader, node: Node, word: str, nearest: str, substitute: str = "none") -> Op:
    """An operation the chip does not have, between data of equal shape."""
    source = reader.data(node, 0 if reader.is_data(node, 0) else 1)
    return reader.add(node, Op(
        out(node), "foreign", [source.name], source.shape, word=word, nearest=nearest,
        substitute=substitute,
    ))  # fmt: skip


def unknown(reader: Reader, node: Node) -> Op:
    """An operator without function here."""
    index = next(i for i in range(len(node.inputs)) if reader.is_data(node, i))
    source = reader.data(node, index)
    nearest = "leave it out, or leave it to the application when it comes last"
    if "QLinear" in node.op or node.op.endswith("QGemm"):
        nearest = "the float model, or quantise it with quant_format=QuantFormat.QDQ"
    return reader.add(node, Op(
        out(node), "foreign", [source.name], source.shape, word=node.op, nearest=nearest
    ))  # fmt: skip


def same(reader: Reader, node: Node) -> Op:
    """Operators that change nothing in inference."""
    return reader.data(node)


def affine(reader: Reader, node: Node, source: Op, gain: np.ndarray, offset: np.ndarray) -> Op:
    """A factor and an offset, one number or one per channel."""
    if norms.is_norm(source):
        return source  # its own, of any shape: one obstacle
    channels = source.shape[0]
    values = []
    for array in (gain, offset):
        wide = shapes.per_channel(array, reader.view(source))
        if wide is None:
            return foreign(
                reader, node, f"a constant of shape {list(array.shape)} for every pixel",
                "one number per channel",
            )  # fmt: skip
        if wide.size not in (1, channels) and reader.uncertain(source):
            return source  # its size is not known; it is an obstacle as it is
        if wide.size not in (1, channels):
            raise node.refuse(f"{wide.size} numbers, but its data has {channels} channels")
        every = np.broadcast_to(wide, (channels,)).astype(np.float64)
        values.append(reader.as_it_lies(source, every))
    return reader.add(node, Op(
        out(node), "affine", [source.name], source.shape, weight=values[0], bias=values[1]
    ))  # fmt: skip


def batch_normalization(reader: Reader, node: Node) -> Op:
    """Batch norm in inference."""
    source = reader.data(node)
    scale, offset, mean, variance = (reader.constant(node, i) for i in range(1, 5))
    if scale is None or offset is None or mean is None or variance is None:
        raise node.refuse("its statistics are not constant; export the model in eval mode")
    gain = scale / np.sqrt(variance + node.number("epsilon", 1e-5))
    if not np.isfinite(gain).all():
        raise node.refuse("its statistics are not finite or a variance is negative; train again")
    view = reader.view(source)
    if view[:2] != "NC" or gain.size not in (1, source.shape[0]):
        word = f"batch norm of {gain.size} channels, but axes {view} with {source.shape[0]}"
        return foreign(reader, node, word, "channels in front")
    shape = (1, -1, *(1,) * (len(view) - 2))
    trained = bool((mean != 0).any() or (variance != 1).any())
    if reader.net.norm is None and trained and (front := reader.net.front(source)):
        deviation = np.broadcast_to(np.sqrt(variance).reshape(-1), (source.shape[0],))
        reader.net.norm = Norm(label(node), front, reader.as_it_lies(source, deviation))
    return affine(reader, node, source, gain.reshape(shape), (offset - mean * gain).reshape(shape))


def _two(reader: Reader, node: Node) -> tuple[Op | None, Op | None, np.ndarray | None]:
    first = reader.data(node, 0) if reader.is_data(node, 0) else None
    second = reader.data(node, 1) if reader.is_data(node, 1) else None
    constant = reader.constant(node, 1 if first is not None else 0)
    return first, second, constant


def add(reader: Reader, node: Node) -> Op:
    """Add: a sum of data, or an offset."""
    first, second, constant = _two(reader, node)
    if first is not None and second is not None:
        return joins.added(reader, node, [first, second])
    source = first or second
    assert source is not None
    assert constant is not None
    return affine(reader, node, source, np.ones(1), constant)


def subtract(reader: Reader, node: Node) -> Op:
    """Sub: a difference of data, or an offset."""
    first, second, constant = _two(reader, node)
    if first is not None and second is not None:
        return joins.added(reader, node, [first, second], "sub")
    assert constant is not None
    if first is not None:
        return affine(reader, node, first, np.ones(1), -constant)
    assert second is not None
    return affine(reader, node, second, -np.ones(1), constant)


def multiply(reader: Reader, node: Node) -> Op:
    """Mul by a constant, or one of the products of data that the chip does not have."""
    first, second, constant = _two(reader, node)
    if first is None or second is None:
        source = first or second
        assert source is not None
        assert constant is not None
        return affine(reader, node, source, constant, np.zeros(1))
    if norm := norms.written_out(reader, node):
        return norm
    for data, gate in ((first, second), (second, first)):
        if gate.shape[1:] == (1, 1) != data.shape[1:]:
            return _product(reader, node, data, "the product with a gate (squeeze and excitation)",
                            "the network without the gate", "none")  # fmt: skip
        if shapes.depends(reader.net, gate, data):
            curve = shapes.curve_of(reader.net, gate)
            return _product(reader, node, data, f"{curve}, a product of two tensors", "Relu",
                            "relu")  # fmt: skip
    return _product(reader, node, first, "the product of two tensors", "Add", "none")


def _product(reader: Reader, node: Node, data: Op, word: str, nearest: str, substitute: str) -> Op:
    return reader.add(node, Op(
        out(node), "foreign", [data.name], data.shape, word=word, nearest=nearest,
        substitute=substitute,
    ), reader.view(data))  # fmt: skip


def divide(reader: Reader, node: Node) -> Op:
    """Div by a constant."""
    constant = reader.constant(node, 1)
    if constant is None and (norm := norms.written_out(reader, node)):
        return norm
    if constant is None or not reader.is_data(node, 0) or (constant == 0).any():
        return foreign(reader, node, "the quotient of data", "a constant divisor")
    return affine(reader, node, reader.data(node), 1.0 / constant, np.zeros(1))


def activation(kind: str, low: float = -math.inf, high: float = math.inf) -> Operator:
    """Relu, Abs and their like."""

    def make(reader: Reader, node: Node) -> Op:
        source = reader.data(node)
        op = Op(out(node), "act", [source.name], source.shape, low=low, high=high)
        op.activation = "relu" if kind == "relu" else "abs" if kind == "abs" else "none"
        return reader.add(node, op)

    return make


def clip(reader: Reader, node: Node) -> Op:
    """Clip: a ReLU where it begins at zero, and limits."""
    bounds = []
    for index, key, default in ((1, "min", -math.inf), (2, "max", math.inf)):
        value = reader.constant(node, index)
        if value is None and reader.is_data(node, index):
            return foreign(reader, node, "Clip with limits that are data", "constant limits")
        number = node.number(key, default) if value is None else float(value.reshape(-1)[0])
        bounds.append(default if abs(number) > 1e30 else number)
    low, high = bounds
    kind = "relu" if low == 0 else "none"
    operation = activation(kind, -math.inf if low == 0 else low, high)(reader, node)
    assert isinstance(operation, Op)
    return operation


def lacking(nearest: str, substitute: str = "none", word: str = "") -> Operator:
    """An activation that the chip does not have."""
    return lambda reader, node: foreign(reader, node, word or node.op, nearest, substitute)


def normalizing(called: str) -> Operator:
    """A norm with statistics of each input; ``called`` is its name in PyTorch."""

    def make(reader: Reader, node: Node) -> Op:
        name = "GroupNorm" if node.inputs[0] in reader.grouped else called
        return foreign(reader, node, f"{name}, {norms.STATISTICS}", norms.NEAREST)

    return make


def split(reader: Reader, node: Node) -> list[Op]:
    """Split along channels: 1x1 convolutions that pick them."""
    source = reader.data(node)
    channels = source.shape[0]
    given = reader.constant(node, 1)
    count = len(node.outputs)
    sizes = [int(n) for n in given] if given is not None else [-(-channels // count)] * count
    along = views.axes(reader.view(source), [node.integer("axis", 0)])
    if along != "C" or sum(sizes) < channels or _twisted(reader, [source]):
        return [foreign(reader, node, "Split", "channels")] * count
    starts = np.cumsum([0, *sizes])
    return [
        _picked(reader, node, source, np.arange(a, min(b, channels)), number)
        for number, (a, b) in enumerate(pairwise(starts))
    ]


def slice_(reader: Reader, node: Node) -> Op:
    """Slice of channels."""
    source = reader.data(node)
    starts, ends, axes, steps = (reader.constant(node, i) for i in range(1, 5))
    only_channels = starts is not None and starts.size == 1 and axes is not None
    along = [int(np.asarray(axes).reshape(-1)[0])] if only_channels else []
    if views.axes(reader.view(source), along) != "C" or _twisted(reader, [source]):
        return foreign(reader, node, "Slice of rows or columns", "pooling, or a Slice of channels")
    assert starts is not None
    assert ends is not None
    step = 1 if steps is None else int(steps.reshape(-1)[0])
    chosen = np.arange(source.shape[0])[slice(int(starts[0]), int(ends[0]), step)]
    return _picked(reader, node, source, chosen, 0)


def _picked(reader: Reader, node: Node, source: Op, chosen: np.ndarray, number: int) -> Op:
    matrix = np.eye(source.shape[0])[chosen]
    name = out(node) + (f".{number}" if number else "")
    return reader.add(node, one_by_one(name, source.name, source.shape, matrix))


def transpose(reader: Reader, node: Node) -> Op:
    """Transpose: the same data seen with its axes in another order."""
    source = reader.data(node)
    view = reader.view(source)
    perm = node.integers("perm") or tuple(reversed(range(len(view))))
    if sorted(perm) != list(range(len(view))) or perm[0] != 0 or _twisted(reader, [source]):
        return foreign(reader, node, f"Transpose {list(perm)}", "data as it lies")
    return reader.seen_as(node, source, "".join(view[n] for n in perm))


def _twisted(reader: Reader, parts: list[Op]) -> bool:
    """Whether flat data was flattened with channels last; only a linear layer takes it so."""
    return any(part.name in reader.orders for part in parts)


OPERATORS: dict[str, Operator] = {
    "Abs": activation("abs"),
    "Add": add,
    "ArgMax": lacking("the application"),
    **dict.fromkeys(attention.OPERATORS, lacking(attention.NEAREST, word="attention")),
    "AveragePool": pooling.average_pool,
    "BatchNormalization": batch_normalization,
    "Cast": numbers.cast,
    "Clip": clip,
    "Concat": joins.concat,
    "Conv": convolution,
    "ConvTranspose": transposed,
    "DequantizeLinear": numbers.dequantized,
    "Div": divide,
    "Dropout": same,
    "Elu": lacking("Relu", "relu"),
    "Erf": lacking("Relu", "relu", "Gelu"),
    "Exp": lacking("the application, when it comes last"),
    "Flatten": shapes.flatten,
    "Gelu": lacking("Relu", "relu"),
    "Gemm": linear,
    "GlobalAveragePool": pooling.global_pool("avg"),
    "GlobalMaxPool": pooling.global_pool("max"),
    "GroupNormalization": normalizing("GroupNorm"),
    "HardSigmoid": lacking("the application, when it comes last"),
    "HardSwish": lacking("Relu", "relu"),
    "Identity": same,
    "InstanceNormalization": normalizing("InstanceNorm"),
    "LRN": normalizing("LocalResponseNorm"),
    "LayerNormalization": normalizing("LayerNorm"),
    "LeakyRelu": lacking("Relu", "relu"),
    "LogSoftmax": lacking("the application, when it comes last"),
    "MatMul": linear,
    "MaxPool": pooling.max_pool,
    "LpNormalization": normalizing("normalize"),
    "MeanVarianceNormalization": normalizing("MeanVarianceNormalization"),
    "Mul": multiply,
    "PRelu": lacking("Relu", "relu"),
    "Pad": shapes.pad,
    "QuantizeLinear": numbers.quantized,
    "RMSNormalization": normalizing("RMSNorm"),
    "ReduceMax": pooling.reduce_("max"),
    "ReduceMean": pooling.reduce_("avg"),
    "Relu": activation("relu"),
    "Reshape": shapes.reshape,
    "Resize": shapes.resize,
    "Selu": lacking("Relu", "relu"),
    "Sigmoid": lacking("the application, when it comes last"),
    "Slice": slice_,
    "Softmax": lacking("the application, when it comes last"),
    "Softplus": lacking("Relu", "relu"),
    "Split": split,
    "Squeeze": shapes.squeeze,
    "Sub": subtract,
    "Sum": joins.total,
    "Tanh": lacking("limits without curve, or the application when it comes last"),
    "Transpose": transpose,
    "Unsqueeze": shapes.squeeze,
    "Upsample": shapes.resize,
}


def operator_of(reader: Reader, node: Node) -> Operator:
    """The function of an operator."""
    function = OPERATORS.get(node.op, unknown)
    return numbers.of_whole(reader, node, function) if reader.whole else function
