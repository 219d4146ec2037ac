"""Layers with weights by the names and arguments of ai8x-training."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_models.ai8x.arguments import one_of, only, square
from ai8x_models.layers import (
    FusedConv1d,
    FusedConv2d,
    FusedConvTranspose2d,
    FusedLayer,
    FusedLinear,
)
from ai8x_models.spec.layer import Activation, Pooling, Size

_POOLING: dict[str | None, Pooling | None] = {None: None, "Max": "max", "Avg": "avg"}
_ACTIVATION: dict[str | None, Activation] = {None: "none", "ReLU": "relu", "Abs": "abs"}
_NORMS = (None, "Affine", "NoAffine")


def _pool(pooling: str | None, size: Size, stride: Size | None, dilation: Size) -> dict[str, Any]:
    kind = one_of("pooling", pooling, _POOLING)
    only("pool_dilation", dilation, 1)
    if kind is None:
        return {}
    return {"pooling": kind, "pool": size, "pool_stride": size if stride is None else stride}


def _finish(
    layer: FusedLayer, batchnorm: str | None, bias: bool, eps: float, momentum: float,
    bits: tuple[int | None, int | None, bool],
) -> None:  # fmt: skip
    """Batch norm as asked for, and quantisation-aware training from the start when bits are."""
    one_of("batchnorm", batchnorm, _NORMS)
    if batchnorm is not None:
        if not bias:
            raise ValueError("batch norm is folded into the bias; set bias=True")
        outputs = int(layer.by_output().shape[0])
        norm = nn.BatchNorm1d if isinstance(layer, FusedConv1d) else nn.BatchNorm2d
        layer.bn = norm(outputs, eps=eps, momentum=momentum, affine=batchnorm == "Affine")
        layer.op.bias.requires_grad_(False)
    if bits != (None, None, False):
        start_qat(layer, one_of("weight_bits", bits[0], (1, 2, 4, 8)))


def start_qat(layer: FusedLayer, bits: int) -> None:
    """Round from now on; the shift follows the weights while they are trained."""
    layer.weight_bits.fill_(bits)
    layer.bias_bits.fill_(bits)
    layer.quantize_activation.fill_(True)
    layer.adjust_output_shift.fill_(True)
    layer.mode = "qat"


class Conv2d(FusedConv2d):
    """2D pooling, 2D convolution, batch norm and activation."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int],
        op: str = "Conv2d", pooling: str | None = None, pool_size: Size = 2,
        pool_stride: Size | None = 2, pool_dilation: Size = 1, stride: int = 1, padding: int = 0,
        dilation: Size = 1, bias: bool = True, activation: str | None = None, wide: bool = False,
        batchnorm: str | None = None, weight_bits: int | None = None,
        bias_bits: int | None = None, quantize_activation: bool = False, groups: int = 1,
        eps: float = 1e-05, momentum: float = 0.05,
    ) -> None:  # fmt: skip
        only("op", op, "Conv2d")
        only("dilation", dilation, 1)
        only("groups", groups, 1)
        super().__init__(
            in_channels, out_channels, square(kernel_size), stride=stride, padding=padding,
            bias=bias, activation=one_of("activation", activation, _ACTIVATION), wide=wide,
            **_pool(pooling, pool_size, pool_stride, pool_dilation),
        )  # fmt: skip
        _finish(self, batchnorm, bias, eps, momentum, (weight_bits, bias_bits, quantize_activation))


class ConvTranspose2d(FusedConvTranspose2d):
    """2D pooling, transposed 3x3 convolution with stride 2, batch norm and activation."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int],
        pooling: str | None = None, pool_size: Size = 2, pool_stride: Size | None = 2,
        pool_dilation: Size = 1, stride: int = 1, padding: int = 0, dilation: Size = 1,
        bias: bool = True, activation: str | None = None, wide: bool = False,
        batchnorm: str | None = None, weight_bits: int | None = None,
        bias_bits: int | None = None, quantize_activation: bool = False, groups: int = 1,
        eps: float = 1e-05, momentum: float = 0.05,
    ) -> None:  # fmt: skip
        only("stride", stride, 2)
        only("dilation", dilation, 1)
        only("groups", groups, 1)
        super().__init__(
            in_channels, out_channels, square(kernel_size), padding=padding, bias=bias,
            activation=one_of("activation", activation, _ACTIVATION), wide=wide,
            **_pool(pooling, pool_size, pool_stride, pool_dilation),
        )  # fmt: skip
        _finish(self, batchnorm, bias, eps, momentum, (weight_bits, bias_bits, quantize_activation))


class Conv1d(FusedConv1d):
    """1D pooling, 1D convolution (which may be dilated), batch norm and activation."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int,
        pooling: str | None = None, pool_size: int = 2, pool_stride: int | None = 2,
        pool_dilation: int = 1, stride: int = 1, padding: int = 0, dilation: int = 1,
        bias: bool = True, activation: str | None = None, wide: bool = False,
        batchnorm: str | None = None, weight_bits: int | None = None,
        bias_bits: int | None = None, quantize_activation: bool = False, groups: int = 1,
        eps: float = 1e-05, momentum: float = 0.05,
    ) -> None:  # fmt: skip
        only("stride", stride, 1)
        only("groups", groups, 1)
        super().__init__(
            in_channels, out_channels, kernel_size, padding=padding, dilation=dilation,
            bias=bias, activation=one_of("activation", activation, _ACTIVATION), wide=wide,
            **_pool(pooling, pool_size, pool_stride, pool_dilation),
        )  # fmt: skip
        _finish(self, batchnorm, bias, eps, momentum, (weight_bits, bias_bits, quantize_activation))


class Linear(FusedLinear):
    """Linear layer and activation; [N, in] gives [N, out]."""

    def __init__(
        self, in_features: int, out_features: int, pooling: None = None,
        bias: bool | None = None, activation: str | None = None, wide: bool = False,
        batchnorm: None = None, weight_bits: int | None = None, bias_bits: int | None = None,
        quantize_activation: bool = False,
    ) -> None:  # fmt: skip
        only("pooling", pooling, None)
        only("batchnorm", batchnorm, None)
        super().__init__(
            in_features, out_features, bias=bias is True, wide=wide,
            activation=one_of("activation", activation, _ACTIVATION),
        )  # fmt: skip
        _finish(self, None, True, 0.0, 0.0, (weight_bits, bias_bits, quantize_activation))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute the layer; flat data stays flat."""
        result = super().forward(*inputs)
        return result.flatten(1) if inputs[0].dim() == 2 else result


class SoftwareLinear(nn.Module):
    """A linear layer that the application computes, in software; never part of the chip's network.

    State-dictionary keys are ai8x-training's.
    """

    in_software = True

    def __init__(self, in_features: int, out_features: int, bias: bool = False, **_: Any) -> None:
        super().__init__()
        self.op = nn.Linear(in_features, out_features, bias)

    def forward(self, x: Tensor) -> Tensor:
        """Compute it in real numbers, on flat data."""
        result: Tensor = self.op(x.flatten(1))
        return result
