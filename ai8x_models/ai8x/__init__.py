"""ai8x-training's layer classes by their own names and arguments, out of our fused layers.

A model written for ai8x-training runs here with ``import ai8x_models.ai8x as ai8x`` in place of
``import ai8x``: constructors take the same arguments, state dictionaries have the same keys, and
``pooling`` is 'Max', 'Avg' or None, ``activation`` 'ReLU', 'Abs' or None, ``batchnorm`` 'Affine',
'NoAffine' or None. What the MAX78000 does not have (groups, dilation in 2D, dilated pooling) is
refused by a ValueError when a layer is made.

Where the arithmetic differs from theirs, ours is the chip's and the public generator's:

* bitwise or and xor work on the two's complement bytes (theirs on an offset code),
* the absolute value is taken after rounding (theirs before: half steps below zero differ by one),
* batch norm of a transposed convolution is folded by output (theirs by the first axis, its inputs).

Source of names and arguments: ai8x-training ``ai8x.py`` (c3d4eb1).
"""

from __future__ import annotations

from typing import Any

from ai8x_models.ai8x.device import Device, dev, fuse_bn_layers, initiate_qat, set_device
from ai8x_models.ai8x.layers import (
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Linear,
    SoftwareLinear,
    start_qat,
)
from ai8x_models.ai8x.plain import (
    Add,
    AvgPool1d,
    AvgPool2d,
    BitwiseOr,
    BitwiseXor,
    Eltwise,
    MaxPool1d,
    MaxPool2d,
    Sub,
)
from ai8x_models.layers import FusedLayer

__all__ = [
    "Add",
    "AvgPool1d",
    "AvgPool2d",
    "BitwiseOr",
    "BitwiseXor",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Device",
    "Eltwise",
    "Linear",
    "MaxPool1d",
    "MaxPool2d",
    "SoftwareLinear",
    "Sub",
    "dev",
    "fuse_bn_layers",
    "initiate_qat",
    "set_device",
    "start_qat",
]


def _fused(base: type[FusedLayer], name: str, **fixed: Any) -> Any:
    """A layer class with some arguments fixed; batch norm may still be chosen."""

    def make(self: FusedLayer, *args: Any, **kwargs: Any) -> None:
        if "batchnorm" in fixed:
            kwargs = {"batchnorm": fixed["batchnorm"], **kwargs}
        rest = {key: value for key, value in fixed.items() if key != "batchnorm"}
        base.__init__(self, *args, **kwargs, **rest)  # type: ignore[misc]

    words = ", ".join(f"{key} {value}" for key, value in fixed.items())
    doc = f"{base.__name__} with {words}."
    return type(name, (base,), {"__init__": make, "__doc__": doc, "__module__": __name__})


def _family(base: type[FusedLayer]) -> dict[str, Any]:
    """All fused forms of an operation: pooling, batch norm and activation in every combination."""
    kinds = {}
    for pooling in ("", "Max", "Avg"):
        for norm in ("", "BN"):
            for activation in ("", "ReLU", "Abs"):
                if not (pooling or norm or activation):
                    continue
                fixed: dict[str, Any] = {"pooling": pooling} if pooling else {}
                fixed |= {"batchnorm": "Affine"} if norm else {}
                fixed |= {"activation": activation} if activation else {}
                before = f"{pooling}Pool" if pooling else ""
                name = f"Fused{before}{base.__name__}{norm}{activation}"
                kinds[name] = _fused(base, name, **fixed)
    return kinds


for _base in (Conv2d, Conv1d, ConvTranspose2d):
    globals().update(_family(_base))
# These two have no absolute value in ai8x-training, whatever their names say; what was trained
# there must compute the same here.
for _pooling in ("Max", "Avg"):
    _name = f"Fused{_pooling}PoolConv1dBNAbs"
    globals()[_name] = _fused(Conv1d, _name, pooling=_pooling, batchnorm="Affine")
FusedLinearReLU = _fused(Linear, "FusedLinearReLU", activation="ReLU")
FusedLinearAbs = _fused(Linear, "FusedLinearAbs", activation="Abs")


def __getattr__(name: str) -> Any:
    """Say what a class of ai8x-training that is not here needs."""
    if "Depthwise" in name:
        raise AttributeError(f"{name}: the MAX78000 has no depthwise convolution (one group only)")
    raise AttributeError(f"{name} is no layer of the MAX78000")
