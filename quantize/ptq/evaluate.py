"""Computes a float network in torch, operation by operation, in real numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from quantize.ptq.net import INPUT, Net, Op


@torch.no_grad()
def values(net: Net, x: Tensor) -> Iterator[tuple[Op, Tensor]]:
    """Yield every operation with its result, [N, C, H, W]; results nobody reads are forgotten.

    Args:
        net: after :func:`quantize.ptq.fuse.fuse`.
        x: input as [N, C, H, W], float32.
    """
    left = {name: len(net.readers(name)) for name in net.ops}
    known: dict[str, Tensor] = {}
    for op in net.ops.values():
        known[op.name] = x if op.name == INPUT else compute(op, [known[n] for n in op.inputs])
        yield op, known[op.name]
        for name in op.inputs:
            left[name] -= 1
            if not left[name]:
                known.pop(name, None)


def outputs(net: Net, x: Tensor) -> dict[str, Tensor]:
    """The outputs by name."""
    wanted = {op for _, op in net.outputs}
    found = {op.name: value for op, value in values(net, x) if op.name in wanted}
    return {name: found[op] for name, op in net.outputs}


@torch.no_grad()
def along(path: list[Op], x: Tensor) -> Tensor | None:
    """What a path of operations, each reading the last one, makes of inputs [N, C, H, W].

    None where one of them is computed only after a rewrite.
    """
    for op in path:
        if op.kind not in _KINDS:
            return None
        x = compute(op, [x])
    return x


def compute(op: Op, inputs: list[Tensor]) -> Tensor:
    """One operation; activation and limits included."""
    value = _KINDS[op.kind](op, inputs)
    if op.activation == "relu":
        value = F.relu(value)
    elif op.activation == "abs":
        value = value.abs()
    return value if op.plain or (op.low, op.high) == _FREE else value.clamp(op.low, op.high)


_FREE = (-float("inf"), float("inf"))


def _parameters(op: Op) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(op.weight).float(), torch.from_numpy(op.bias).float()


def _conv(op: Op, inputs: list[Tensor]) -> Tensor:
    weight, bias = _parameters(op)
    if op.kind == "conv1d":
        return F.conv2d(inputs[0], weight, bias, (op.stride, 1), (op.pad, 0))
    return F.conv2d(inputs[0], weight, bias, op.stride, op.pad)


def _transposed(op: Op, inputs: list[Tensor]) -> Tensor:
    weight, bias = _parameters(op)
    return F.conv_transpose2d(inputs[0], weight.transpose(0, 1), bias, 2, op.pad, 1)


def _linear(op: Op, inputs: list[Tensor]) -> Tensor:
    weight, bias = _parameters(op)
    return F.linear(inputs[0].flatten(1), weight[:, :, 0, 0], bias)[:, :, None, None]


def _pool(op: Op, inputs: list[Tensor]) -> Tensor:
    pool = F.max_pool2d if op.pooling == "max" else F.avg_pool2d
    return pool(inputs[0], op.window, op.step)


def _affine(op: Op, inputs: list[Tensor]) -> Tensor:
    factor, offset = _parameters(op)
    return inputs[0] * factor[:, None, None] + offset[:, None, None]


_KINDS: dict[str, Callable[[Op, list[Tensor]], Tensor]] = {
    "conv2d": _conv,
    "conv1d": _conv,
    "convtranspose2d": _transposed,
    "linear": _linear,
    "pool": _pool,
    "sum": lambda op, x: reduce(torch.add if op.join == "add" else torch.sub, x),
    "concat": lambda op, x: torch.cat(x, 1),
    "flatten": lambda op, x: x[0].flatten(1)[:, :, None, None],
    "act": lambda op, x: x[0],
    "affine": _affine,
}
