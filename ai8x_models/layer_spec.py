"""The description of one fused layer: plain data that travels inside every checkpoint.

:meth:`LayerSpec.describe` writes what the compiler reads (:mod:`synthesize.read.student`), and
:func:`ai8x_models.described.described_spec` reads it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ai8x_models.layers import (
    Activation,
    FusedConv1d,
    FusedConv2d,
    FusedConvTranspose2d,
    FusedLayer,
    FusedLinear,
    FusedPassThrough,
    Join,
)
from ai8x_models.layers.fused import Pooling, Size, both

Op = Literal["conv2d", "conv1d", "convtranspose2d", "linear", "passthrough"]
OPS: tuple[Op, ...] = ("conv2d", "conv1d", "convtranspose2d", "linear", "passthrough")


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

    def build(self) -> FusedLayer:
        """Make the torch layer."""
        joined: Join = self.join
        if self.op == "passthrough":
            return FusedPassThrough(joined=joined, **self._pooling())
        rest: dict[str, Any] = {
            "joined": joined, "activation": self.activation, "wide": self.wide, "bias": self.bias,
        }  # fmt: skip
        channels = self.in_channels, self.out_channels
        if self.op == "linear":
            return FusedLinear(*channels, **rest)
        rest |= {"batchnorm": self.batchnorm, **self._pooling()}
        if self.op == "convtranspose2d":
            padding = self.kernel // 2 if self.padding is None else self.padding
            return FusedConvTranspose2d(*channels, self.kernel, padding=padding, **rest)
        rest |= {"stride": self.stride, "padding": self.padding}
        if self.op == "conv1d":
            rest |= {"pool": both(self.pool)[0], "pool_stride": self._steps()[0]}
            return FusedConv1d(*channels, self.kernel, dilation=self.dilation, **rest)
        return FusedConv2d(*channels, self.kernel, fold=self.fold, **rest)

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
        padding = self._padding()
        described |= {
            "kernel": [self.kernel, 1 if one_d else self.kernel],
            "stride": 2 if self.op == "convtranspose2d" else self.stride,
            "pad": [padding, 0] if one_d else padding,
            "act": self.activation,
            "wide": self.wide,
        }
        if one_d:
            described |= {"stride": [self.stride, 1], "dilation": self.dilation}
        if self.op == "convtranspose2d":
            described["output_pad"] = 1
        return described

    def _padding(self) -> int:
        return self.kernel // 2 if self.padding is None else self.padding

    def _steps(self) -> tuple[int, int]:
        return both(self.pool if self.pool_stride is None else self.pool_stride)

    def _pooling(self) -> dict[str, Any]:
        return {"pool": self.pool, "pool_stride": self.pool_stride, "pooling": self.pooling}

    def _describe_pool(self) -> list[Any] | None:
        """Kind, window and stride: numbers where rows and columns are alike."""
        size, steps = both(self.pool), self._steps()
        if self.op == "conv1d":
            size, steps = (size[0], 1), (steps[0], 1)
        if (size, steps) == ((1, 1), (1, 1)):
            return None
        short = [pair[0] if pair[0] == pair[1] else list(pair) for pair in (size, steps)]
        return [self.pooling, *short]
