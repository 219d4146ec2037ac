"""The chip's rounding in torch, with straight-through gradients.

Arithmetic on the chip (ai8x-synthesis README, "Quantization"; agrees with the golden cases):
``acc = sum(x * w) + 128 * b`` and ``y = clip(floor(0.5 + acc * 2**s / 128), -128, 127)`` with
``s = output_shift + 8 - weight_bits``; then the activation. A wide layer outputs ``acc``.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Mode = Literal["float", "qat", "integer"]

ONE = 128.0  # one, in 8-bit activations
ACT_MIN, ACT_MAX = -128, 127
BIAS_MIN, BIAS_MAX = -128, 127  # bias memory holds 8 bits
SHIFT_LIMIT = 15
BN_DIVISOR = 4.0


def straight_through(exact: Tensor, smooth: Tensor) -> Tensor:
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
    return straight_through((round_half_up(weight * scale) / scale).clamp(low, high), clipped)


def bias_limits(bias_bits: int) -> tuple[int, int]:
    """Least and largest number of bias memory that a layer uses; all of it where 0 bits are said.

    ai8x-training keeps biases within the bits of the weights (its ``bias_bits``); the memory has 8.
    """
    top = 1 << ((bias_bits or 8) - 1)
    return max(-top, BIAS_MIN), min(top - 1, BIAS_MAX)


def fake_quantize_bias(bias: Tensor, bits: int, bias_bits: int = 8) -> Tensor:
    """Round to the grid of a bias, which steps like a ``bits``-bit weight at full input.

    The chip adds ``128 * b`` to the accumulator whatever the weight width, so the step of a bias
    in a 4-bit layer is 16 times that in an 8-bit layer.
    """
    scale = 2.0 ** (bits - 1)
    low, high = (limit / scale for limit in bias_limits(bias_bits))
    clipped = bias.clamp(low, high)
    return straight_through((round_half_up(bias * scale) / scale).clamp(low, high), clipped)


def fake_quantize_activation(x: Tensor) -> Tensor:
    """Round to 1/128 and clip to [-1, 127/128]."""
    clipped = x.clamp(ACT_MIN / ONE, ACT_MAX / ONE)
    return straight_through((round_half_up(x * ONE) / ONE).clamp(-1.0, ACT_MAX / ONE), clipped)


def shift_for_limit(limit: float) -> int:
    """Smallest power of two that covers ``limit``: ``ceil(log2(limit))``, kept in -15..15."""
    if limit <= 0.0:
        return -SHIFT_LIMIT
    exponent = -torch.floor(torch.log2(torch.tensor(1.0 / limit, dtype=torch.float64)))
    return int(exponent.clamp(-SHIFT_LIMIT, SHIFT_LIMIT))
