"""What models and training scripts ask of ai8x-training beside its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ai8x_models.ai8x.arguments import only
from ai8x_models.ai8x.layers import start_qat
from ai8x_models.layers import FusedLayer


@dataclass(frozen=True)
class Device:
    """What models ask the device for, by ai8x-training's names."""

    device: int = 85
    simulate: bool = False
    round_avg: bool = False
    WEIGHT_BITS: int = 8
    DATA_BITS: int = 8
    ACTIVATION_BITS: int = 8
    FULL_ACC_BITS: int = 30
    FC_ACTIVATION_BITS: int = 16
    WIDE_LAYER_RESOLUTION_BITS: int = 15
    WEIGHT_INPUTS: int = 256
    WEIGHT_DEPTH: int = 768
    MAX_AVG_POOL: int = 16


dev = Device()


def set_device(device: int, simulate: bool = False, round_avg: bool = False) -> None:
    """Accept the call that models of ai8x-training begin with.

    Raises:
        ValueError: another device than the MAX78000 (85), or rounded means.
    """
    only("device", device, 85)
    only("round_avg", bool(round_avg), False)


@torch.no_grad()
def fuse_bn_layers(model: nn.Module) -> None:
    """Fold every batch norm of a model, in place, by output."""
    from ai8x_models.layers.norm import fold_layer

    for layer in model.modules():
        if isinstance(layer, FusedLayer):
            fold_layer(layer)


def initiate_qat(model: nn.Module, policy: Mapping[str, Any]) -> None:
    """Start quantisation-aware training: ``weight_bits``, ``shift_quantile`` and ``overrides``."""
    overrides = policy.get("overrides", {})
    for name, layer in model.named_modules():
        if isinstance(layer, FusedLayer) and layer.op is not None:
            start_qat(layer, int(overrides.get(name, policy)["weight_bits"]))
            layer.shift_quantile.fill_(float(policy.get("shift_quantile", 1.0)))
        elif isinstance(layer, FusedLayer):
            layer.mode = "qat"
