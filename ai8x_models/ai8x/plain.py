"""Layers without weights by the names and arguments of ai8x-training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ai8x_models.ai8x.arguments import only
from ai8x_models.layers import FusedLayer, FusedPassThrough
from ai8x_models.layers.join import join
from ai8x_models.spec.layer import Join, Pooling, Size

_BITS = ("weight_bits", "bias_bits", "quantize_activation")


def _pool_bits(layer: FusedLayer, bits: Mapping[str, Any]) -> None:
    """Pooling has no weights; of the arguments all layers take, it only rounds or does not."""
    unknown = set(bits) - set(_BITS)
    if unknown:
        raise TypeError(f"unexpected argument {sorted(unknown)[0]!r}")
    if bits.get("quantize_activation"):
        layer.mode = "qat"


class _Pool2d(FusedPassThrough):
    """Stand-alone pooling of rows and columns."""

    kind: Pooling = "max"

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, dilation: Size = 1, **bits: Any
    ) -> None:
        only("dilation", dilation, 1)
        super().__init__(pooling=self.kind, pool=kernel_size, pool_stride=stride)
        _pool_bits(self, bits)


class MaxPool2d(_Pool2d):
    """Stand-alone 2D maximum pooling."""


class AvgPool2d(_Pool2d):
    """Stand-alone 2D average pooling."""

    kind = "avg"


class _Pool1d(FusedPassThrough):
    """Stand-alone pooling of data with one column; [N, C, L] stays so."""

    kind: Pooling = "max"

    def __init__(
        self, kernel_size: int, stride: int | None = None, dilation: int = 1, **bits: Any
    ) -> None:
        only("dilation", dilation, 1)
        step = kernel_size if stride is None else stride
        super().__init__(pooling=self.kind, pool=(kernel_size, 1), pool_stride=(step, 1))
        _pool_bits(self, bits)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute the layer; data with three axes keeps three."""
        if inputs[0].dim() == 4:
            return super().forward(*inputs)
        return super().forward(*(x[..., None] for x in inputs))[..., 0]


class MaxPool1d(_Pool1d):
    """Stand-alone 1D maximum pooling."""


class AvgPool1d(_Pool1d):
    """Stand-alone 1D average pooling."""

    kind = "avg"


class Eltwise(FusedPassThrough):
    """Element-wise operation on 2 to 16 tensors of equal shape."""

    kind: Join = "add"

    def __init__(self) -> None:
        super().__init__(joined=self.kind)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Combine them; any number of axes."""
        return join(self.kind, inputs, self.mode)


class Add(Eltwise):
    """Sum, limited to 8 bits."""


class Sub(Eltwise):
    """The first minus all others, limited to 8 bits."""

    kind = "sub"


class BitwiseOr(Eltwise):
    """Or of the bytes."""

    kind = "or"


class BitwiseXor(Eltwise):
    """Exclusive or of the bytes."""

    kind = "xor"
