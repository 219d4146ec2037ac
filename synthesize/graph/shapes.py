"""Shapes follow from what a layer reads and does; layers are made with the shapes that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.errors import UserError
from synthesize.graph.ir import (
    Graph,
    Join,
    Layer,
    Op,
    Pair,
    Pool,
    Shape,
    Where,
    at,
    label,
    pair_text,
    pooled_size,
    shape_text,
)


@dataclass(frozen=True)
class Form:
    """What decides the shape of a layer's result; fields as those of :class:`Layer`."""

    op: Op
    inputs: tuple[str, ...]
    pool: Pool | None = None
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    dilation: int = 1
    output_pad: Pair = (0, 0)
    flatten: bool = False
    weight: np.ndarray | None = None


_FORM = tuple(Form.__dataclass_fields__)


def layer_reading(
    shapes: Sequence[Shape],
    *,
    name: str,
    where: Where,
    join: Join = "concat",
    reshape: Pair | None = None,
    stacked: int = 1,
    **fields: Any,
) -> Layer:
    """Return a layer whose shapes follow from those of its inputs.

    Args:
        shapes: shape of every input, in order.
        name, where, join, reshape, stacked: as in :class:`Layer`.
        fields: all other fields of :class:`Layer`, ``op`` and ``inputs`` at least.

    Raises:
        UserError: the inputs do not go together, or as :func:`result_shape`.
    """
    prefix = label(where, name)
    try:
        joined = joined_shape(join, shapes, stacked)
    except ValueError as error:
        raise UserError(f"{prefix}{error}; make the shapes equal") from error
    if reshape is not None:
        joined = _reshaped(prefix, reshape, joined)
    form = Form(**{key: fields[key] for key in _FORM if key in fields})
    return Layer(
        name=name,
        in_shape=joined,
        out_shape=_result(prefix, form, joined),
        join=join,
        reshape=reshape,
        stacked=stacked,
        where=where,
        **fields,
    )


def joined_shape(join: Join, shapes: Sequence[Shape], stacked: int = 1) -> Shape:
    """Return the shape of joined inputs, or of ``stacked`` operands in a single one.

    Raises:
        ValueError: the shapes do not go together (the message says which).
    """
    if join == "concat":
        if any(s[1:] != shapes[0][1:] for s in shapes):
            raise ValueError(f"cannot concatenate {' and '.join(map(shape_text, shapes))}")
        return sum(s[0] for s in shapes), shapes[0][1], shapes[0][2]
    if stacked > 1:
        channels, rows, cols = shapes[0]
        if len(shapes) != 1 or channels % stacked:
            raise ValueError(f"{channels} channels do not hold {stacked} operands of one size")
        return channels // stacked, rows, cols
    if any(s != shapes[0] for s in shapes):
        raise ValueError(
            f"cannot combine {' and '.join(map(shape_text, shapes))} element by element"
        )
    return shapes[0]


def result_shape(layer: Layer) -> Shape:
    """Return [channels, rows, columns] that a layer computes from its ``in_shape``.

    Raises:
        UserError: the data is smaller than the pooling window or the kernel, or the weights do
            not fit the number of input channels.
    """
    return _result(at(layer), Form(*(getattr(layer, key) for key in _FORM)), layer.in_shape)


def _result(prefix: str, form: Form, shape: Shape) -> Shape:
    channels = shape[0]
    rows, cols = pooled_size(shape[1:], form.pool)
    if min(rows, cols) < 1:
        window = pair_text(form.pool.size if form.pool else (1, 1))
        raise UserError(
            f"{prefix}the pooling window {window} is larger than the data {shape_text(shape)}; use "
            "a smaller window"
        )
    if form.op == "upsample":
        return channels, rows * form.stride[0], cols * form.stride[1]
    if form.op == "passthrough" or form.weight is None:
        return channels, rows, cols
    if form.flatten:
        channels, rows, cols = channels * rows * cols, 1, 1
    out, weight_in = form.weight.shape[:2]
    if weight_in != channels:
        raise UserError(
            f"{prefix}the weights expect {weight_in} input channels but "
            f"{', '.join(form.inputs)} gives {channels}; check the order of the layers and the "
            "channel counts"
        )
    if form.op == "convtranspose2d":
        rows, cols = (
            (n - 1) * s - 2 * p + k + o
            for n, s, p, k, o in zip(
                (rows, cols), form.stride, form.pad, form.kernel, form.output_pad, strict=True
            )
        )
    else:
        reach = ((form.kernel[0] - 1) * form.dilation + 1, form.kernel[1])
        rows, cols = (
            (n + 2 * p - k) // s + 1
            for n, s, p, k in zip((rows, cols), form.stride, form.pad, reach, strict=True)
        )
    if min(rows, cols) < 1:
        apart = f" with dilation {form.dilation}" if form.dilation > 1 else ""
        raise UserError(
            f"{prefix}the {pair_text(form.kernel)} kernel{apart} is larger than the padded data "
            f"{shape_text(shape)}; pad more or pool less"
        )
    return int(out), rows, cols


def check_shapes(graph: Graph) -> None:
    """Check that every layer's shapes follow from its inputs.

    Raises:
        UserError: naming the first layer whose shapes do not chain.
    """
    for layer in graph.layers:
        try:
            shapes = [graph.shape_read(layer, n) for n in layer.inputs]
            joined = joined_shape(layer.join, shapes, layer.stacked)
        except ValueError as error:
            raise UserError(f"{at(layer)}{error}; make the shapes equal") from error
        if layer.reshape is not None:
            joined = _reshaped(at(layer), layer.reshape, joined)
        if joined != layer.in_shape or result_shape(layer) != layer.out_shape:
            raise UserError(
                f"{at(layer)}the shapes do not chain: inputs give {shape_text(joined)}, the layer "
                f"states {shape_text(layer.in_shape)} -> {shape_text(layer.out_shape)}"
            )


def _reshaped(prefix: str, reshape: Pair, joined: Shape) -> Shape:
    rows, cols = reshape
    size = joined[0] * joined[1] * joined[2]
    if rows < 1 or cols < 1 or size % (rows * cols):
        raise UserError(
            f"{prefix}in_dim {rows}x{cols} does not divide the {shape_text(joined)} data it reads"
        )
    return size // (rows * cols), rows, cols
