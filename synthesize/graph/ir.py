"""The compiler's intermediate form: one immutable graph of fused layers.

A :class:`Graph` has one :class:`Input`, layers in running order and named outputs. A
:class:`Layer` is what the accelerator does in one go, in this order:

1. *join*: its inputs are concatenated along channels (``concat``) or combined element by element
   (``add``, ``sub``, ``or``, ``xor``); with a single input the join is ``concat``. Sums are kept at
   full width and clipped to -128..127 at the end of the join.
2. *pool*: maximum or average over a window (without padding), average truncated towards zero;
   a window of 1x1 with a stride only drops samples. With element-wise joins every operand is pooled
   before joining unless ``pool_first`` is False.
3. *operation* (``op``):
   ``conv2d`` (weights [out, in, rows, columns]; zero padding), ``conv1d`` (the same on data with
   one column; its taps may be ``dilation`` samples apart), ``convtranspose2d`` (stride 2: data is
   spread with zeros, then convolved; weights already turned round, [out, in, rows, columns]),
   ``linear`` (weights [out, in, 1, 1]; with ``flatten`` the pooled data [C, H, W] is first laid out
   as C * H * W channels of 1x1),
   ``passthrough``, or, only before legalisation, ``upsample`` (every pixel repeated ``stride``
   times, nearest neighbour).
4. *scale*: ``acc = sum(x * w) + 128 * bias``; a wide layer outputs ``acc`` (32 bits), any other
   ``clip(floor(acc * 2**shift / 128 + 0.5), -128, 127)`` with
   ``shift = output_shift + 8 - bits``; no scaling without weights.
5. *activation*: ``none``, ``relu`` or ``abs`` (clipped to 127).

A graph may keep a :class:`DataBuffer` from one inference to the next, zero at first. Layers read it
by its name; one with ``buffer_shift`` n, a pass-through, reads its rows from n on and moves them to
its beginning; one with ``buffer_insert`` n writes its result into the last n rows.

All data is int8 [channels, rows, columns]; 1D data has one column. An :class:`Output` is a range
of channels of a layer. Every layer carries the place it was written at (:class:`Where`), which
error messages repeat. ``graph.text()`` is the stable text form that tests compare.

Sources: DESIGN of the accelerator's data path after ai8x-synthesis README and ``izer/simulate.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from common.errors import UserError
from common.texts import MAX_NAME, is_plain, shown

Shape = tuple[int, int, int]
Pair = tuple[int, int]
Op = Literal["conv2d", "conv1d", "convtranspose2d", "linear", "passthrough", "upsample"]
Join = Literal["concat", "add", "sub", "or", "xor"]
Activation = Literal["none", "relu", "abs"]

OPERATIONS: tuple[Op, ...] = ("conv2d", "conv1d", "convtranspose2d", "linear", "passthrough")
"""What the chip has; ``upsample`` must be gone before placing."""
JOINS: tuple[Join, ...] = ("concat", "add", "sub", "or", "xor")
ACTIVATIONS: tuple[Activation, ...] = ("none", "relu", "abs")
WEIGHTLESS: tuple[Op, ...] = ("passthrough", "upsample")
INPUT = "input"


@dataclass(frozen=True)
class Where:
    """Place in a file (or checkpoint) that a layer comes from; line 0 means the whole file."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        if not self.file:
            return ""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Pool:
    """Pooling before the operation: kind ``max`` or ``avg``, window and stride (rows, cols)."""

    kind: Literal["max", "avg"]
    size: Pair
    stride: Pair

    def __str__(self) -> str:
        return f"{self.kind}pool{pair_text(self.size)}s{pair_text(self.stride)}"


@dataclass(frozen=True)
class Input:
    """The network's input.

    Args:
        shape: [channels, rows, columns] as the first layer sees it.
        fold: a described input [C, fold * rows, fold * columns] is folded into
            fold * fold * C channels (channel = C * (fold * row + column) + colour) before the
            first layer; 1 means no folding.
        where: source location.
    """

    shape: Shape
    fold: int = 1
    where: Where = field(default_factory=Where)

    @property
    def described_shape(self) -> Shape:
        """Shape of the input as the network was described (before folding)."""
        c, h, w = self.shape
        return c // (self.fold * self.fold), h * self.fold, w * self.fold


@dataclass(frozen=True)
class DataBuffer:
    """Rows of data that stay on the chip from one inference to the next.

    Args:
        name: by which layers read it.
        shape: [channels, rows, columns].
        where: source location.
    """

    name: str
    shape: Shape
    where: Where = field(default_factory=Where)


@dataclass(frozen=True, eq=False)
class Layer:
    """One fused layer; see the module description for the meaning of every field.

    ``in_shape`` is the joined input (before pooling), ``out_shape`` the result. With ``stacked``
    above 1, the only input holds that many operands one behind the other in its channels.
    ``reshape`` holds explicit rows and columns when the joined data is reinterpreted. ``weight``
    is int64 [out, in, rows, columns] (None for passthrough), ``bias`` int64 [out] as stored in the
    8-bit bias memory, or None.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    in_shape: Shape
    out_shape: Shape
    join: Join = "concat"
    pool: Pool | None = None
    pool_first: bool = True
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    dilation: int = 1
    output_pad: Pair = (0, 0)
    flatten: bool = False
    reshape: Pair | None = None
    stacked: int = 1
    buffer_shift: int = 0
    buffer_insert: int = 0
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    bits: int = 8
    output_shift: int = 0
    activation: Activation = "none"
    wide: bool = False
    where: Where = field(default_factory=Where)

    def __post_init__(self) -> None:
        for attribute in ("weight", "bias"):
            value = getattr(self, attribute)
            if value is not None:
                value = np.ascontiguousarray(value, dtype=np.int64)
                value.setflags(write=False)
                object.__setattr__(self, attribute, value)

    @property
    def shift(self) -> int:
        """Exponent s of the scale 2**s / 128."""
        return 0 if self.op in WEIGHTLESS else self.output_shift + 8 - self.bits

    @property
    def operands(self) -> int:
        """Number of operands of an element-wise join, else 1."""
        if self.join == "concat":
            return 1
        return len(self.inputs) * self.stacked

    @property
    def pool_size(self) -> Pair:
        """Pooling window, (1, 1) without pooling."""
        return self.pool.size if self.pool else (1, 1)

    @property
    def pool_stride(self) -> Pair:
        """Pooling stride, (1, 1) without pooling."""
        return self.pool.stride if self.pool else (1, 1)

    @property
    def pooled(self) -> Pair:
        """Rows and columns after pooling."""
        return pooled_size(self.in_shape[1:], self.pool)

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of one run."""
        if self.weight is None:
            return 0
        out, inputs, rows, cols = self.weight.shape
        return int(out * inputs * rows * cols * self.out_shape[1] * self.out_shape[2])

    @property
    def weight_bytes(self) -> int:
        """Bytes the weights take, packed at ``bits`` bits each."""
        return 0 if self.weight is None else (self.weight.size * self.bits + 7) // 8

    @property
    def step(self) -> float:
        """The real number that one integer step of the result stands for.

        Data are in units of 1/128, weights of 1/2**(bits - 1); a wide layer leaves out the scale
        2**output_shift that the network was trained with.
        """
        return 2.0 ** (self.output_shift - 7 - (self.bits - 1)) if self.wide else 2.0**-7

    def operation(self) -> str:
        """Return what the layer does, without weights and shapes."""
        parts: list[str] = [self.op]
        if self.op not in ("passthrough", "linear"):
            parts.append(
                f"k{pair_text(self.kernel)} s{pair_text(self.stride)} p{pair_text(self.pad)}"
            )
        if self.dilation > 1:
            parts.append(f"d{self.dilation}")
        if self.join != "concat":
            parts.append(self.join)
        if self.pool:
            parts.append(str(self.pool) + ("" if self.pool_first else "(last)"))
        if self.flatten:
            parts.append("flatten")
        for what, rows in (("shift", self.buffer_shift), ("insert", self.buffer_insert)):
            if rows:
                parts.append(f"{what} {rows}")
        return " ".join([*parts, self.activation + (" wide" if self.wide else "")])

    def text(self) -> str:
        """Return one stable line of text describing the layer."""
        parts = [f"{self.name} = {self.operation()}"]
        if self.weight is not None:
            parts.append(f"w{self.bits}:{digest(self.weight)} shift{self.output_shift:+d}")
        if self.bias is not None:
            parts.append("b:" + digest(self.bias))
        shape = f"{shape_text(self.in_shape)} -> {shape_text(self.out_shape)}"
        return f"{' '.join(parts)} ({', '.join(self.inputs)}) {shape}"


@dataclass(frozen=True)
class Output:
    """Channels ``first`` to ``first + channels - 1`` of a layer, under the output's own name."""

    name: str
    layer: str
    first: int
    channels: int


@dataclass(frozen=True)
class Graph:
    """A network: see the module description.

    Raises:
        UserError: a layer reads something that does not exist yet, names are not unique, or the
            network is empty.
    """

    name: str
    input: Input
    layers: tuple[Layer, ...]
    outputs: tuple[Output, ...]
    buffer: DataBuffer | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise UserError(f"network {self.name} has no layers; describe at least one")
        self._check_names()
        known = {INPUT} | ({self.buffer.name} if self.buffer else set())
        for layer in self.layers:
            if layer.name in known:
                raise UserError(
                    f"{at(layer)}the name is used twice; give every layer a name of its own"
                )
            for source in layer.inputs:
                if source not in known:
                    raise UserError(
                        f"{at(layer)}it reads {source!r}, which no earlier layer computes; "
                        "layers must be listed in running order without cycles"
                    )
            known.add(layer.name)
        for out in self.outputs:
            if out.layer not in known:
                raise UserError(f"output {out.name}: there is no layer {out.layer!r}")

    def _check_names(self) -> None:
        """Names go into listings, C comments and pages, so that they must be plain text."""
        named = [("", "network", self.name or "-")]
        if self.buffer is not None:
            named.append((f"{self.buffer.where}: ", "data buffer", self.buffer.name))
        named += [(f"{layer.where}: ", "layer", layer.name) for layer in self.layers]
        named += [("", "output", out.name) for out in self.outputs]
        for where, what, name in named:
            if not is_plain(name):
                raise UserError(
                    f"{where}{what} {shown(name)}: a name is 1 to {MAX_NAME} characters that "
                    "print, without line ends and control characters; rename it"
                )

    def layer(self, name: str) -> Layer:
        """Return the layer called ``name``."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def index(self, name: str) -> int:
        """Return the position of the layer called ``name``."""
        return next(i for i, layer in enumerate(self.layers) if layer.name == name)

    def shape(self, name: str) -> Shape:
        """Return the shape of the input, of the data buffer or of a layer's result."""
        if self.buffer is not None and name == self.buffer.name:
            return self.buffer.shape
        return self.input.shape if name == INPUT else self.layer(name).out_shape

    def shape_read(self, layer: Layer, name: str) -> Shape:
        """Return the shape of what a layer reads of one of its inputs."""
        channels, rows, cols = self.shape(name)
        return channels, rows - layer.buffer_shift, cols

    def readers(self, name: str) -> tuple[Layer, ...]:
        """Return the layers that read ``name``."""
        return tuple(layer for layer in self.layers if name in layer.inputs)

    def text(self) -> str:
        """Return the stable text form of the whole graph."""
        fold = f" fold {self.input.fold}" if self.input.fold > 1 else ""
        lines = [f"graph {self.name}", f"  input {shape_text(self.input.shape)}{fold}"]
        if self.buffer is not None:
            lines.append(f"  buffer {self.buffer.name} {shape_text(self.buffer.shape)}")
        lines += [f"  {layer.text()}" for layer in self.layers]
        for out in self.outputs:
            channels = f"[{out.first}:{out.first + out.channels}]"
            lines.append(f"  output {out.name} = {out.layer}{channels}")
        return "\n".join(lines) + "\n"


def at(layer: Layer) -> str:
    """Return the beginning of an error message about a layer: file, line and name."""
    return label(layer.where, layer.name)


def label(where: Where, name: str) -> str:
    """Return the beginning of an error message about a layer that is still to be made."""
    place = str(where)
    return f"{place}: layer {name}: " if place else f"layer {name}: "


def pooled_size(size: Sequence[int], pool: Pool | None) -> Pair:
    """Return rows and columns after pooling (floor, no padding)."""
    if pool is None:
        return size[0], size[1]
    rows, cols = ((size[i] - pool.size[i]) // pool.stride[i] + 1 for i in (0, 1))
    return rows, cols


def digest(array: np.ndarray) -> str:
    """Return a short hash of an array, for text forms."""
    return hashlib.sha256(array.astype("<i8").tobytes()).hexdigest()[:8]


def pair_text(pair: Sequence[int]) -> str:
    """Return rows and columns as ``3x3``."""
    return f"{pair[0]}x{pair[1]}"


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as ``3x64x64``."""
    return "x".join(str(n) for n in shape)
