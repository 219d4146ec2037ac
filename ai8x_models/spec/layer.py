"""The description of one fused layer: plain data that travels inside every checkpoint.

:meth:`LayerSpec.describe` writes what the compiler reads (:mod:`synthesize.read.student`), and
:func:`ai8x_models.spec.described.described_spec` reads it back;
:func:`ai8x_models.layers.build.layer_of` makes the torch layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Join = Literal["concat", "add", "sub", "or", "xor"]
JOINS: tuple[Join, ...] = ("concat", "add", "sub", "or", "xor")
Activation = Literal["relu", "abs", "none"]
Pooling = Literal["max", "avg"]
Size = int | tuple[int, ...]
Op = Literal["conv2d", "conv1d", "convtranspose2d", "linear", "passthrough"]
OPS: tuple[Op, ...] = ("conv2d", "conv1d", "convtranspose2d", "linear", "passthrough")


def both(size: Size) -> tuple[int, int]:
    """Rows and columns of a size; one number stands for both."""
    if isinstance(size, int):
        return size, size
    return (size[0], size[1]) if len(size) == 2 else (size[0], 1)


@dataclass(frozen=True)
class LayerSpec:
    """One fused layer: input names, channels and what the chip does with them.

    ``in_channels`` are those of the operation; with ``fold`` n (first layer only) these are the
    n x n x C channels of an input whose n x n blocks lie side by side as channels. A ``linear``
    layer has no kernel, pooling or batch norm; ``in_channels`` counts its inputs after flattening.
    A ``passthrough`` layer only joins and pools, so its channels are those of its inputs.

    ``source`` is the first input and ``others`` are the further ones, which are combined as
    ``join`` says: side by side as channels, or element by element (then all are pooled first).
    ``padding`` is half the kernel where nothing is given; transposed convolutions are 3x3 with
    stride 2, whatever ``stride`` says. Only ``conv1d`` can be dilated.
    """

    name: str
    source: str
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    pool: Size = 1
    activation: Activation = "relu"
    batchnorm: bool = True
    wide: bool = False
    fold: int = 1
    op: Op = "conv2d"
    others: tuple[str, ...] = ()
    join: Join = "concat"
    padding: int | None = None
    pool_stride: Size | None = None
    pooling: Pooling = "max"
    dilation: int = 1
    bias: bool = True

    @property
    def sources(self) -> tuple[str, ...]:
        """All inputs, in order."""
        return (self.source, *self.others)

    @property
    def weighted(self) -> bool:
        """Whether it has weights."""
        return self.op != "passthrough"

    @property
    def margin(self) -> int:
        """Zeros on each side of the input."""
        return self.kernel // 2 if self.padding is None else self.padding

    @property
    def steps(self) -> tuple[int, int]:
        """Rows and columns from one pooling window to the next."""
        return both(self.pool if self.pool_stride is None else self.pool_stride)

    def describe(self) -> dict[str, Any]:
        """Plain description for ``extras['network']``."""
        described: dict[str, Any] = {
            "name": self.name,
            "op": self.op,
            "in": list(self.sources),
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
        }
        if self.others:
            described["join"] = self.join
        if self.op == "linear":
            return {**described, "flatten": True, "act": self.activation, "wide": self.wide}
        described["pool"] = self._describe_pool()
        if self.op == "passthrough":
            return described
        one_d = self.op == "conv1d"
        described |= {
            "kernel": [self.kernel, 1 if one_d else self.kernel],
            "stride": 2 if self.op == "convtranspose2d" else self.stride,
            "pad": [self.margin, 0] if one_d else self.margin,
            "act": self.activation,
            "wide": self.wide,
        }
        if one_d:
            described |= {"stride": [self.stride, 1], "dilation": self.dilation}
        if self.op == "convtranspose2d":
            described["output_pad"] = 1
        return described

    def _describe_pool(self) -> list[Any] | None:
        """Kind, window and stride: numbers where rows and columns are alike."""
        size, steps = both(self.pool), self.steps
        if self.op == "conv1d":
            size, steps = (size[0], 1), (steps[0], 1)
        if (size, steps) == ((1, 1), (1, 1)):
            return None
        short = [pair[0] if pair[0] == pair[1] else list(pair) for pair in (size, steps)]
        return [self.pooling, *short]
