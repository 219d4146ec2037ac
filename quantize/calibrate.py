"""Bits and output shifts: from a folded float student to one ready for the qat mode.

The chip has one power-of-two scale per layer. A smaller shift makes the weight grid (and, in
layers below 8 bits, the much coarser bias grid) finer but clips large weights; which is best
depends on the layer, so each candidate is tried on pictures and the one whose output is nearest
to the float layer's is kept. Layers that the compiler merges share one shift.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ai8x_models.layers import BIAS_MAX, SHIFT_LIMIT, FusedLayer, shift_for_limit
from ai8x_models.students import INPUT, Student, inputs_of
from common.console import progress
from common.errors import UserError

Inputs = tuple[Tensor, ...]
CANDIDATES = 5  # shifts tried, downwards from the one that clips no weight
BITS = (1, 2, 4, 8)


def bits_per_layer(student: Student, default: int, bits: Mapping[str, int]) -> dict[str, int]:
    """Complete a partial choice of bits; unknown layers and widths are refused."""
    names = [spec.name for spec, _ in student.layers()]
    for name, value in {"default": default, **bits}.items():
        if name != "default" and name not in names:
            raise UserError(f"bits are given for layer '{name}', but the layers are {names}")
        if value not in BITS:
            raise UserError(f"layer '{name}' is given {value} bits; the chip has 1, 2, 4 and 8")
    return {name: bits.get(name, default) for name in names}


def _weight_shift(layer: FusedLayer) -> int:
    """Smallest shift that clips no weight."""
    return shift_for_limit(float(layer.op.weight.detach().abs().max()))


def _just_too_large(layer: FusedLayer, shift: int) -> bool:
    """Whether a weight is the power of two that the grid below it just does not hold."""
    return float(layer.op.weight.detach().max()) == 2.0**shift and shift < SHIFT_LIMIT


def _bias_shift(layer: FusedLayer, bits: int) -> int:
    """Smallest shift that clips no bias; 8-bit biases reach less far the wider the weights are."""
    if layer.op.bias is None:
        return -SHIFT_LIMIT
    reach = (BIAS_MAX + 1) / 2.0 ** (bits - 1)
    return shift_for_limit(float(layer.op.bias.detach().abs().max()) / reach)


def _set_shift(layer: FusedLayer, shift: int) -> None:
    """Choose the scale of the stored parameters: they are divided by ``2**shift``."""
    old = int(layer.output_shift)
    with torch.no_grad():
        layer.op.weight.mul_(2.0 ** (old - shift))
        if layer.op.bias is not None:
            layer.op.bias.mul_(2.0 ** (old - shift))
    layer.output_shift.fill_(float(shift))


def real_output(layer: FusedLayer, *inputs: Tensor) -> Tensor:
    """Output of a qat layer as the real numbers it stands for (the host scales wide ones)."""
    out: Tensor = layer(*inputs)
    return out * 2.0 ** int(layer.output_shift) if layer.wide else out


def _error(layer: FusedLayer, inputs: Inputs, wanted: Tensor) -> float:
    return float((real_output(layer, *inputs) - wanted).square().mean())


def _start_qat(layer: FusedLayer, bits: int) -> None:
    layer.weight_bits.fill_(bits)
    layer.bias_bits.fill_(8)
    layer.quantize_activation.fill_(True)
    layer.adjust_output_shift.fill_(False)
    layer.mode = "qat"


@torch.no_grad()
def calibrate(student: Student, bits: Mapping[str, int], images: Tensor) -> dict[str, int]:
    """Turn a folded float student into a qat student, in place.

    Args:
        student: folded, float mode.
        bits: weight bits of every layer.
        images: calibration input float32 [N, C, H, W], (pixel - 128) / 128.

    Returns:
        The chosen output shift of every layer.
    """
    student.eval()
    exact, rounded = {INPUT: images}, {INPUT: images}
    for spec, layer in student.steps():
        exact[spec.name] = layer(*inputs_of(spec, exact))
    modules = {spec.name: layer for spec, layer in student.steps()}
    specs = {spec.name: spec for spec in student.spec.layers}
    groups = _groups(student.spec.tied)
    for name, spec in progress(specs.items(), title="calibrating", unit="layer"):
        if name in rounded:
            continue
        group = groups.get(name, (name,))
        if spec.weighted:
            inputs = {n: inputs_of(specs[n], rounded) for n in group}
            choose_shift(group, modules, bits, inputs, exact)
        for member in group:
            modules[member].mode = "qat"
            rounded[member] = modules[member](*inputs_of(specs[member], rounded))
    student.set_mode("qat")
    return {spec.name: int(layer.output_shift) for spec, layer in student.layers()}


def _groups(tied: Iterable[tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """By layer: all that share its shift; groups with a layer in common are one."""
    groups: dict[str, tuple[str, ...]] = {}
    for names in tied:
        whole = tuple(dict.fromkeys(n for name in names for n in groups.get(name, (name,))))
        groups |= dict.fromkeys(whole, whole)
    return groups


def choose_shift(
    group: tuple[str, ...],
    modules: Mapping[str, FusedLayer],
    bits: Mapping[str, int],
    inputs: Mapping[str, Inputs],
    exact: Mapping[str, Tensor],
) -> None:
    """Set the shift with the least summed error on all layers of a group."""
    weights = max(_weight_shift(modules[name]) for name in group)
    if any(_just_too_large(modules[name], weights) for name in group):
        weights += 1
    top = max(weights, *(_bias_shift(modules[name], bits[name]) for name in group))
    for name in group:
        _start_qat(modules[name], bits[name])
    scores: dict[int, float] = {}
    for shift in range(top, max(weights - CANDIDATES, -SHIFT_LIMIT - 1), -1):
        for name in group:
            _set_shift(modules[name], shift)
        scores[shift] = sum(_error(modules[n], inputs[n], exact[n]) for n in group)
    best = min(scores, key=lambda shift: scores[shift])
    for name in group:
        _set_shift(modules[name], best)
