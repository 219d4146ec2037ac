"""The fused layer: what the MAX78000 accelerator does in one go.

One layer is: join, pooling, operation, (batch norm), output scaling, activation, clipping. It works
in three modes that share one set of parameters:

``float``    weights and activations are real numbers; activations are clipped to [-1, 127/128],
             the range the chip's 8-bit data stands for; batch norm is divided by 4 so that four
             standard deviations fit into it.
``qat``      as float, but weights, biases and activations are rounded exactly as the chip rounds
             them, with straight-through gradients. Batch norm must have been folded.
``integer``  parameters and data are the integers the chip holds; the result is the chip's, bit
             for bit.

State-dict keys and their meaning are those of ai8x-training, so that a checkpoint loads there.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ai8x_models.layers.exact import exact_type
from ai8x_models.layers.join import join
from ai8x_models.layers.rounding import (
    ACT_MAX,
    ACT_MIN,
    BN_DIVISOR,
    ONE,
    Mode,
    fake_quantize_activation,
    fake_quantize_bias,
    fake_quantize_weight,
    shift_for_limit,
    straight_through,
)
from ai8x_models.spec.layer import Activation, Join, Pooling, Size, both


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


class FusedLayer(nn.Module):
    """What all layers have in common; a kind of layer says what its operation is.

    Input ``[N, in_channels, H, W]`` (several where ``join`` combines them), output
    ``[N, out_channels, H', W']``; float32 (1.0 stands for 128); whole numbers in the integer mode,
    float32 as well but float64 from a wide layer.

    Args:
        op: the module that holds weight and bias under ai8x-training's names; None for a layer
            that only joins and pools.
        bn: batch norm behind it.
        pool, pool_stride: window and step of pooling in front of it, rows and columns.
        pooling: ``max`` or ``avg`` (truncated towards zero on the chip).
        joined: what happens to several inputs; element by element each is pooled first.
        fold: every n x n block of the input's pixels becomes channels first.
    """

    out_axis: ClassVar[int] = 0
    """Axis of the weights that counts outputs."""

    op: Any
    bn: Any
    output_shift: Tensor
    weight_bits: Tensor
    bias_bits: Tensor
    quantize_activation: Tensor
    adjust_output_shift: Tensor
    shift_quantile: Tensor

    def __init__(
        self,
        op: nn.Module | None,
        bn: nn.Module | None = None,
        *,
        pool: Size = 1,
        pool_stride: Size | None = None,
        pooling: Pooling = "max",
        activation: Activation = "none",
        wide: bool = False,
        joined: Join = "concat",
        shift_quantile: float = 1.0,
        fold: int = 1,
    ) -> None:
        super().__init__()
        if wide and activation != "none":
            raise ValueError(f"a wide layer has no activation, got {activation!r}")
        self.pool, self.pool_stride = pool, pool if pool_stride is None else pool_stride
        self.pooling, self.joined = pooling, joined
        self.activation, self.wide, self.fold = activation, wide, fold
        self.mode: Mode = "float"
        self.op, self.bn = op, bn
        if op is not None and op.bias is not None:
            nn.init.zeros_(op.bias)  # type: ignore[arg-type]
            if bn is not None:
                op.bias.requires_grad_(False)  # batch norm has its own; kept for ai8x-training
        if op is not None or self._pools:
            self._register(shift_quantile)

    def _register(self, shift_quantile: float) -> None:
        for name, value in (
            ("output_shift", 0.0),
            ("weight_bits", 0),
            ("bias_bits", 0),
            ("quantize_activation", False),
            ("adjust_output_shift", False),
            ("shift_quantile", shift_quantile),
        ):
            self.register_buffer(name, torch.tensor([value]))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute the layer in the current mode."""
        values = [fold_blocks(x, self.fold) for x in inputs]
        if self.mode == "integer":
            return self._forward_integer([x.float() for x in values])
        if self.mode == "qat":
            return self._forward_qat(values)
        return self._forward_float(values)

    def remove_batchnorm(self) -> None:
        """Drop batch norm (after folding); the operation's own bias takes its place."""
        self.bn = None
        if self.op is not None and self.op.bias is not None:
            self.op.bias.requires_grad_(True)

    def per_output(self, values: Tensor) -> Tensor:
        """[outputs] shaped so that it multiplies the weights output by output."""
        shape = [1] * self.op.weight.dim()
        shape[self.out_axis] = -1
        return values.view(shape)

    def by_output(self) -> Tensor:
        """A view [out, in, taps] of the weights; a linear layer has no taps of its own."""
        weight = self.op.weight
        weight = weight.transpose(0, 1) if self.out_axis else weight
        return weight.flatten(2) if weight.dim() > 2 else weight[..., None]

    @property
    def _pools(self) -> bool:
        return (both(self.pool), both(self.pool_stride)) != ((1, 1), (1, 1))

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        raise NotImplementedError

    def _sums(self, x: Tensor, weight: Tensor) -> Tensor:
        """Sums of products of whole numbers, exact in the type of the arguments."""
        return self._convolve(x, weight, None)

    def _pool(self, x: Tensor) -> Tensor:
        if not self._pools:
            return x
        if self.pooling == "max":
            return F.max_pool2d(x, self.pool, self.pool_stride)
        return F.avg_pool2d(x, self.pool, self.pool_stride)

    def _gathered(self, values: list[Tensor], truncate: bool = False) -> Tensor:
        """Pool and join the inputs."""
        pooled = [self._pool(x) for x in values]
        if truncate and self.pooling == "avg" and self._pools:
            pooled = [straight_through(torch.trunc(x * ONE) / ONE, x) for x in pooled]
        return join(self.joined, pooled, self.mode)

    def _activate(self, x: Tensor) -> Tensor:
        if self.activation == "relu":
            return F.relu(x)
        return x.abs() if self.activation == "abs" else x

    def _forward_float(self, values: list[Tensor]) -> Tensor:
        x = self._gathered(values)
        if self.op is None:
            return x.clamp(-1.0, ACT_MAX / ONE)
        x = self._convolve(x, self.op.weight, self.op.bias)
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
        gain = torch.full_like(bn.running_var, scale) if bn.weight is None else bn.weight * scale
        offset = None if bn.bias is None else bn.bias * scale
        return F.batch_norm(
            x, bn.running_mean, bn.running_var, gain, offset,
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

    def _forward_qat(self, values: list[Tensor]) -> Tensor:
        if self.bn is not None:
            raise RuntimeError("fold batch norm before quantisation-aware training")
        x = self._gathered(values, truncate=True)
        if self.op is None:
            return x
        bits = int(self.weight_bits)
        shift = self.current_shift()
        # Without adjustment the stored weights are already divided by 2**shift (ai8x-training).
        scale = 2.0**-shift if bool(self.adjust_output_shift) else 1.0
        weight = fake_quantize_weight(self.op.weight * scale, bits)
        bias = None
        if self.op.bias is not None:
            bias = fake_quantize_bias(self.op.bias * scale, bits, int(self.bias_bits))
        x = self._convolve(x, weight, bias)
        if self.wide:
            return x
        # Rounding needs more bits than bfloat16 has under mixed precision.
        x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        y = fake_quantize_activation(x * 2.0**shift)
        # The chip rounds before it takes the absolute value (ai8x-training does after).
        y = self._activate(y)
        return y.clamp(max=ACT_MAX / ONE) if self.activation == "abs" else y

    def _forward_integer(self, values: list[Tensor]) -> Tensor:
        pooled = [self._pool(x) for x in values]
        if self.pooling == "avg" and self._pools:
            # The sum is exact; divide it, not a rounded mean, so that truncation is exact too.
            area = both(self.pool)[0] * both(self.pool)[1]
            pooled = [torch.trunc(torch.round(x * area) / area) for x in pooled]
        x = join(self.joined, pooled, self.mode)
        if self.op is None:
            return x
        bits = int(self.weight_bits)
        bias = None
        if self.op.bias is not None:
            # As the chip's loader does: the bias memory holds floor(bias / 2**(bits - 1)).
            bias = torch.floor(self.op.bias.double() / 2.0 ** (bits - 1))
        kind = exact_type(self.op.weight, self.out_axis, bias)
        acc = self._sums(x.to(kind), self.op.weight.to(kind))
        if bias is not None:
            acc += 128.0 * bias.to(kind).view(-1, *[1] * (acc.dim() - 2))
        if self.wide:
            return acc.double()
        shift = int(self.output_shift) + 8 - bits
        # Exact in either type: what has too many bits for the half to be added is clipped.
        y = acc.mul_(2.0**shift / ONE).add_(0.5).floor_()
        y = y.clamp_(0 if self.activation == "relu" else ACT_MIN, ACT_MAX)
        return (y.abs_().clamp_(max=ACT_MAX) if self.activation == "abs" else y).float()
