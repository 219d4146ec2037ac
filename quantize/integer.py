"""The integer student and its checkpoint, in the form ai8x-synthesis expects (``-q.pth.tar``)."""

from __future__ import annotations

from typing import Any

import torch

from ai8x_models.layers import FusedLayer, round_half_up
from ai8x_models.layers.rounding import bias_limits
from ai8x_models.students import Student
from common.errors import UserError


@torch.no_grad()
def integer_layer(name: str, layer: FusedLayer) -> None:
    """Replace a qat layer's parameters by the integers the chip holds.

    Weights become signed ``bits``-bit integers. A stored bias is ``b * 2**(bits - 1)`` with b the
    8-bit value of bias memory, the convention of ai8x-synthesis.
    """
    bits = int(layer.weight_bits)
    freeze_shift(layer)
    if layer.mode == "integer":
        raise UserError(f"layer '{name}' holds integers already; there is nothing left to quantise")
    if layer.bn is not None or layer.mode != "qat" or bits == 0:
        raise UserError(
            f"layer '{name}' is not ready for integers; fold and calibrate it first "
            "(make student trains with quantisation after the float student)"
        )
    scale = 2.0 ** (bits - 1)
    layer.op.weight.copy_(round_half_up(layer.op.weight * scale).clamp(-scale, scale - 1))
    if layer.op.bias is not None:
        bias = round_half_up(layer.op.bias * scale).clamp(*bias_limits(int(layer.bias_bits)))
        layer.op.bias.copy_(bias * scale)
    layer.mode = "integer"


@torch.no_grad()
def freeze_shift(layer: FusedLayer) -> None:
    """Store the shift that training found last, and divide the parameters by it."""
    if layer.mode != "qat" or not bool(layer.adjust_output_shift):
        return
    shift = layer.current_shift()
    layer.op.weight.mul_(2.0**-shift)
    if layer.op.bias is not None:
        layer.op.bias.mul_(2.0**-shift)
    layer.output_shift.fill_(float(shift))
    layer.adjust_output_shift.fill_(False)


def to_integer(student: Student) -> Student:
    """Convert a qat student to integers, in place; its forward then is the chip's."""
    for spec, layer in student.layers():
        integer_layer(spec.name, layer)
    return student.set_mode("integer")


@torch.no_grad()
def to_qat(student: Student) -> Student:
    """Bring an integer student back to quantisation-aware training, in place.

    The inverse of :func:`to_integer`: weights and biases lie on the chip's grid, and a conversion
    gives the same integers again.

    Raises:
        UserError: it is of another mode.
    """
    if student.mode != "integer":
        raise UserError(f"the student is of mode '{student.mode}', not of integers")
    for _, layer in student.layers():
        scale = 2.0 ** (int(layer.weight_bits) - 1)
        layer.op.weight.div_(scale)
        if layer.op.bias is not None:
            layer.op.bias.div_(scale**2)
    return student.set_mode("qat")


def output_scales(student: Student) -> dict[str, float]:
    """Real value of one step of every output: of the accumulator for a wide one, else 1/128."""
    return {name: student.worth(name) for name in student.spec.outputs}


def integer_extras(student: Student, extras: dict[str, Any]) -> dict[str, Any]:
    """Extras of an integer checkpoint: what was known before plus the outputs' scales."""
    return {**extras, "output_scale": output_scales(student), "clipping_method": "MAX_BIT_SHIFT"}
