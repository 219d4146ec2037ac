"""Joins, pooling and convolutions of ONNX nodes, fused into the layer that is pending."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from synthesize.graph.ir import Join, Pair, Pool
from synthesize.read.onnx.build import Builder
from synthesize.read.onnx.model import Constant, Node
from synthesize.read.onnx.values import Data, Kernel


def join_inputs(b: Builder, node: Node, join: Join) -> Data:
    """Join the node's inputs, or extend the join that is pending, in one layer."""
    first = b.data(node)
    extends = (
        join in ("add", "sub")
        and (first.state, first.join, first.pool) == ("open", join, None)
        and first.kernel is None
        and b.alone(node.inputs[0])
    )
    skip = 1 if extends else 0
    parts = [b.plain(node, i) for i in range(skip, len(node.inputs))]
    everything = [first, *parts] if extends else parts
    scales = sorted({part.real_scale for part in everything})
    if len(scales) > 1 and join != "or" and join != "xor":
        raise node.refuse(
            f"its inputs have the scales {scales[0]:g} and {scales[-1]:g}; quantise them alike"
        )
    shapes = [part.shape for part in everything]
    same = shapes if join != "concat" else [(1, *shape[1:]) for shape in shapes]
    if any(shape != same[0] for shape in same) or any(p.flatten for p in parts):
        raise node.refuse(f"its inputs have the shapes {shapes}; make them equal")
    channels = sum(s[0] for s in shapes) if join == "concat" else shapes[0][0]
    shape = (channels, *shapes[0][1:])
    sources = [name for part in parts for name in part.sources]
    return Data(
        sources=(*first.sources, *sources) if extends else tuple(sources),
        shape=shape,
        rank=everything[0].rank,
        scale=scales[0],
        name=node.name,
        order=node.order,
        source_shape=shape,
        join=join,
        state="exact" if join == "concat" else "open",
    )


def pool_input(b: Builder, node: Node, kind: str, geometry: tuple[Pair, Pair]) -> Data:
    """Take pooling into the pending layer, before or behind its join."""
    value = b.exact(node)
    last = value.join != "concat" and len(value.sources) == 2
    busy = value.pool or value.kernel or value.repeat > 1
    if busy or not (value.plain or value.join == "concat" or last):
        value = b.landed(node, value)
        last = False
    size, stride = geometry
    pool = Pool("max" if kind == "max" else "avg", size, stride)
    rows, cols = ((value.shape[1 + i] - size[i]) // stride[i] + 1 for i in (0, 1))
    if min(rows, cols) < 1:
        raise node.refuse(f"its window {size} is larger than the data {value.shape}")
    return replace(
        value,
        pool=pool,
        pool_first=not last,
        shape=(value.shape[0], rows, cols),
        name=node.name,
        order=node.order,
    )


def flatten_input(b: Builder, node: Node, value: Data) -> Data:
    """Turn rows and columns into channels, where a linear layer can do so."""
    if value.rank == 2:
        return value
    if value.kernel is not None or value.repeat > 1:
        value = b.landed(node, value)
    return replace(value, rank=2, flatten=True)


def reshape_input(b: Builder, node: Node, value: Data, wanted: list[int]) -> Data:
    """Flatten, make a pixel of flat data, or change nothing."""
    size = math.prod(value.shape)
    if len(wanted) == 2 and wanted[0] in (0, 1, -1) and wanted[1] in (-1, size):
        return flatten_input(b, node, value)
    now = [1, *value.shape][: value.rank] if value.rank > 2 else [1, size]
    if value.rank == 2 and value.kernel is not None:
        value = b.landed(node, value)
    flat = value.rank == 2 and not value.flatten
    if flat and len(wanted) > 2:
        now = [1, size, 1, 1][: len(wanted)]
    same = len(wanted) == len(now) and all(
        w in (n, -1) or (w == 0 and i < value.rank)
        for i, (w, n) in enumerate(zip(wanted, now, strict=True))
    )
    if not same:
        nearest = f" or be one pixel, [1, {size}, 1, 1]" if flat else ""
        raise node.refuse(f"shape {wanted}; data can only be flattened to [1, {size}]{nearest}")
    return replace(value, rank=len(wanted))


def multiply_by(
    b: Builder, node: Node, weight: Constant, transposed: bool, bias: int | None
) -> Data:
    """Multiply by a constant matrix: a linear layer, or a 1x1 convolution of one pixel."""
    if weight.array.ndim != 2:
        raise node.refuse(f"its weights have {weight.array.ndim} axes, expected 2")
    array = (weight.real if transposed else weight.real.T)[:, :, None, None]
    offset = np.zeros(len(array)), False
    if bias is not None:
        offset = bias_of(b, node, len(array), bias)
    kernel = Kernel("linear", array, *offset, weight.scale, bits_of(b, weight))
    return convolve(b, node, kernel, 2)


def convolve(b: Builder, node: Node, kernel: Kernel, rank: int) -> Data:
    """Give the pending layer a kernel, with the shape that follows."""
    value = b.exact(node)
    if value.rank != rank:
        raise node.refuse(f"its input has {value.rank} axes, expected {rank}")
    if not b.fuses(node, value, kernel.op):
        value = b.landed(node, value)
    channels = math.prod(value.shape) if value.flatten else value.shape[0]
    if kernel.weight.shape[1] != channels:
        raise node.refuse(
            f"its weights expect {kernel.weight.shape[1]} channels but the data has {channels}"
        )
    if kernel.op == "linear":
        shape = (len(kernel.weight), 1, 1)
    else:
        rows, cols = (_size(kernel, value.shape[1 + i], i) for i in (0, 1))
        shape = (len(kernel.weight), rows, cols)
    return replace(
        value,
        shape=shape,
        scale=value.real_scale,
        output_scale=None,
        kernel=kernel,
        state="open",
        name=node.name,
        order=node.order,
    )


def _size(kernel: Kernel, size: int, axis: int) -> int:
    taps, step, pad = kernel.weight.shape[2 + axis], kernel.stride[axis], kernel.pad[axis]
    if kernel.op == "convtranspose2d":
        return int((size - 1) * step - 2 * pad + taps + kernel.output_pad[axis])
    return int((size + 2 * pad - taps) // step + 1)


def bias_of(b: Builder, node: Node, outputs: int, index: int = 2) -> tuple[np.ndarray, bool]:
    """Return the biases (float64 [out]) and whether the node gives any."""
    bias = b.optional(node, index, "the bias")
    if bias is None:
        return np.zeros(outputs), False
    values = bias.real.reshape(-1)
    if values.size == 1:
        values = np.repeat(values, outputs)
    if values.size != outputs:
        raise node.refuse(f"{values.size} biases for {outputs} outputs")
    return values, True


def bits_of(b: Builder, weight: Constant) -> int:
    """Return the bits a weight is stored with, as the model says."""
    return b.model.bits.get(weight.name, weight.type_bits)
