"""What every supported ONNX operator means for the chip: one function per operator.

Each function takes the builder and a node and returns the value of the node's first output. An
operator that is not in :data:`OPERATORS`, or an attribute the chip has no equivalent for, is
refused with the node's and the operator's name.

Where the meaning is not the same bit for bit: QuantizeLinear rounds halves to even and the chip
rounds them up (``Floor(x + 0.5)`` in front of it says the latter exactly), and AveragePool gives
fractions where the chip truncates the mean towards zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from synthesize.graph.ir import Op
from synthesize.read.checkpoint import spread
from synthesize.read.onnx.attributes import only, pads, per_axis, repeats, whole, window
from synthesize.read.onnx.build import Builder, batch_norm
from synthesize.read.onnx.fuse import (
    bias_of,
    bits_of,
    convolve,
    flatten_input,
    join_inputs,
    multiply_by,
    pool_input,
    reshape_input,
)
from synthesize.read.onnx.model import Constant, Node
from synthesize.read.onnx.steps import (
    HIGH,
    LOW,
    activated,
    limited,
    scaled,
    settle,
    untouched,
    with_bias,
    zero_point,
)
from synthesize.read.onnx.values import Data, Kernel, exponent, scalar

Value = Data | Constant
INT8 = 3
"""Number of the type INT8 in ONNX."""


def quantize_linear(b: Builder, node: Node) -> Value:
    """QuantizeLinear: the end of a layer, or of the input."""
    value = b.value(node, 0)
    scale = scalar(node, b.constant(node, 1, "the scale"), "the scale")
    zero_point(b, node)
    signed = b.optional(node, 2, "the zero point")
    if (signed.unsigned if signed else node.integer("output_dtype", 0) != INT8) and isinstance(
        value, Data
    ):
        raise node.unquantised("it makes unsigned bytes; quantise to int8 with zero point 0")
    if isinstance(value, Constant):
        bits = signed.type_bits if signed else 8
        low = -(1 << (bits - 1))
        whole = np.rint(value.real / scale).clip(low, -low - 1)
        return Constant(whole.astype(np.int64), value.name, bits)
    exponent(node, scale, "the scale")
    if value.state == "raw":
        return replace(value, state="integer", scale=scale)
    if value.state == "rounded":
        if scale != 1.0:
            raise node.refuse(f"the scale behind Floor(x + 0.5) is {scale:g}; it must be 1")
        return replace(value, state="integer", output_scale=1.0)
    if value.state == "half":
        raise node.refuse("one half was added without Floor; leave it out or add Floor")
    if value.state == "open" and value.kernel is not None:
        return replace(settle(node, value, scale), state="integer", output_scale=1.0)
    if scale != value.real_scale:
        raise node.refuse(
            f"its scale is {scale:g} but the data has {value.real_scale:g}, and only a convolution "
            "can change it; use equal scales"
        )
    value = limited(node, value, value.limits[0] / scale, value.limits[1] / scale)
    return replace(value, state="integer", output_scale=1.0)


def dequantize_linear(b: Builder, node: Node) -> Value:
    """DequantizeLinear: gives integers their real worth."""
    value = b.value(node, 0)
    scale = scalar(node, b.constant(node, 1, "the scale"), "the scale")
    zero_point(b, node)
    if isinstance(value, Constant):
        return replace(value, scale=scale)
    exponent(node, scale, "the scale")
    if value.state == "raw":
        return replace(value, state="exact", scale=scale)
    if value.state != "integer":
        raise node.refuse("its input is not quantised; put QuantizeLinear in front")
    return replace(value, state="exact", output_scale=scale)


def conv(b: Builder, node: Node) -> Value:
    """Conv with one group: 2D or 1D."""
    only(node, "group", 1)
    weight = b.constant(node, 1, "the weights")
    rank = weight.array.ndim
    if rank not in (3, 4):
        raise node.refuse(f"its weights have {rank} axes; the chip has 1D and 2D convolutions")
    one_d = rank == 3
    op: Op = "conv1d" if one_d else "conv2d"
    array = weight.real[..., None] if one_d else weight.real
    dilation = 1
    if one_d:
        array, dilation = spread(array, max(1, per_axis(node, "dilations", rank, 1)[0]))
    strides = per_axis(node, "strides", rank, 1)
    kernel = Kernel(
        op, array, *bias_of(b, node, len(array)), weight.scale, bits_of(b, weight),
        stride=strides, pad=pads(node, rank, array.shape[2:], strides), dilation=dilation,
    )  # fmt: skip
    return convolve(b, node, kernel, rank)


def conv_transpose(b: Builder, node: Node) -> Value:
    """ConvTranspose: 3x3 with stride 2; the rules refuse any other."""
    only(node, "group", 1)
    if node.integers("output_shape") is not None:
        raise node.refuse("attribute output_shape; give pads and output_padding instead")
    weight = b.constant(node, 1, "the weights")
    if weight.array.ndim != 4:
        raise node.refuse(f"its weights have {weight.array.ndim} axes; only 2D is possible")
    array = np.flip(weight.real, axis=(2, 3)).swapaxes(0, 1)
    strides = per_axis(node, "strides", 4, 1)
    extra = per_axis(node, "output_padding", 4, 0)
    kernel = Kernel(
        "convtranspose2d", array, *bias_of(b, node, len(array)), weight.scale, bits_of(b, weight),
        stride=strides, pad=pads(node, 4, array.shape[2:], strides), output_pad=extra,
    )  # fmt: skip
    return convolve(b, node, kernel, 4)


def gemm(b: Builder, node: Node) -> Value:
    """Gemm with constant weights: a linear layer."""
    only(node, "transA", 0)
    for key in ("alpha", "beta"):
        if node.number(key, 1.0) != 1.0:
            raise node.refuse(f"{key} is {node.number(key, 1.0)}; multiply the weights instead")
    weight = b.constant(node, 1, "the weights")
    return multiply_by(b, node, weight, bool(node.integer("transB", 0)), 2)


def matmul(b: Builder, node: Node) -> Value:
    """MatMul with constant weights: a linear layer without bias."""
    return multiply_by(b, node, b.constant(node, 1, "the second factor"), False, None)


def batch_normalization(b: Builder, node: Node) -> Value:
    """BatchNormalization behind a convolution, folded in float64."""
    only(node, "training_mode", 0)
    value = b.data(node)
    if value.kernel is None or not untouched(value):
        raise node.refuse("batch norm must stand directly behind a convolution; move it there")
    outputs = len(value.kernel.weight)
    statistics = []
    for index, what in enumerate(("scale", "offset", "mean", "variance"), 1):
        statistics.append(b.constant(node, index, f"the {what}").real.reshape(-1))
        if len(statistics[-1]) != outputs:
            raise node.refuse(f"{what} has {len(statistics[-1])} values for {outputs} channels")
    epsilon = node.number("epsilon", 1e-5)
    if (statistics[3] + epsilon <= 0).any():
        raise node.refuse("a variance is not positive; train the model again")
    return replace(value, kernel=batch_norm(value.kernel, statistics, epsilon))


def relu(b: Builder, node: Node) -> Value:
    """Relu behind a convolution."""
    return activated(node, b.data(node), "relu")


def absolute(b: Builder, node: Node) -> Value:
    """Abs behind a convolution."""
    return activated(node, b.data(node), "abs")


def clip(b: Builder, node: Node) -> Value:
    """Clip: what 8 bits do anyway, or a ReLU."""
    value = b.data(node)
    bounds = []
    for index, default in ((1, -math.inf), (2, math.inf)):
        limit = b.optional(node, index, "the limit")
        bounds.append(default if limit is None else scalar(node, limit, "the limit"))
    low, high = bounds
    if value.state == "rounded":
        value = replace(value, state="exact", output_scale=1.0)
        if (low, high) not in ((LOW, HIGH), (0, HIGH)):
            raise node.refuse(f"limits {low:g} to {high:g} of a rounded value; use -128 to 127")
    if value.state == "exact":
        return limited(node, value, low / value.real_scale, high / value.real_scale)
    limits = max(value.limits[0], low), min(value.limits[1], high)
    return replace(value, limits=limits)


def multiply(b: Builder, node: Node) -> Value:
    """Mul by a constant power of two."""
    first, second = b.value(node, 0), b.value(node, 1)
    if isinstance(first, Data) and isinstance(second, Data):
        raise node.refuse("the chip cannot multiply two data tensors; use Add, Sub, or a Conv")
    data, factor = (first, second) if isinstance(first, Data) else (second, first)
    return scaled(node, data, factor, False)


def divide(b: Builder, node: Node) -> Value:
    """Div by a constant power of two."""
    return scaled(node, b.value(node, 0), b.value(node, 1), True)


def add(b: Builder, node: Node) -> Value:
    """Add: a bias, one half in front of Floor, or an element-wise sum."""
    first, second = b.value(node, 0), b.value(node, 1)
    if isinstance(first, Data) and isinstance(second, Data):
        return join_inputs(b, node, "add")
    if isinstance(first, Data):
        return with_bias(b, node, first, b.constant(node, 1, "the bias"), 1.0)
    return with_bias(b, node, b.data(node, 1), b.constant(node, 0, "the bias"), 1.0)


def subtract(b: Builder, node: Node) -> Value:
    """Sub: a negative bias, or an element-wise difference."""
    first, second = b.value(node, 0), b.value(node, 1)
    if isinstance(first, Data) and isinstance(second, Constant):
        return with_bias(b, node, first, second, -1.0)
    return join_inputs(b, node, "sub")


def bitwise_or(b: Builder, node: Node) -> Value:
    """BitwiseOr of quantised tensors."""
    return replace(join_inputs(b, node, "or"), state="integer", output_scale=1.0)


def bitwise_xor(b: Builder, node: Node) -> Value:
    """BitwiseXor of quantised tensors."""
    return replace(join_inputs(b, node, "xor"), state="integer", output_scale=1.0)


def floor(b: Builder, node: Node) -> Value:
    """Floor, as the second half of the chip's rounding."""
    value = b.data(node)
    if value.state != "half":
        raise node.refuse("the chip rounds; write Floor(x + 0.5) in front of QuantizeLinear")
    return replace(settle(node, value, 1.0), state="rounded")


def max_pool(b: Builder, node: Node) -> Value:
    """MaxPool without padding."""
    return pool_input(b, node, "max", window(b, node))


def average_pool(b: Builder, node: Node) -> Value:
    """AveragePool without padding; the chip truncates the mean."""
    return pool_input(b, node, "avg", window(b, node))


def global_max_pool(b: Builder, node: Node) -> Value:
    """GlobalMaxPool."""
    return pool_input(b, node, "max", whole(b, node))


def global_average_pool(b: Builder, node: Node) -> Value:
    """GlobalAveragePool; the chip truncates the mean."""
    return pool_input(b, node, "avg", whole(b, node))


def reduce_mean(b: Builder, node: Node) -> Value:
    """ReduceMean over rows and columns: GlobalAveragePool, flat without keepdims."""
    value = b.exact(node)
    given = b.optional(node, 1, "the axes")
    axes = node.integers("axes") or () if given is None else tuple(map(int, given.array.flat))
    if {n % value.rank for n in axes} != set(range(2, value.rank)) or value.rank < 3:
        raise node.refuse(f"mean over axes {list(axes)}; only rows and columns together can be")
    mean = pool_input(b, node, "avg", whole(b, node))
    return mean if node.integer("keepdims", 1) else flatten_input(b, node, mean)


def resize(b: Builder, node: Node) -> Value:
    """Resize that repeats every pixel 2, 4 or 8 times along both axes."""
    value = b.exact(node)
    factor = repeats(b, node, value.shape)
    if factor is None or value.rank != 4 or value.flatten:
        raise node.refuse(
            "only nearest-neighbour enlarging by 2, 4 or 8 along both axes, with coordinates that "
            "repeat every pixel (asymmetric, floor), has an exact form; use ConvTranspose"
        )
    if value.kernel is not None or value.repeat > 1 or value.join != "concat":
        value = b.landed(node, value)
    channels, rows, cols = value.shape
    shape = (channels, rows * factor, cols * factor)
    if factor == 1:
        return value
    return replace(value, repeat=factor, shape=shape, name=node.name, order=node.order)


def concat(b: Builder, node: Node) -> Value:
    """Concat along channels."""
    rank = b.exact(node).rank
    if node.integer("axis", 1) not in (1, 1 - rank):
        raise node.refuse("only channels (axis 1) can be concatenated")
    if len(node.inputs) == 1:
        return b.exact(node)
    return join_inputs(b, node, "concat")


def space_to_depth(b: Builder, node: Node) -> Value:
    """SpaceToDepth of the input: its blocks become channels while it is loaded."""
    value = b.data(node)
    size = node.integer("blocksize", 0)
    channels, rows, cols = value.shape
    if size < 1 or rows % size or cols % size or value.rank != 4:
        raise node.refuse(f"blocks of {size} x {size} do not divide data of {rows} x {cols}")
    if not b.fold_input(value, (channels * size * size, rows // size, cols // size), size):
        raise node.refuse("only the network's input can be folded, for all its readers at once")
    shape = b.source.shape
    return replace(value, shape=shape, source_shape=shape)


def flatten(b: Builder, node: Node) -> Value:
    """Flatten all but the batch."""
    value = b.exact(node)
    if node.integer("axis", 1) not in (1, 1 - value.rank):
        raise node.refuse("only axis 1, which keeps the batch, is possible")
    return flatten_input(b, node, value)


def reshape(b: Builder, node: Node) -> Value:
    """Reshape that flattens, makes a pixel of flat data, or changes nothing."""
    wanted = b.constant(node, 1, "the shape").array.reshape(-1)
    return reshape_input(b, node, b.exact(node), [int(n) for n in wanted])


def identity(b: Builder, node: Node) -> Value:
    """Identity, Dropout in inference, and Cast between float types."""
    return b.value(node, 0)


def constant(b: Builder, node: Node) -> Value:
    """Constant."""
    value = node.attributes.get("value")
    if isinstance(value, Constant):
        return replace(value, name=value.name or node.outputs[0])
    for key in ("value_float", "value_int", "value_floats", "value_ints"):
        if key in node.attributes:
            array = np.asarray(node.attributes[key])
            if array.dtype.kind not in "if":
                raise node.refuse("its value is no tensor of numbers")
            return Constant(array, node.outputs[0])
    raise node.refuse("its value is no tensor of numbers")


OPERATORS: dict[str, Callable[[Builder, Node], Value]] = {
    "Abs": absolute,
    "Add": add,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "BitwiseOr": bitwise_or,
    "BitwiseXor": bitwise_xor,
    "Cast": identity,
    "Clip": clip,
    "Concat": concat,
    "Constant": constant,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "DequantizeLinear": dequantize_linear,
    "Div": divide,
    "Dropout": identity,
    "Flatten": flatten,
    "Floor": floor,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "Identity": identity,
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Mul": multiply,
    "QuantizeLinear": quantize_linear,
    "ReduceMean": reduce_mean,
    "Relu": relu,
    "Reshape": reshape,
    "Resize": resize,
    "SpaceToDepth": space_to_depth,
    "Sub": subtract,
}
