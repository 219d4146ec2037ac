"""A float network as the importer leaves it: plain operations on [channels, rows, columns].

Everything is real numbers. An operation is named by the tensor it computes; data with one spatial
axis has one column, flat data has one pixel. Kinds of operations:

``input``
``conv2d`` ``conv1d`` ``convtranspose2d`` ``linear``  weights [out, in, rows, columns], unflipped
``pool``     a window of rows and columns, max or avg, without padding
``sum``      inputs added, or all others subtracted from the first
``concat``   inputs side by side as channels
``act``      relu, abs or nothing, then limits
``affine``   a factor and an offset per channel
``flatten``  C x H x W values become channels
``pad``      zeros around, which the convolution behind it takes over
``foreign``  something the chip does not have; ``substitute`` is the nearest it has
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Shape = tuple[int, int, int]
Pair = tuple[int, int]
CONVOLUTIONS = ("conv2d", "conv1d", "convtranspose2d", "linear")
INPUT = "input"


@dataclass(frozen=True)
class Obstacle:
    """One thing that the chip cannot do."""

    node: str
    reason: str
    nearest: str
    avoidable: bool = False
    """Whether the nearest thing can stand for it (``--approximate``)."""

    def __str__(self) -> str:
        return f"{self.node}: {self.reason}; nearest: {self.nearest}"


@dataclass(eq=False)
class Op:
    """One operation; see the module description."""

    name: str
    kind: str
    inputs: list[str]
    shape: Shape
    node: str = ""
    tensor: str = ""
    """Its name in the model."""
    weight: np.ndarray = field(default_factory=lambda: np.zeros(0))
    bias: np.ndarray = field(default_factory=lambda: np.zeros(0))
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    pooling: Literal["max", "avg"] = "max"
    window: Pair = (1, 1)
    step: Pair = (1, 1)
    join: Literal["add", "sub"] = "add"
    activation: Literal["none", "relu", "abs"] = "none"
    low: float = -math.inf
    high: float = math.inf
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    copies: bool = False
    """Whether a convolution only moves values, so that its data means what its input means."""
    word: str = ""
    nearest: str = ""
    substitute: str = "none"
    """For a foreign operation: the activation that stands for it."""
    others: bool = False
    """For a foreign operation: whether it reads more than one thing, of which one is followed."""
    apart: bool = False
    """For a foreign operation: whether it only puts together what it reads."""
    saturates: bool = False
    """Whether limits are those of a quantised model's own integers."""

    @property
    def lies(self) -> str:
        """How the values of a result lie on the chip, in words."""
        if self.shape[1:] == (1, 1):
            return f"{self.shape[0]} values, channel by channel"
        axes = ["channels", "rows", "columns"] if self.shape[2] > 1 else ["channels", "steps"]
        return f"{'x'.join(map(str, self.shape[: len(axes)]))} ({', '.join(axes)})"

    @property
    def plain(self) -> bool:
        """Whether no activation and no limit is set."""
        bare = self.activation == "none"
        return bare and (self.low, self.high) == (-math.inf, math.inf)


@dataclass(eq=False)
class Norm:
    """What the first batch norm of a network knows of the data it was trained on.

    ``front`` are the operations from the input to its own input, before any rewrite;
    ``deviation`` is the standard deviation of each channel there in training, [channels].
    """

    node: str
    front: list[Op]
    deviation: np.ndarray


@dataclass(eq=False)
class Net:
    """A network: operations in running order, and what the user should know about it.

    ``layout`` is how the model wants its input: ``nchw``, ``nhwc``, ``ncl``, ``nlc`` or ``nc``.
    """

    name: str
    input_name: str
    layout: str
    ops: dict[str, Op] = field(default_factory=dict)
    outputs: list[tuple[str, str]] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cut: dict[str, str] = field(default_factory=dict)
    """By output that the application computes: the tensor in front of that."""
    input_span: tuple[float, float] | None = None
    """What a model that is quantised already allows its input to be."""
    norm: Norm | None = None
    """Its first batch norm, where nothing but layers of its own stands before it."""
    input_type: str = "float32"
    """Of the numbers that the model reads, as NumPy calls it."""
    same: dict[str, int] = field(default_factory=dict)
    """By name: the last number that was put behind it to tell operations apart."""
    views: dict[str, str] = field(default_factory=dict)
    """By tensor of the model: the order of its axes (see :mod:`quantize.ptq.read.views`)."""
    orders: dict[str, np.ndarray] = field(default_factory=dict)
    """By tensor of the model that was flattened in another order: where each value lies here."""

    turned: set[str] = field(default_factory=set)
    """Outputs that the model puts out in another order than the firmware does."""

    @property
    def whole(self) -> bool:
        """Whether the model reads whole numbers."""
        return np.dtype(self.input_type).kind in "iub"

    def add(self, op: Op) -> Op:
        """Append an operation; its name is made unique."""
        base = op.name
        while op.name in self.ops:
            self.same[base] = self.same.get(base, 1) + 1
            op.name = f"{base}_{self.same[base]}"
        self.ops[op.name] = op
        return op

    def readers(self, name: str) -> list[Op]:
        """Operations that read a tensor, as often as they do."""
        return [op for op in self.ops.values() for source in op.inputs if source == name]

    def is_output(self, name: str) -> bool:
        """Whether a tensor is put out."""
        return any(op == name for _, op in self.outputs)

    def alone(self, name: str) -> bool:
        """Whether exactly one operation reads a tensor, and it is not put out."""
        return len(self.readers(name)) == 1 and not self.is_output(name)

    def source(self, op: Op) -> Op:
        """The operation whose result another one reads first."""
        return self.ops[op.inputs[0]]

    def positive(self, op: Op) -> bool:
        """Whether no value of a result can be negative."""
        waiting, seen = [op], {op.name}
        while waiting:
            one = waiting.pop()
            if self._never_negative(one):
                continue
            if not _keeps_the_sign(one):
                return False
            waiting += [self.ops[name] for name in one.inputs if name not in seen]
            seen.update(one.inputs)
        return True

    def _never_negative(self, op: Op) -> bool:
        """Whether a result cannot be negative, whatever is read."""
        if op.kind == "input":
            return np.dtype(self.input_type).kind in "ub"
        return op.activation in ("relu", "abs") or op.low >= 0 or op.substitute == "relu"

    def replace(self, old: str, new: str) -> None:
        """Let everybody who reads ``old`` read ``new``, and put that out instead; drop ``old``."""
        for op in self.ops.values():
            op.inputs = [new if source == old else source for source in op.inputs]
        self.outputs = [(name, new if op == old else op) for name, op in self.outputs]
        del self.ops[old]

    def prune(self) -> None:
        """Drop what no output depends on."""
        wanted = {op for _, op in self.outputs} | {INPUT}
        for op in reversed(self.ops.values()):
            if op.name in wanted:
                wanted.update(op.inputs)
        self.ops = {name: op for name, op in self.ops.items() if name in wanted}

    def in_order(self) -> None:
        """Sort operations so that everything is computed before it is read."""
        done: dict[str, Op] = {}
        for start in list(self.ops.values()):
            stack = [start]
            while stack:
                waiting = [n for n in stack[-1].inputs if n not in done]
                if waiting:
                    stack.append(self.ops[waiting[0]])
                else:
                    op = stack.pop()
                    done.setdefault(op.name, op)
        self.ops = done

    def front(self, op: Op) -> list[Op]:
        """Copies of the operations from the input to ``op``; none where it is no single path."""
        path = [op]
        while path[0].name != INPUT:
            if len(path[0].inputs) != 1:
                return []
            path.insert(0, self.source(path[0]))
        return [copy.copy(step) for step in path[1:]]

    def of(self, *kinds: str) -> Iterator[Op]:
        """The operations of some kinds; a copy, so that the network may change meanwhile."""
        return iter([op for op in self.ops.values() if op.kind in kinds])


def _keeps_the_sign(op: Op) -> bool:
    """Whether a result cannot be negative where nothing that is read is."""
    scaled = op.kind == "affine" and bool((op.weight >= 0).all() and (op.bias >= 0).all())
    added = op.kind == "sum" and op.join == "add"
    return scaled or added or op.kind in ("pool", "concat", "flatten", "pad", "act") or op.copies


def one_by_one(name: str, source: str, shape: Shape, matrix: np.ndarray, **more: Any) -> Op:
    """A 1x1 convolution with a matrix [out, in]."""
    weight = matrix.astype(np.float64)[:, :, None, None]
    bias = np.zeros(len(matrix))
    return Op(name, "conv2d", [source], (len(matrix), *shape[1:]), weight=weight, bias=bias, **more)
