"""Flat data, which the chip has only on the way into a linear layer.

What is done with flattened data is done before it is flattened wherever every pixel of a channel is
treated alike: activations, factors, sums, and data of equal rows and columns side by side. A 1x1
convolution of flat data is a linear layer. A linear layer that reads flat data beside data of other
sizes becomes one for each of them, whose results are added.
"""

from __future__ import annotations

import numpy as np

from quantize.ptq.net import Net, Op
from synthesize.chip.limits import MAX_OPERANDS, PROCESSORS, PROCESSORS_PER_INSTANCE


def early(net: Net) -> bool:
    """Flatten behind what can be done before; returns whether anything moved."""
    net.in_order()
    moved = False
    for op in list(net.ops.values()):
        sources = [net.ops[name] for name in op.inputs]
        if not sources or any(source.kind != "flatten" for source in sources):
            continue
        before = [net.source(source) for source in sources]
        if not _alike(op, before) or not _as_layer(net, op, before):
            continue
        if op.kind == "affine":
            op.weight, op.bias = (
                np.broadcast_to(values, (op.shape[0],)).reshape(before[0].shape[0], -1)[:, 0]
                for values in (op.weight, op.bias)
            )
        shape = op.shape
        channels = sum(inner.shape[0] for inner in before)
        rest = before[0].shape[1:]
        op.shape = (channels if op.kind == "concat" else before[0].shape[0], *rest)
        op.inputs = [inner.name for inner in before]
        _behind(net, op, Op(f"{op.name}.flat", "flatten", [op.name], shape, op.node))
        moved = True
    if moved:
        net.in_order()
        net.prune()
    return moved


def _alike(op: Op, before: list[Op]) -> bool:
    """Whether an operation treats the pixels of every channel alike."""
    if op.kind == "concat":
        return len({inner.shape[1:] for inner in before}) == 1
    if op.kind == "sum":
        return len({inner.shape for inner in before}) == 1
    if op.kind == "affine":
        rows = [
            np.broadcast_to(values, (op.shape[0],)).reshape(before[0].shape[0], -1)
            for values in (op.weight, op.bias)
        ]
        return all(bool((values == values[:, :1]).all()) for values in rows)
    return op.kind == "act"


def _as_layer(net: Net, op: Op, before: list[Op]) -> bool:
    """Whether data beside other data is a layer, or has a reader that cannot take it apart."""
    sizes = [inner.shape[0] for inner in before]
    apart = all(reader.kind == "linear" for reader in net.readers(op.name))
    return op.kind != "concat" or net.is_output(op.name) or not apart or _fit(sizes)


def _fit(sizes: list[int]) -> bool:
    """Whether the processors can take parts side by side that have so many channels.

    Every part begins in a data memory of its own; with more channels than processors each part is
    one pass, and all but the last have as many.
    """
    total = sum(sizes)
    passes = -(-total // PROCESSORS)
    if passes == 1:
        return sum(_whole_memories(size) for size in sizes) <= PROCESSORS
    share = _whole_memories(-(-total // passes))
    return len(sizes) == passes and set(sizes[:-1]) == {share} and sizes[-1] <= share


def _whole_memories(channels: int) -> int:
    """Channels of all processors whose data memory some channels need."""
    return -(-channels // PROCESSORS_PER_INSTANCE) * PROCESSORS_PER_INSTANCE


def _behind(net: Net, op: Op, made: Op) -> None:
    """Let all who read an operation read another one that reads it."""
    for reader in net.readers(op.name):
        reader.inputs = [made.name if name == op.name else name for name in reader.inputs]
    net.outputs = [(name, made.name if n == op.name else n) for name, n in net.outputs]
    net.add(made)


def as_linear(net: Net) -> None:
    """Let every 1x1 convolution of flat data be a linear layer, one for each size of data."""
    for op in net.of("conv2d", "conv1d"):
        if op.shape[1:] == (1, 1) == op.weight.shape[2:] and _holds_flat(net, net.source(op)):
            op.kind, op.stride = "linear", 1
    waiting = list(net.of("linear"))
    while waiting:
        waiting += _apart(net, waiting.pop())
    net.in_order()


def _holds_flat(net: Net, op: Op) -> bool:
    """Whether data is flat, or joined of such."""
    if op.kind in ("concat", "sum"):
        return any(_holds_flat(net, net.ops[name]) for name in op.inputs)
    return op.kind == "flatten"


def _apart(net: Net, op: Op) -> list[Op]:
    """One linear layer for each part of joined data; none where that needs none."""
    source = net.source(op)
    parts = source.inputs
    sizes = [net.ops[name].shape[0] for name in parts]
    wide = source.kind == "concat" and not _fit(sizes)
    if source.kind not in ("concat", "sum") or not (wide or _holds_flat(net, source)):
        return []
    if len(parts) > MAX_OPERANDS:
        return []
    ends = np.cumsum([0, *sizes])
    made = []
    for number, name in enumerate(parts):
        first = ends[number] if source.kind == "concat" else 0
        layer = Op(f"{op.name}.{number + 1}", "linear", [name], op.shape, op.node)
        layer.weight = op.weight[:, first : first + sizes[number]]
        layer.bias = op.bias if number == 0 else np.zeros_like(op.bias)
        made.append(net.add(layer))
    why = "data of different sizes" if _holds_flat(net, source) else f"{sum(sizes)} channels"
    net.notes.append(
        f"{op.node}: it reads {why} side by side and becomes {len(parts)} linear layers, whose "
        "results are added"
    )
    whole = op
    if not op.plain:  # a sum has no activation
        whole = net.add(Op(f"{op.name}.sum", "sum", [], op.shape, op.node))
        op.kind, op.inputs = "conv2d", [whole.name]
        op.weight, op.bias = np.eye(op.shape[0])[:, :, None, None], np.zeros(op.shape[0])
    whole.kind, whole.inputs = "sum", [layer.name for layer in made]
    whole.weight = whole.bias = np.zeros(0)
    whole.join = source.join if source.kind == "sum" else "add"
    return made


def put_out(net: Net) -> None:
    """Put flat data out as it lies: its values in the same order are channels of more pixels."""
    net.outputs = [
        (name, net.ops[op].inputs[0] if net.ops[op].kind == "flatten" else op)
        for name, op in net.outputs
    ]
    net.prune()
