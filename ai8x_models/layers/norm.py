"""Batch-norm folding of one layer."""

from __future__ import annotations

import torch

from ai8x_models.layers.fused import FusedLayer
from ai8x_models.layers.rounding import BN_DIVISOR


@torch.no_grad()
def fold_layer(layer: FusedLayer) -> None:
    """Put batch norm's scale and offset (both over 4, see the layer) into weights and bias."""
    if layer.bn is None:
        return
    bn, op = layer.bn, layer.op
    weight = torch.ones_like(bn.running_var) if bn.weight is None else bn.weight
    offset = torch.zeros_like(bn.running_mean) if bn.bias is None else bn.bias
    gain = weight / torch.sqrt(bn.running_var + bn.eps) / BN_DIVISOR
    op.bias.copy_((op.bias - bn.running_mean) * gain + offset / BN_DIVISOR)
    op.weight.mul_(layer.per_output(gain))
    layer.remove_batchnorm()
