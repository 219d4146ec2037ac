"""Fused layers whose forward pass is what the MAX78000 accelerator computes."""

from ai8x_models.layers.convolution import (
    FusedConv1d,
    FusedConv2d,
    FusedConvTranspose2d,
    FusedPassThrough,
)
from ai8x_models.layers.fused import FusedLayer, fold_blocks
from ai8x_models.layers.join import join
from ai8x_models.layers.linear import FusedLinear
from ai8x_models.layers.rounding import (
    ACT_MAX,
    ACT_MIN,
    BIAS_MAX,
    BIAS_MIN,
    BN_DIVISOR,
    ONE,
    SHIFT_LIMIT,
    Mode,
    round_half_up,
    shift_for_limit,
)

__all__ = [
    "ACT_MAX",
    "ACT_MIN",
    "BIAS_MAX",
    "BIAS_MIN",
    "BN_DIVISOR",
    "ONE",
    "SHIFT_LIMIT",
    "FusedConv1d",
    "FusedConv2d",
    "FusedConvTranspose2d",
    "FusedLayer",
    "FusedLinear",
    "FusedPassThrough",
    "Mode",
    "fold_blocks",
    "join",
    "round_half_up",
    "shift_for_limit",
]
