"""Operators that join data: element by element, or side by side as channels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from quantize.ptq.net import Op
from quantize.ptq.read import views
from quantize.ptq.read.reader import Reader
from synthesize.chip.limits import MAX_OPERANDS
from synthesize.read.onnx.model import Node


def added(reader: Reader, node: Node, parts: list[Op], join: str = "add") -> Op:
    """A sum of data, or all others subtracted from the first."""
    from quantize.ptq.read.operators import foreign

    for first, second in pairwise(parts):
        if trouble := _apart(reader, node, first, second):
            return foreign(reader, node, *trouble)
    made, rest = _sum(reader, node, parts[:MAX_OPERANDS], join), parts[MAX_OPERANDS:]
    while rest:
        made = _sum(reader, node, [made, *rest[: MAX_OPERANDS - 1]], join)
        rest = rest[MAX_OPERANDS - 1 :]
    return made


def _sum(reader: Reader, node: Node, parts: list[Op], join: str) -> Op:
    from quantize.ptq.read.operators import out

    op = Op(out(node), "sum", [part.name for part in parts], parts[0].shape)
    op.join = "sub" if join == "sub" else "add"
    return reader.add(node, op)


def _apart(reader: Reader, node: Node, first: Op, second: Op) -> tuple[str, str] | None:
    """Why two results cannot be added, and what can."""
    if first.shape != second.shape or not _lie_alike(reader, first, second):
        word = f"{node.op} of data of {_size(reader, first)} and {_size(reader, second)}"
        return word, "data of equal shape"
    one, other = reader.order(first), reader.order(second)
    same = one is other or (one is not None and other is not None and np.array_equal(one, other))
    if same:
        return None
    word = f"{node.op} of data that was flattened in different orders"
    return word, "channels first, or last, in all that is flattened"


def _lie_alike(reader: Reader, first: Op, second: Op) -> bool:
    return views.alike(reader.view(first), first.shape, reader.view(second), second.shape)


def _size(reader: Reader, op: Op) -> str:
    """Sizes of a result in the model, without the batch."""
    return "x".join(str(n) for n in views.dims(reader.view(op), op.shape)[1:])


def total(reader: Reader, node: Node) -> Op:
    """Sum: of data and constants."""
    from quantize.ptq.read.operators import affine

    every = range(len(node.inputs))
    parts = [reader.data(node, i) for i in every if reader.is_data(node, i)]
    made = added(reader, node, parts) if len(parts) > 1 else parts[0]
    for i in every:
        constant = reader.constant(node, i)
        if constant is not None and made.kind != "foreign":
            made = affine(reader, node, made, np.ones(1), constant)
    return made


def concat(reader: Reader, node: Node) -> Op:
    """Concat along channels; flat data that was flattened with channels last keeps its order."""
    from quantize.ptq.read.operators import foreign, out

    every = range(len(node.inputs))
    if any(reader.constant(node, i) is not None for i in every):
        return foreign(reader, node, "Concat of data and a constant", "data alone (the mean of "
                       "all pixels in place of a token that stands for them)")  # fmt: skip
    parts = [reader.data(node, i) for i in every]
    if len(parts) == 1:
        return parts[0]
    axis = node.integer("axis", 1)
    channels = all(views.axes(reader.view(p), [axis]) == "C" for p in parts)
    alike = all(p.shape[1:] == parts[0].shape[1:] and _lie_alike(reader, parts[0], p)
                for p in parts)  # fmt: skip
    if not (channels and alike):
        op = foreign(reader, node, f"Concat along axis {axis}", "channels")
        op.inputs, op.apart = list(dict.fromkeys(p.name for p in parts)), True
        return op
    shape = (sum(p.shape[0] for p in parts), *parts[0].shape[1:])
    made = reader.add(node, Op(out(node), "concat", [p.name for p in parts], shape))
    orders = [reader.order(p) for p in parts]
    if any(order is not None for order in orders):
        starts = np.cumsum([0, *(p.shape[0] for p in parts)])
        reader.orders[made.name] = np.concatenate([
            start + (np.arange(p.shape[0]) if order is None else order)
            for start, p, order in zip(starts, parts, orders, strict=False)
        ])  # fmt: skip
    return made
