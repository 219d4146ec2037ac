"""Our students load in ai8x-training's own layers and compute the same there.

Needs a checkout of ai8x-training, named by the environment variable ``AI8X_TRAINING``.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import nn

from ai8x_models.layers import FusedLinear
from ai8x_models.students import Student
from quantize.calibrate import bits_per_layer, calibrate
from quantize.fold import fold_batchnorm
from quantize.integer import integer_layer, to_integer
from tests.helpers.warmed import pixels, warmed_student


def official_twin(ai8x: ModuleType, student: Student) -> nn.ModuleDict:
    """The same network out of the official layers, parameters loaded by their own names."""
    layers = nn.ModuleDict()
    for spec, layer in student.layers():
        layers[spec.name] = ai8x.Conv2d(
            spec.in_channels, spec.out_channels, spec.kernel,
            padding=spec.kernel // 2, pooling="Max" if spec.pool > 1 else None,
            pool_size=spec.pool, pool_stride=spec.pool, wide=spec.wide,
            activation="ReLU" if spec.activation == "relu" else None,
            batchnorm="Affine" if layer.bn is not None else None,
        )  # fmt: skip
        # The official constructor refuses the stride that our compiler legalises later.
        layers[spec.name].op.stride = (spec.stride, spec.stride)
    layers.load_state_dict(student.state_dict())
    for module in layers.values():
        module.set_functions()
    return layers.eval()


def run(layers: nn.ModuleDict, student: Student, x: torch.Tensor) -> list[torch.Tensor]:
    values = {"input": x}
    for spec, _ in student.layers():
        values[spec.name] = layers[spec.name](values[spec.source])
    return [values[name] for name in student.spec.outputs]


def test_float_student(ai8x: ModuleType) -> None:
    ai8x.set_device(85, simulate=False, round_avg=False)
    student, x = warmed_student(), pixels(2)
    twin = official_twin(ai8x, student)
    with torch.no_grad():
        for ours, theirs in zip(student(x), run(twin, student, x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_integer_student(ai8x: ModuleType) -> None:
    ai8x.set_device(85, simulate=True, round_avg=False)
    student = fold_batchnorm(warmed_student())
    calibrate(student, bits_per_layer(student, 8, {"conv5": 4, "conv7": 2}), pixels(2))
    to_integer(student)
    x = torch.round(pixels(2) * 128).double()
    twin = official_twin(ai8x, student).double()
    with torch.no_grad():
        for ours, theirs in zip(student(x), run(twin, student, x), strict=True):
            assert torch.equal(ours, theirs)


def test_linear_layer(ai8x: ModuleType) -> None:
    ai8x.set_device(85, simulate=True, round_avg=False)
    for wide in (False, True):
        torch.manual_seed(3)
        layer = FusedLinear(48, 10, activation="none" if wide else "relu", wide=wide)
        layer.weight_bits.fill_(8)
        layer.bias_bits.fill_(8)
        layer.output_shift.fill_(-3)
        layer.quantize_activation.fill_(True)
        layer.op.bias.data.uniform_(-0.5, 0.5)
        layer.mode = "qat"
        integer_layer("layer", layer)
        twin = ai8x.Linear(48, 10, bias=True, wide=wide, activation=None if wide else "ReLU")
        twin.load_state_dict(layer.state_dict())
        twin.set_functions()
        x = torch.randint(-128, 128, (20, 3, 4, 4)).double()
        with torch.no_grad():
            theirs = twin.double().eval()(x.flatten(1))
            assert torch.equal(layer(x).flatten(1), theirs)
