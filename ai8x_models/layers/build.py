"""Makes the torch layer that a description asks for."""

from __future__ import annotations

from typing import Any

from ai8x_models.layers.convolution import (
    FusedConv1d,
    FusedConv2d,
    FusedConvTranspose2d,
    FusedPassThrough,
)
from ai8x_models.layers.fused import FusedLayer
from ai8x_models.layers.linear import FusedLinear
from ai8x_models.spec.layer import LayerSpec, both


def layer_of(spec: LayerSpec) -> FusedLayer:
    """Make the torch layer of a description.

    Raises:
        ValueError: the chip has no such layer.
    """
    pooling: dict[str, Any] = {
        "pool": spec.pool, "pool_stride": spec.pool_stride, "pooling": spec.pooling,
    }  # fmt: skip
    if spec.op == "passthrough":
        return FusedPassThrough(joined=spec.join, **pooling)
    rest: dict[str, Any] = {
        "joined": spec.join, "activation": spec.activation, "wide": spec.wide, "bias": spec.bias,
    }  # fmt: skip
    channels = spec.in_channels, spec.out_channels
    if spec.op == "linear":
        return FusedLinear(*channels, **rest)
    rest |= {"batchnorm": spec.batchnorm, "padding": spec.padding, **pooling}
    if spec.op == "convtranspose2d":
        return FusedConvTranspose2d(*channels, spec.kernel, **{**rest, "padding": spec.margin})
    rest |= {"stride": spec.stride}
    if spec.op == "conv1d":
        rest |= {"pool": both(spec.pool)[0], "pool_stride": spec.steps[0]}
        return FusedConv1d(*channels, spec.kernel, dilation=spec.dilation, **rest)
    return FusedConv2d(*channels, spec.kernel, fold=spec.fold, **rest)
