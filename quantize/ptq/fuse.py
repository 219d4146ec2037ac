"""Rewrites of a float network towards layers of the chip; every one keeps what it computes.

Batch norm and other factors and offsets join the convolution in front of them (or behind), a ReLU
or a limit becomes part of the layer that computes its data, sums of sums one sum. What then still
stands alone becomes a 1x1 convolution of its own. Foreign operations at the end are left to the
application; any other is an obstacle.
"""

from __future__ import annotations

import math

import numpy as np

from quantize.ptq import flat
from quantize.ptq.net import CONVOLUTIONS, INPUT, Net, Obstacle, Op, one_by_one
from synthesize.chip.limits import MAX_OPERANDS


def fuse(net: Net, approximate: bool = False) -> Net:
    """Rewrite a network in place until only layers are left.

    Args:
        net: as :func:`quantize.ptq.read.reader.read` returns it.
        approximate: put the nearest thing in place of what can be avoided that way.
    """
    net.prune()  # gates of products that were understood as a whole
    _drop_what_changes_nothing(net)
    _cut_last(net)
    _meet_foreign(net, approximate)
    net.prune()
    for op in list(net.of("pad")):
        where = "padding that no convolution takes over"
        net.obstacles.append(Obstacle(op.node, where, "padding as part of a convolution"))
        net.replace(op.name, op.inputs[0])
    _drop_what_changes_nothing(net)
    _merge(net)
    while flat.early(net):
        _merge(net)
    _stand_alone(net)
    flat.as_linear(net)
    _sums(net)
    _along_one_axis(net)
    flat.put_out(net)
    net.notes += [
        f"output {name}: the model puts it out in another order; the firmware's is "
        f"{net.ops[op].lies}"
        for name, op in net.outputs
        if name in net.turned
    ]
    net.in_order()
    _avoid(net, approximate)
    return net


def _merge(net: Net) -> None:
    """Merge factors, offsets and activations into the layers beside them, as far as that goes."""
    while _affine(net) or _activations(net):
        net.prune()


def _avoid(net: Net, approximate: bool) -> None:
    """Turn what was avoided into notes."""
    if not approximate:
        return
    for obstacle in net.obstacles:
        if obstacle.avoidable:
            net.notes.append(f"{obstacle.node}: {obstacle.reason} replaced by {obstacle.nearest}")
    net.obstacles = [obstacle for obstacle in net.obstacles if not obstacle.avoidable]


def _drop_what_changes_nothing(net: Net) -> None:
    for op in net.of("flatten", "affine", "act"):
        source = net.source(op)
        single = op.kind == "flatten" and source.shape[1:] == (1, 1)
        neutral = op.kind == "affine" and bool((op.weight == 1).all() and (op.bias == 0).all())
        if single or neutral or (op.kind == "act" and op.plain):
            net.replace(op.name, source.name)


def _cut_last(net: Net) -> None:
    """Leave foreign operations of one thing, that only outputs read, to the application."""
    changed = True
    while changed:
        changed = False
        for op in net.of("foreign"):
            if op.name not in net.ops or not net.is_output(op.name) or net.readers(op.name):
                continue
            if not op.others:
                _leave(net, op)
                changed = True
            elif op.apart and INPUT not in op.inputs:
                _leave_join(net, op)
                changed = True


def _leave(net: Net, op: Op) -> None:
    """Put out what a foreign operation reads."""
    source = net.source(op)
    net.notes.append(
        f"{op.node}: {op.word} comes last and is left to the application; the output is what it "
        f"reads{_lies(net, [source])}"
    )
    cut = {name: source.tensor for name, n in net.outputs if n == op.name}
    net.cut |= cut
    net.turned.update(name for name, tensor in cut.items() if tensor in net.orders)
    net.replace(op.name, source.name)


def _lies(net: Net, put_out: list[Op]) -> str:
    """How what is put out lies, where it has pixels, and is put out as it is."""
    inner = [net.source(op) if op.kind == "flatten" else op for op in put_out]
    known = [op for op in inner if op.kind != "foreign" and op.shape[1:] != (1, 1)]
    return ", as " + " and ".join(op.lies for op in known) if known else ""


def _leave_join(net: Net, op: Op) -> None:
    """Put out, one by one, what a foreign operation only puts together."""
    parts = {net.ops[name].tensor: name for name in op.inputs}
    outputs: dict[str, str] = {}
    for name, n in net.outputs:
        outputs |= parts if n == op.name else {name: n}
    net.outputs = list(outputs.items())
    net.notes.append(
        f"{op.node}: {op.word} comes last and is left to the application; the {len(parts)} things "
        f"that it reads are outputs{_lies(net, [net.ops[name] for name in parts.values()])}"
    )
    net.prune()


def _meet_foreign(net: Net, approximate: bool) -> None:
    """Every foreign operation left is an obstacle; its substitute takes its place."""
    for op in net.of("foreign"):
        avoidable = op.substitute != "none"
        nearest = op.nearest
        if op.others and net.is_output(op.name):
            nearest = "all that it reads as outputs of the model, and itself in the application"
        net.obstacles.append(Obstacle(op.node, op.word, nearest, avoidable))
        if avoidable:
            op.kind, op.activation = "act", "relu"
        else:
            net.replace(op.name, op.inputs[0])


def _affine(net: Net) -> bool:
    """Merge one affine operation; returns whether there was one to merge."""
    for op in net.of("affine"):
        source = net.source(op)
        if source.kind == "affine" and net.alone(source.name):
            source.weight, source.bias = (
                source.weight * op.weight,
                source.bias * op.weight + op.bias,
            )
        elif source.kind in CONVOLUTIONS and net.alone(source.name) and source.plain:
            _after(source, op)
        elif not _before(net, op):
            continue
        net.replace(op.name, source.name)
        return True
    return False


def _after(conv: Op, op: Op) -> None:
    """Multiply a convolution's outputs."""
    gain = np.broadcast_to(op.weight, (len(conv.weight),))
    conv.weight = conv.weight * gain[:, None, None, None]
    conv.bias = conv.bias * gain + op.bias


def _before(net: Net, op: Op) -> bool:
    """Multiply the inputs of all readers; an offset only where no padding stands beside it."""
    readers = net.readers(op.name)
    offset = bool((op.bias != 0).any())
    possible = (
        readers and not net.is_output(op.name) and all(r.kind in CONVOLUTIONS for r in readers)
    )
    if not possible or (offset and any(r.pad or r.kind == "convtranspose2d" for r in readers)):
        return False
    gain = np.broadcast_to(op.weight, (op.shape[0],))
    shift = np.broadcast_to(op.bias, (op.shape[0],))
    for reader in readers:
        reader.copies = False
        reader.bias = reader.bias + np.einsum("oihw,i->o", reader.weight, shift)
        reader.weight = reader.weight * gain[None, :, None, None]
    return True


def _activations(net: Net) -> bool:
    """Merge one activation; returns whether there was one to merge."""
    for op in net.of("act"):
        source = net.source(op)
        if _redundant(net, op, source):
            net.replace(op.name, source.name)
            return True
        if not net.alone(source.name):
            continue
        if source.kind == "pool" and source.pooling == "max" and op.activation != "abs":
            # What rises with its input may as well happen before the largest is taken.
            _swap(net, op, source)
            return True
        # A sum has no activation, but what cannot be negative needs none: the limit of a quantised
        # model's integers then is that of the chip's.
        kept = op.saturates and source.kind == "sum" and net.positive(source)
        if (kept or source.kind in (*CONVOLUTIONS, "act")) and _absorb(source, op):
            net.replace(op.name, source.name)
            return True
    return False


def _swap(net: Net, op: Op, pool: Op) -> None:
    """op(pool(x)) -> pool(op(x))."""
    inner = pool.inputs[0]
    for other in net.ops.values():
        if other is not pool:
            other.inputs = [pool.name if n == op.name else n for n in other.inputs]
    net.outputs = [(name, pool.name if n == op.name else n) for name, n in net.outputs]
    op.inputs, pool.inputs = [inner], [op.name]
    op.shape = net.ops[inner].shape
    net.in_order()


def _absorb(source: Op, op: Op) -> bool:
    """Let ``source`` do what ``op`` does behind it."""
    if source.activation == "none" and source.plain:
        source.activation, source.low, source.high = op.activation, op.low, op.high
        return True
    if op.activation == "none" or op.activation == source.activation == "relu":
        # Limits behind an activation, or a ReLU behind a ReLU with a limit.
        source.low, source.high = max(source.low, op.low), min(source.high, op.high)
        return True
    if op.activation == "relu" and source.activation == "none" and source.low == -math.inf:
        source.activation, source.high = "relu", min(source.high, op.high)
        return True
    if op.activation == "relu" and source.activation == "none":
        source.activation, source.low = "relu", -math.inf
        source.high = min(source.high, op.high)
        return True
    return False


def _redundant(net: Net, op: Op, source: Op) -> bool:
    """Whether data is positive already where a ReLU would make it so."""
    bare = op.low == -math.inf and op.high == math.inf
    return op.activation in ("relu", "abs") and bare and net.positive(source)


def _stand_alone(net: Net) -> None:
    """Give what no convolution took over a 1x1 convolution of its own."""
    _of_their_own(net, "affine")
    _merge(net)
    _of_their_own(net, "act")


def _of_their_own(net: Net, kind: str) -> None:
    for op in net.of(kind):
        channels = op.shape[0]
        gain, offset = np.ones(1), np.zeros(1)
        if op.kind == "affine":
            gain, offset = op.weight, op.bias
        own = one_by_one(
            "", op.inputs[0], op.shape, np.eye(channels) * np.broadcast_to(gain, channels)
        )
        op.kind, op.weight = "conv2d", own.weight
        op.bias = np.broadcast_to(offset, (channels,)).astype(np.float64)
        if op.inputs[0] != INPUT and op.shape[0] > 0:
            what = "a factor of its own" if (gain != 1).any() else "an activation of its own"
            net.notes.append(f"{op.node}: {what} becomes a 1x1 convolution")


def _along_one_axis(net: Net) -> None:
    """Let 1x1 convolutions of 1D data be 1D convolutions, as all others there are."""
    if net.layout in ("ncl", "nlc"):
        for op in net.of("conv2d"):
            if op.weight.shape[2:] == (1, 1):
                op.kind = "conv1d"


def _sums(net: Net) -> None:
    """Make one sum of sums of sums, of up to 16 operands."""
    for op in net.of("sum"):
        if op.name not in net.ops or op.join != "add":
            continue
        parts: list[str] = []
        for name in op.inputs:
            inner = net.ops[name]
            merge = inner.kind == "sum" and inner.join == "add" and net.alone(name) and inner.plain
            parts += inner.inputs if merge else [name]
        if len(parts) <= MAX_OPERANDS:
            op.inputs = parts
    net.prune()
