"""From a fused float network to a student: which operations become one layer of the chip."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ai8x_models.layers import FusedLayer
from ai8x_models.spec.layer import LayerSpec
from ai8x_models.students import INPUT, Student, StudentSpec
from common.errors import UserError
from common.texts import shortened, word
from quantize.ptq.net import CONVOLUTIONS, Net, Op, one_by_one
from synthesize.chip.limits import BIAS_BYTES_PER_QUADRANT, PROCESSORS

LONGEST = 100
"""Characters of a layer's name: names built of it (of tensors, of functions in C) say more."""


@dataclass
class Lowered:
    """A network as layers: the specification, and which operation each layer computes."""

    spec: StudentSpec
    ops: dict[str, Op]
    sources: dict[str, list[str]]
    """By layer: the operations whose results it reads, in order (for the factors of its inputs)."""
    layers: dict[str, str] = field(default_factory=dict)
    """By operation: the layer that computes it."""


class _Lowering:
    def __init__(self, net: Net) -> None:
        self.net = net
        self.specs: list[LayerSpec] = []
        self.ops: dict[str, Op] = {}
        self.sources: dict[str, list[str]] = {}
        self.made: dict[str, str] = {INPUT: INPUT}
        self.taken: set[str] = set()

    def name(self, wanted: str) -> str:
        """A name that a module attribute and a C file can have."""
        name = re.sub(r"[^A-Za-z0-9_]", "_", wanted).strip("_") or "layer"
        name = shortened(name, LONGEST, "_")
        taken = hasattr(Student, name) or name in ("spec", "mode", "training", INPUT)
        if taken or not name[0].isalpha():
            name = f"layer_{name}"
        base, number = name, 2
        while name.lower() in self.taken:
            name, number = f"{base}_{number}", number + 1
        self.taken.add(name.lower())
        return name

    def emit(self, op: Op, spec: LayerSpec, sources: list[str]) -> None:
        """Append a layer."""
        self.specs.append(spec)
        self.ops[spec.name] = op
        self.sources[spec.name] = sources
        self.made[op.name] = spec.name

    def layer(self, name: str) -> str:
        """The layer that holds an operation's result on the chip, made now if need be."""
        waiting = [name]
        while waiting:  # no recursion: what somebody else wrote may be a thousand sums deep
            op = self.net.ops[waiting[-1]]
            if waiting[-1] in self.made:
                waiting.pop()
            elif missing := [n for n in self._reads(op) if n not in self.made]:
                waiting += reversed(missing)
            else:
                self._make(op)
        return self.made[name]

    def _reads(self, op: Op) -> list[str]:
        """Operations that must be layers before one can be."""
        if op.kind in CONVOLUTIONS:
            return self._gather(op)[0]
        return self._joined(op)

    def _make(self, op: Op) -> None:
        """Append the layer of an operation whose sources are layers."""
        if op.kind in CONVOLUTIONS:
            self._convolution(op)
        elif op.kind == "flatten":
            raise UserError(_unread(self.net, op))
        elif _too_wide(op):
            self._copied(op)
        else:
            self._passthrough(op)

    def _convolution(self, op: Op) -> None:
        sources, options = self._gather(op)
        names = [self.made[source] for source in sources]
        spec = LayerSpec(
            self.name(op.name), names[0], op.weight.shape[1], len(op.weight),
            others=tuple(names[1:]), activation=op.activation, batchnorm=False,
            wide=is_wide(self.net, op), bias=len(op.weight) <= BIAS_BYTES_PER_QUADRANT,
            **_operation(op), **options,
        )  # fmt: skip
        self.emit(op, spec, sources)

    def _passthrough(self, op: Op) -> None:
        """A sum, a concatenation or pooling as a layer of its own."""
        options = _pooling(op) if op.kind == "pool" else {}
        if op.kind == "sum":
            options["join"] = op.join
        sources = self._joined(op)
        names = [self.made[source] for source in sources]
        spec = LayerSpec(
            self.name(op.name), names[0], op.shape[0], op.shape[0], op="passthrough",
            activation="none", batchnorm=False, others=tuple(names[1:]), **options,
        )  # fmt: skip
        self.emit(op, spec, sources)

    def _joined(self, op: Op) -> list[str]:
        """What a layer without convolution reads; what is pooled may lie side by side."""
        apart = op.kind == "pool" and self.net.source(op).kind == "concat"
        return list(self.net.source(op).inputs if apart and not _too_wide(op) else op.inputs)

    def _copied(self, op: Op) -> None:
        """Pooling of more channels than one pass has: in front of a convolution that copies."""
        copy = one_by_one(op.name, op.inputs[0], op.shape, np.eye(op.shape[0]))
        spec = LayerSpec(
            self.name(op.name), self.made[op.inputs[0]], op.shape[0], op.shape[0], kernel=1,
            activation="none", batchnorm=False, **_pooling(op),
        )  # fmt: skip
        copy.name = op.name
        self.emit(copy, spec, [op.inputs[0]])

    def _gather(self, op: Op) -> tuple[list[str], dict[str, Any]]:
        """What a convolution reads, with the pooling and the join that happen in flight."""
        net, source = self.net, self.net.source(op)
        options: dict[str, Any] = {}
        if op.kind == "linear":
            if source.kind == "flatten":
                source = net.source(source)
            parts = source.kind == "concat" and source.shape[1:] == (1, 1)
            return (list(source.inputs) if parts else [source.name]), options
        if source.kind == "pool" and net.alone(source.name) and op.kind != "convtranspose2d":
            options, source = _pooling(source), net.source(source)
        if source.kind == "concat" and not net.is_output(source.name):
            return list(source.inputs), options
        if source.kind == "sum" and not options and self._in_flight(op, source):
            return list(source.inputs), {"join": source.join}
        return [source.name], options

    def _in_flight(self, op: Op, source: Op) -> bool:
        """Whether a sum can be computed on the way into a convolution."""
        one_pass = source.shape[0] <= PROCESSORS
        return op.kind == "conv2d" and one_pass and self.net.alone(source.name)


def lower(net: Net) -> Lowered:
    """Turn a fused network into layers; only what outputs depend on becomes one."""
    lowering = _Lowering(net)
    for op in net.ops.values():
        if op.kind in CONVOLUTIONS:
            lowering.layer(op.name)
    outputs = tuple(dict.fromkeys(lowering.layer(op) for _, op in net.outputs))
    spec = StudentSpec(
        shortened(word(net.name), LONGEST, "_") or "network",
        net.ops[INPUT].shape, tuple(lowering.specs), outputs,
    )  # fmt: skip
    return Lowered(spec, lowering.ops, lowering.sources, lowering.made)


def _unread(net: Net, op: Op) -> str:
    """What is said of flat data that is no linear layer's."""
    size = "x".join(map(str, net.source(op).shape))
    readers = ", ".join(dict.fromkeys(reader.node for reader in net.readers(op.name)))
    return (
        f"{op.node}: flat data that no linear layer reads: {size} for {readers}, but the chip "
        "flattens only in front of a linear layer; put a Gemm or MatMul behind it, or join data of "
        "equal rows and columns"
    )


def is_wide(net: Net, op: Op) -> bool:
    """Whether a result leaves the chip at full width."""
    last = net.is_output(op.name) and not net.readers(op.name)
    return last and op.plain and op.kind in CONVOLUTIONS and (op.stride == 1)


def _operation(op: Op) -> dict[str, Any]:
    if op.kind == "linear":
        return {"op": "linear"}
    kernel = int(op.weight.shape[2])
    stride = 1 if op.kind == "convtranspose2d" else op.stride
    return {"op": op.kind, "kernel": kernel, "stride": stride, "padding": op.pad}


def _too_wide(op: Op) -> bool:
    """Whether pooling has more channels than one pass."""
    return op.kind == "pool" and op.shape[0] > PROCESSORS and op.shape[1:] != (1, 1)


def _pooling(op: Op) -> dict[str, Any]:
    return {"pool": op.window, "pool_stride": op.step, "pooling": op.pooling}


@torch.no_grad()
def build(lowered: Lowered, factors: dict[str, np.ndarray]) -> Student:
    """The float student whose data is divided by the factors of its tensors."""
    student = Student(lowered.spec)
    for spec, layer in student.layers():
        op = lowered.ops[spec.name]
        out = factors[op.name]
        parts = [factors[name] for name in lowered.sources[spec.name]]
        inside = parts[0] if spec.join != "concat" else np.concatenate(parts)
        inside = np.repeat(inside, op.weight.shape[1] // len(inside))  # flattened pixels
        weight = op.weight * inside[None, :, None, None] / out[:, None, None, None]
        _store(layer, weight)
        if layer.op.bias is not None:
            layer.op.bias.copy_(torch.from_numpy(op.bias / out))
    return student.eval()


def _store(layer: FusedLayer, weight: np.ndarray) -> None:
    """Put weights [out, in, rows, columns] where the layer keeps them."""
    if layer.out_axis:
        weight = weight.swapaxes(0, 1)
    shape = layer.op.weight.shape
    layer.op.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)).reshape(shape))
