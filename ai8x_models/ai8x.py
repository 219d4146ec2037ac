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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

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
from ai8x_models.layers.fused import Pooling, Size
from ai8x_models.layers.join import join

_POOLING: dict[str | None, Pooling | None] = {None: None, "Max": "max", "Avg": "avg"}
_ACTIVATION: dict[str | None, Activation] = {None: "none", "ReLU": "relu", "Abs": "abs"}
_NORMS = (None, "Affine", "NoAffine")


def _only(what: str, value: Any, neutral: Any) -> None:
    if value not in (neutral, (neutral, neutral)):
        raise ValueError(f"{what} is {value}; the MAX78000 has {neutral} only")


def _one_of(what: str, value: Any, allowed: Any) -> Any:
    if value not in allowed:
        raise ValueError(f"{what} is {value!r}; it must be one of {list(allowed)}")
    return allowed[value] if isinstance(allowed, Mapping) else value


def _pool(pooling: str | None, size: Size, stride: Size | None, dilation: Size) -> dict[str, Any]:
    kind = _one_of("pooling", pooling, _POOLING)
    _only("pool_dilation", dilation, 1)
    if kind is None:
        return {}
    return {"pooling": kind, "pool": size, "pool_stride": size if stride is None else stride}


def _finish(
    layer: FusedLayer, batchnorm: str | None, bias: bool, eps: float, momentum: float,
    bits: tuple[int | None, int | None, bool],
) -> None:  # fmt: skip
    """Batch norm as asked for, and quantisation-aware training from the start when bits are."""
    _one_of("batchnorm", batchnorm, _NORMS)
    if batchnorm is not None:
        if not bias:
            raise ValueError("batch norm is folded into the bias; set bias=True")
        outputs = int(layer.by_output().shape[0])
        norm = nn.BatchNorm1d if isinstance(layer, FusedConv1d) else nn.BatchNorm2d
        layer.bn = norm(outputs, eps=eps, momentum=momentum, affine=batchnorm == "Affine")
        layer.op.bias.requires_grad_(False)
    if bits != (None, None, False):
        start_qat(layer, _one_of("weight_bits", bits[0], (1, 2, 4, 8)))


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
        _only("op", op, "Conv2d")
        _only("dilation", dilation, 1)
        _only("groups", groups, 1)
        super().__init__(
            in_channels, out_channels, _square(kernel_size), stride=stride, padding=padding,
            bias=bias, activation=_one_of("activation", activation, _ACTIVATION), wide=wide,
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
        _only("stride", stride, 2)
        _only("dilation", dilation, 1)
        _only("groups", groups, 1)
        super().__init__(
            in_channels, out_channels, _square(kernel_size), padding=padding, bias=bias,
            activation=_one_of("activation", activation, _ACTIVATION), wide=wide,
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
        _only("stride", stride, 1)
        _only("groups", groups, 1)
        super().__init__(
            in_channels, out_channels, kernel_size, padding=padding, dilation=dilation,
            bias=bias, activation=_one_of("activation", activation, _ACTIVATION), wide=wide,
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
        _only("pooling", pooling, None)
        _only("batchnorm", batchnorm, None)
        super().__init__(
            in_features, out_features, bias=bias is True, wide=wide,
            activation=_one_of("activation", activation, _ACTIVATION),
        )  # fmt: skip
        _finish(self, None, True, 0.0, 0.0, (weight_bits, bias_bits, quantize_activation))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute the layer; flat data stays flat."""
        result = super().forward(*inputs)
        return result.flatten(1) if inputs[0].dim() == 2 else result


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
        _only("dilation", dilation, 1)
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
        _only("dilation", dilation, 1)
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


def _square(size: int | tuple[int, int]) -> int:
    if isinstance(size, int):
        return size
    if size[0] != size[1]:
        raise ValueError(f"kernel_size is {size}; the chip has 1 and 3, square")
    return size[0]


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


def __getattr__(name: str) -> Any:
    """Say what a class of ai8x-training that is not here needs."""
    if "Depthwise" in name:
        raise AttributeError(f"{name}: the MAX78000 has no depthwise convolution (one group only)")
    raise AttributeError(f"{name} is no layer of the MAX78000")


def set_device(device: int, simulate: bool = False, round_avg: bool = False) -> None:
    """Accept the call that models of ai8x-training begin with.

    Raises:
        ValueError: another device than the MAX78000 (85), or rounded means.
    """
    _only("device", device, 85)
    _only("round_avg", bool(round_avg), False)


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
