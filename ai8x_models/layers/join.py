"""What the chip does with several inputs of a layer before anything else.

Inputs are put side by side as channels (``concat``) or combined element by element: ``add`` and
``sub`` (the first minus all others) at full width, clipped to 8 bits at the end; ``or`` and
``xor`` bit by bit on the bytes. 2 to 16 operands (ai8x-synthesis README, "Element-Wise
Operations").
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from ai8x_models.layers.rounding import ACT_MAX, ACT_MIN, ONE, Mode, straight_through
from ai8x_models.spec.layer import Join
from synthesize.chip.limits import MAX_OPERANDS


def join(kind: Join, values: Sequence[Tensor], mode: Mode) -> Tensor:
    """Join the inputs of a layer.

    Args:
        kind: how.
        values: [N, C, ...] each; of equal shape unless they are concatenated. Real numbers, or
            integers in the integer mode.
        mode: ``float`` and ``qat`` compute the same: sums of multiples of 1/128 are exact.

    Raises:
        ValueError: no input, or more operands than the chip combines.
    """
    if kind == "concat":
        return values[0] if len(values) == 1 else torch.cat(tuple(values), dim=1)
    if not 2 <= len(values) <= MAX_OPERANDS:
        raise ValueError(f"{len(values)} operands; the chip combines 2 to {MAX_OPERANDS}")
    one = 1.0 if mode == "integer" else ONE
    if kind in ("add", "sub"):
        total = reduce(torch.add if kind == "add" else torch.sub, values)
        return total.clamp(ACT_MIN / one, ACT_MAX / one)
    return _bitwise(kind, values, one)


def _bitwise(kind: Join, values: Sequence[Tensor], one: float) -> Tensor:
    """The bytes combined; the gradient is that of the sum, for want of a better one."""
    whole = [torch.round(value.detach() * one).to(torch.int16) for value in values]
    combine = torch.bitwise_or if kind == "or" else torch.bitwise_xor
    exact = reduce(combine, whole).to(values[0].dtype) / one
    return straight_through(exact, reduce(torch.add, values))
