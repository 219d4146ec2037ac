"""Hold narrow weights: the last stage of quantisation-aware training.

While a weight is trained through its rounding, it may come to lie where two numbers of the chip's
grid meet, and change from one to the other at every step (Nagel et al., "Overcoming Oscillations
in Quantization-Aware Training", ICML 2022); the mean over steps that is kept in the end is then
rounded to either by chance. On the coarse grid of 4 bits and less this costs accuracy. Held at what
they are rounded to, such weights change no more, and the others, biases and layers of 8 bits, learn
to go with them (docs/adr/0024).
"""

from __future__ import annotations

import torch

from ai8x_models.layers.rounding import fake_quantize_weight
from ai8x_models.students import Student
from common.errors import UserError

WIDE = 8
"""Bits from which on weights go on being trained."""


@torch.no_grad()
def hold_narrow(student: Student) -> tuple[str, ...]:
    """Round the weights of layers below 8 bits to the chip's grid and take them from training.

    Args:
        student: in qat mode; changed in place.

    Returns:
        The names of the layers.

    Raises:
        UserError: it is in another mode, or has no such layer.
    """
    if student.mode != "qat":
        raise UserError(
            f"weights are held of a student of quantisation-aware training; this one is of mode "
            f"'{student.mode}': name one with start_from=... or leave qat.hold_narrow"
        )
    narrow = {s.name: layer for s, layer in student.layers() if 0 < int(layer.weight_bits) < WIDE}
    if not narrow:
        raise UserError(
            "qat.hold_narrow: no layer has fewer than 8 bits, so that there is nothing to hold; "
            "leave it"
        )
    for layer in narrow.values():
        layer.op.weight.copy_(fake_quantize_weight(layer.op.weight, int(layer.weight_bits)))
        layer.op.weight.requires_grad_(False)
    return tuple(narrow)
