"""Batch-norm folding."""

from __future__ import annotations

import torch

from ai8x_models.layers import BN_DIVISOR, FusedConv2d
from ai8x_models.students import Student


@torch.no_grad()
def fold_layer(layer: FusedConv2d) -> None:
    """Put batch norm's scale and offset (both over 4, see the layer) into weights and bias."""
    if layer.bn is None:
        return
    bn, op = layer.bn, layer.op
    assert bn.running_mean is not None
    assert bn.running_var is not None
    assert op.bias is not None
    gain = bn.weight / torch.sqrt(bn.running_var + bn.eps) / BN_DIVISOR
    op.bias.copy_((op.bias - bn.running_mean) * gain + bn.bias / BN_DIVISOR)
    op.weight.mul_(gain.view(-1, 1, 1, 1))
    layer.remove_batchnorm()


def fold_batchnorm(student: Student) -> Student:
    """Fold every layer in place; the float student computes the same function as in eval mode."""
    for _, layer in student.layers():
        fold_layer(layer)
    return student
