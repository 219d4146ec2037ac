"""Bias correction: rounding shifts the mean of what a layer computes; its bias takes it back.

After Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction"
(arXiv:1906.04721), with means from the calibration data. A bias has 8 bits, so a correction below
half a step does nothing; one that does not lower the layer's error is undone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ai8x_models.students import INPUT, Student, inputs_of
from quantize.calibrate import real_output


@torch.no_grad()
def correct_biases(student: Student, exact: Student, data: Tensor) -> int:
    """Correct a qat student, in place.

    Args:
        student: in qat mode, calibrated.
        exact: the same network in float mode.
        data: calibration input, float32 [N, C, H, W] in the chip's range.

    Returns:
        The number of layers that were changed.
    """
    changed = 0
    real, rounded = {INPUT: data}, {INPUT: data}
    for (spec, layer), (_, truth) in zip(student.steps(), exact.steps(), strict=True):
        real[spec.name] = truth(*inputs_of(spec, real))
        inputs = inputs_of(spec, rounded)
        if spec.weighted and layer.op.bias is not None:
            before = real_output(layer, *inputs)
            kept = layer.op.bias.clone()
            scale = 2.0 ** int(layer.output_shift)
            layer.op.bias.sub_((before - real[spec.name]).mean(dim=(0, 2, 3)) / scale)
            after = real_output(layer, *inputs)
            if _error(after, real[spec.name]) < _error(before, real[spec.name]):
                changed += 1
            else:
                layer.op.bias.copy_(kept)
        rounded[spec.name] = layer(*inputs)
    return changed


def _error(value: Tensor, wanted: Tensor) -> float:
    return float((value - wanted).square().mean())
