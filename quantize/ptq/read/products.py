"""Matrix products as linear layers of flat data, or as 1x1 convolutions along the channels."""

from __future__ import annotations

import numpy as np

from quantize.ptq.net import Op, one_by_one
from quantize.ptq.read.reader import Reader
from quantize.ptq.read.weights import bias_of, finite, matching
from synthesize.read.onnx.model import Node


def linear(reader: Reader, node: Node) -> Op:
    """Gemm or MatMul with constant weights: on flat data, or on every pixel's channels."""
    from quantize.ptq.read.operators import foreign, out

    turned = not reader.is_data(node, 0)
    source = reader.data(node, int(turned))
    weight = _matrix(reader, node, source, turned)
    if weight is not None and _pixel_by_pixel(reader, node, source, turned):
        matrix = matching(reader, node, source, finite(node, weight if turned else weight.T))
        return reader.add(node, one_by_one(out(node), source.name, source.shape, matrix))
    if weight is None or turned or reader.rank(source) != 2:
        return foreign(reader, node, *_no_layer(reader, node, turned))
    weight = finite(node, weight) * node.number("alpha", 1.0)
    if not node.integer("transB", 0):
        weight = weight.T
    if node.integer("transA", 0):
        raise node.refuse("its data is transposed (transA); export it with transA=0")
    weight = reader.as_it_lies(source, matching(reader, node, source, weight))
    offset = bias_of(reader, node, len(weight)) * node.number("beta", 1.0)
    return reader.add(node, Op(
        out(node), "linear", [source.name], (len(weight), 1, 1), weight=weight[:, :, None, None],
        bias=np.broadcast_to(offset, (len(weight),)).astype(np.float64),
    ))  # fmt: skip


def pointwise(node: Node, weight: np.ndarray, view: str) -> bool:
    """Whether a convolution in 1D looks at one pixel of those that are all in one row."""
    moves = max(node.integers("strides") or (1,)) > 1 or any(node.integers("pads") or ())
    return view == "NCP" and weight.shape[2:] == (1,) and not moves


def along_channels(reader: Reader, node: Node, source: Op, weight: np.ndarray) -> Op:
    """The layer that multiplies the channels of every pixel by a matrix [out, in, 1]."""
    from quantize.ptq.read.operators import out

    op = one_by_one(out(node), source.name, source.shape, finite(node, weight)[:, :, 0])
    op.bias = bias_of(reader, node, len(weight))
    return reader.add(node, op)


def _matrix(reader: Reader, node: Node, source: Op, turned: bool) -> np.ndarray | None:
    """Constant weights of two axes; those in front of them may be there and 1."""
    weight = reader.constant(node, int(not turned))
    if weight is None or not 2 <= weight.ndim <= max(2, reader.rank(source)):
        return None
    return weight.reshape(weight.shape[-2:]) if max(weight.shape[:-2], default=1) == 1 else None


def _pixel_by_pixel(reader: Reader, node: Node, source: Op, turned: bool) -> bool:
    """Whether a MatMul sums over the channels of every pixel: a convolution of 1x1.

    It sums over the last axis, or over the one before where the constant comes first (``turned``).
    """
    view = reader.view(source)
    along = len(view) > 2 and view[-2 if turned else -1] == "C"
    return node.op == "MatMul" and along and source.name not in reader.orders


def _no_layer(reader: Reader, node: Node, turned: bool) -> tuple[str, str]:
    """What a matrix product is that is no linear layer, and the nearest that is one."""
    weight = reader.constant(node, int(not turned))
    if weight is None:
        return "a matrix product of data", "constant weights"
    if _matrix(reader, node, reader.data(node, int(turned)), turned) is None:
        said = f"a matrix product with weights of shape {list(weight.shape)}"
        return f"{said}, not [inputs, outputs]", "weights of two axes"
    if turned:
        return (
            "a matrix product with the constant in front, along an axis that is not the channels'",
            "the data first and weights [inputs, outputs], or Conv 1x1",
        )
    return (
        "a matrix product that is no linear layer on flat data or along the channels",
        "Flatten and Gemm with constant weights, or Conv 1x1",
    )
