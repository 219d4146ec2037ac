"""Fused layers whose forward pass is what the MAX78000 accelerator computes.

One layer is: pooling, convolution, (batch norm), output scaling, activation, clipping. It works
in three modes that share one set of parameters:

``float``    weights and activations are real numbers; activations are clipped to [-1, 127/128],
             the range the chip's 8-bit data stands for; batch norm is divided by 4 so that four
             standard deviations fit into it.
``qat``      as float, but weights, biases and activations are rounded exactly as the chip rounds
             them, with straight-through gradients. Batch norm must have been folded.
``integer``  parameters and data are the integers the chip holds; the result is the chip's, bit
             for bit.

Arithmetic on the chip (ai8x-synthesis README, "Quantization"; agrees with the golden cases):
``acc = sum(x * w) + 128 * b`` and ``y = clip(floor(0.5 + acc * 2**s / 128), -128, 127)`` with
``s = output_shift + 8 - weight_bits``; then the activation. A wide layer outputs ``acc``.

State-dict keys and their meaning are those of ai8x-training, so that a checkpoint loads there.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Mode = Literal["float", "qat", "integer"]
Activation = Literal["relu", "abs", "none"]

ONE = 128.0  # one, in 8-bit activations
ACT_MIN, ACT_MAX = -128, 127
BIAS_MIN, BIAS_MAX = -128, 127  # bias memory holds 8 bits
SHIFT_LIMIT = 15
BN_DIVISOR = 4.0


def _straight_through(exact: Tensor, smooth: Tensor) -> Tensor:
    """Value of ``exact``, gradient of ``smooth``."""
    return smooth + (exact - smooth).detach()


def round_half_up(x: Tensor) -> Tensor:
    """The chip's rounding, ``floor(x + 0.5)``."""
    return torch.floor(x + 0.5)


def fake_quantize_weight(weight: Tensor, bits: int) -> Tensor:
    """Round to the chip's weight grid: ``k / 2**(bits-1)``, k a signed ``bits``-bit integer."""
    scale = 2.0 ** (bits - 1)
    low, high = -1.0, (scale - 1) / scale
    clipped = weight.clamp(low, high)
    return _straight_through((round_half_up(weight * scale) / scale).clamp(low, high), clipped)


def fake_quantize_bias(bias: Tensor, bits: int) -> Tensor:
    """Round to the grid of an 8-bit bias, which steps like a ``bits``-bit weight at full input.

    The chip adds ``128 * b`` to the accumulator whatever the weight width, so the step of a bias
    in a 4-bit layer is 16 times that in an 8-bit layer.
    """
    scale = 2.0 ** (bits - 1)
    low, high = BIAS_MIN / scale, BIAS_MAX / scale
    clipped = bias.clamp(low, high)
    return _straight_through((round_half_up(bias * scale) / scale).clamp(low, high), clipped)


def fake_quantize_activation(x: Tensor) -> Tensor:
    """Round to 1/128 and clip to [-1, 127/128]."""
    clipped = x.clamp(ACT_MIN / ONE, ACT_MAX / ONE)
    return _straight_through((round_half_up(x * ONE) / ONE).clamp(-1.0, ACT_MAX / ONE), clipped)


def fold_blocks(x: Tensor, size: int) -> Tensor:
    """[N, C, size * H, size * W] -> [N, size * size * C, H, W], blocks become channels.

    Pixel (row, column) of a block becomes channels ``C * (size * row + column)`` onwards, the
    order of ai8x-training's folded data sets.
    """
    if size == 1:
        return x
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // size, size, w // size, size).permute(0, 3, 5, 1, 2, 4)
    folded = blocks.reshape(n, size * size * c, h // size, w // size)
    return folded.contiguous(memory_format=torch.channels_last)


def shift_for_limit(limit: float) -> int:
    """Smallest power of two that covers ``limit``: ``ceil(log2(limit))``, kept in -15..15."""
    if limit <= 0.0:
        return -SHIFT_LIMIT
    exponent = -torch.floor(torch.log2(torch.tensor(1.0 / limit, dtype=torch.float64)))
    return int(exponent.clamp(-SHIFT_LIMIT, SHIFT_LIMIT))


class FusedConv2d(nn.Module):
    """Pool -> Conv2d -> (BatchNorm) -> scale -> activation -> clip, as the chip does in one layer.

    Input ``[N, in_channels, H, W]``, output ``[N, out_channels, H', W']``; float32 in the float
    and qat modes (1.0 stands for 128), float64 holding integers in the integer mode.

    ``fold`` n puts every n x n block of the input's pixels side by side as channels first (see
    :func:`fold_blocks`): the form in which the chip is given a large picture.

    ``stride`` 2 is allowed here because the compiler can rewrite it exactly; everything else is
    limited to what the chip has (kernel 1 or 3, padding 0..2, dilation 1, one group).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        padding: int | None = None,
        pool: int = 1,
        pool_stride: int | None = None,
        pooling: Literal["max", "avg"] = "max",
        batchnorm: bool = False,
        activation: Activation = "none",
        wide: bool = False,
        shift_quantile: float = 1.0,
        fold: int = 1,
    ) -> None:
        super().__init__()
        if kernel_size not in (1, 3):
            raise ValueError(f"kernel_size is {kernel_size}; the chip has 1 and 3")
        if wide and activation != "none":
            raise ValueError(f"a wide layer has no activation, got {activation!r}")
        self.pool, self.pool_stride, self.pooling = pool, pool_stride or pool, pooling
        self.activation, self.wide, self.fold = activation, wide, fold
        self.mode: Mode = "float"
        padding = kernel_size // 2 if padding is None else padding
        self.op = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        nn.init.zeros_(self.op.bias)  # type: ignore[arg-type]
        self.bn = nn.BatchNorm2d(out_channels, momentum=0.05) if batchnorm else None
        if self.bn is not None and self.op.bias is not None:
            self.op.bias.requires_grad_(False)  # batch norm has its own; kept for ai8x-training
        for name, value in (
            ("output_shift", 0.0),
            ("weight_bits", 0),
            ("bias_bits", 0),
            ("quantize_activation", False),
            ("adjust_output_shift", False),
            ("shift_quantile", shift_quantile),
        ):
            self.register_buffer(name, torch.tensor([value]))

    output_shift: Tensor
    weight_bits: Tensor
    bias_bits: Tensor
    quantize_activation: Tensor
    adjust_output_shift: Tensor
    shift_quantile: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer in the current mode."""
        x = fold_blocks(x, self.fold)
        if self.mode == "integer":
            return self._forward_integer(x)
        if self.mode == "qat":
            return self._forward_qat(x)
        return self._forward_float(x)

    def remove_batchnorm(self) -> None:
        """Drop batch norm (after folding); the convolution's own bias takes its place."""
        self.bn = None
        if self.op.bias is not None:
            self.op.bias.requires_grad_(True)

    def _pool(self, x: Tensor) -> Tensor:
        if self.pool == 1 and self.pool_stride == 1:
            return x
        if self.pooling == "max":
            return F.max_pool2d(x, self.pool, self.pool_stride)
        return F.avg_pool2d(x, self.pool, self.pool_stride)

    def _activate(self, x: Tensor) -> Tensor:
        if self.activation == "relu":
            return F.relu(x)
        return x.abs() if self.activation == "abs" else x

    def _conv(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, self.op.stride, self.op.padding)

    def _forward_float(self, x: Tensor) -> Tensor:
        x = self._conv(self._pool(x), self.op.weight, self.op.bias)
        if self.bn is not None:
            x = self._batchnorm(x, 2.0 ** float(self.output_shift) / BN_DIVISOR)
        elif not self.wide and float(self.output_shift):
            x = x * 2.0 ** float(self.output_shift)
        if self.wide:
            return x
        if self.activation == "relu":
            return F.hardtanh(x, 0.0, ACT_MAX / ONE)  # one pass, where ReLU and clamp take more
        return self._activate(x).clamp(-1.0, ACT_MAX / ONE)

    def _batchnorm(self, x: Tensor, scale: float) -> Tensor:
        """``scale * bn(x)``; scaling its parameters costs nothing, scaling the map a pass."""
        bn = self.bn
        assert bn is not None
        return F.batch_norm(
            x, bn.running_mean, bn.running_var, bn.weight * scale, bn.bias * scale,
            self.training, bn.momentum or 0.0, bn.eps,
        )  # fmt: skip

    def current_shift(self) -> int:
        """Output shift in use: stored, or found from the weights while it is being adjusted."""
        if not bool(self.adjust_output_shift):
            return int(self.output_shift)
        parameters = self.op.weight.detach().flatten()
        if self.op.bias is not None:
            parameters = torch.cat((parameters, self.op.bias.detach().flatten()))
        limit = torch.quantile(parameters.abs().float(), float(self.shift_quantile))
        return shift_for_limit(float(limit))

    def _forward_qat(self, x: Tensor) -> Tensor:
        if self.bn is not None:
            raise RuntimeError("fold batch norm before quantisation-aware training")
        bits = int(self.weight_bits)
        shift = self.current_shift()
        # Without adjustment the stored weights are already divided by 2**shift (ai8x-training).
        scale = 2.0**-shift if bool(self.adjust_output_shift) else 1.0
        x = self._pool(x)
        if self.pooling == "avg" and self.pool > 1:
            x = _straight_through(torch.trunc(x * ONE) / ONE, x)
        weight = fake_quantize_weight(self.op.weight * scale, bits)
        bias = None
        if self.op.bias is not None:
            bias = fake_quantize_bias(self.op.bias * scale, bits)
        x = self._conv(x, weight, bias)
        if self.wide:
            return x
        # Rounding needs more bits than bfloat16 has under mixed precision.
        x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        return fake_quantize_activation(self._activate(x * 2.0**shift))

    def _forward_integer(self, x: Tensor) -> Tensor:
        x = self._pool(x.double())
        if self.pooling == "avg" and self.pool > 1:
            # The sum is exact; divide it, not a rounded mean, so that truncation is exact too.
            area = self.pool * self.pool
            x = torch.trunc(torch.round(x * area) / area)
        bits = int(self.weight_bits)
        # Every product and sum stays below 2**53, so float64 convolution is exact.
        acc = self._conv(x, self.op.weight.double(), None)
        if self.op.bias is not None:
            # As the chip's loader does: the bias memory holds floor(bias / 2**(bits - 1)).
            bias = torch.floor(self.op.bias.double() / 2.0 ** (bits - 1))
            acc = acc + 128.0 * bias.view(1, -1, 1, 1)
        if self.wide:
            return acc
        shift = int(self.output_shift) + 8 - bits
        y = round_half_up(acc * 2.0**shift / ONE).clamp(ACT_MIN, ACT_MAX)
        return self._activate(y).clamp(max=ACT_MAX)


class FusedConv2dBNReLU(FusedConv2d):
    """Conv2d + BatchNorm + ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, **kwargs: Any):
        super().__init__(
            in_channels, out_channels, kernel_size, batchnorm=True, activation="relu", **kwargs
        )


class FusedMaxPoolConv2dBNReLU(FusedConv2dBNReLU):
    """2x2 (or other) max pooling + Conv2d + BatchNorm + ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, **kwargs: Any):
        super().__init__(in_channels, out_channels, kernel_size, **{"pool": 2, **kwargs})
