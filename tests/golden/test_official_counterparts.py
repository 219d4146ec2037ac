"""Every layer class beside ai8x-training's own: 30 random instances of each kind, three modes.

Where the arithmetic of the two differs (abs, or, xor; see ``ai8x_models.ai8x``), ours is the public
generator's: the random networks 3 and 13 of ``test_official_generator.py`` hold all three.
"""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ai8x_models import ai8x as ours
from ai8x_models.layers import FusedLayer

INSTANCES = 30
NAMES = {
    "Conv2d": ("Conv2d", "FusedConv2dReLU", "FusedConv2dBN", "FusedConv2dBNReLU", "FusedConv2dAbs"),
    "MaxPoolConv2d": (
        *("FusedMaxPoolConv2d", "FusedMaxPoolConv2dBN", "FusedMaxPoolConv2dReLU"),
        *("FusedMaxPoolConv2dBNReLU", "FusedMaxPoolConv2dAbs", "FusedMaxPoolConv2dBNAbs"),
    ),
    "AvgPoolConv2d": (
        *("FusedAvgPoolConv2d", "FusedAvgPoolConv2dReLU", "FusedAvgPoolConv2dBNReLU"),
        *("FusedAvgPoolConv2dAbs", "FusedAvgPoolConv2dBNAbs"),
    ),
    "Conv1d": ("Conv1d", "FusedConv1dReLU", "FusedConv1dBNReLU", "FusedConv1dAbs"),
    "MaxPoolConv1d": (
        *("FusedMaxPoolConv1d", "FusedMaxPoolConv1dBN", "FusedMaxPoolConv1dReLU"),
        *("FusedMaxPoolConv1dBNReLU", "FusedMaxPoolConv1dAbs", "FusedMaxPoolConv1dBNAbs"),
    ),
    "AvgPoolConv1d": (
        *("FusedAvgPoolConv1d", "FusedAvgPoolConv1dReLU", "FusedAvgPoolConv1dBNReLU"),
        *("FusedAvgPoolConv1dAbs", "FusedAvgPoolConv1dBNAbs"),
    ),
    "ConvTranspose2d": (
        *("ConvTranspose2d", "FusedConvTranspose2dReLU", "FusedConvTranspose2dAbs"),
        *("FusedConvTranspose2dBNReLU", "FusedMaxPoolConvTranspose2dBNReLU"),
        *("FusedAvgPoolConvTranspose2dReLU", "FusedAvgPoolConvTranspose2dAbs"),
    ),
    "Linear": ("Linear", "FusedLinearReLU", "FusedLinearAbs"),
    "Pool": ("MaxPool2d", "AvgPool2d", "MaxPool1d", "AvgPool1d"),
}
every = pytest.mark.parametrize("kind", sorted(NAMES))


def arguments(kind: str, name: str, rng: random.Random) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Arguments of a random instance that the MAX78000 has."""
    if kind == "Pool":
        return (rng.choice([2, 3, 4]),), {"stride": rng.choice([None, 1, 2])}
    channels = rng.randint(1, 12), rng.randint(2, 12)
    plain = not name.endswith(("ReLU", "Abs"))
    options: dict[str, Any] = {"wide": plain and rng.random() < 0.4}
    if kind == "Linear":
        return channels, {**options, "bias": rng.random() < 0.7}
    options["padding"] = rng.randint(0, 2)
    if "BN" not in name:
        options["bias"] = rng.random() < 0.7
    elif rng.random() < 0.3:
        options["batchnorm"] = "NoAffine"
    if "Pool" in name:
        options |= {"pool_size": rng.choice([2, 3]), "pool_stride": rng.choice([1, 2, None])}
    if "Transpose" in name:
        return (*channels, 3), {**options, "stride": 2}
    if "1d" in name:
        taps, options["dilation"] = rng.choice([(1, 1), (3, 1), (4, 2), (9, 1), (3, 4), (5, 2)])
        return (*channels, taps), options
    taps = rng.choice([1, 3])
    return (*channels, taps), {**options, "padding": min(options["padding"], taps - 1)}


def data(kind: str, name: str, channels: int) -> Tensor:
    """Random bytes / 128 of the shape a layer reads."""
    shape = {1: (2, channels, 40), 2: (2, channels, 12, 10)}[1 if "1d" in name else 2]
    shape = (4, channels) if kind == "Linear" else shape
    return torch.randint(-128, 128, shape) / 128


def twins(ai8x: ModuleType, kind: str, seed: int) -> tuple[FusedLayer, nn.Module, Tensor, str]:
    """The same random layer, ours and theirs, with uneven parameters, and an input."""
    rng = random.Random(f"{kind}{seed}")
    torch.manual_seed(rng.randint(0, 10**9))
    name = NAMES[kind][seed % len(NAMES[kind])]
    given, options = arguments(kind, name, rng)
    layer, other = getattr(ours, name)(*given, **options), getattr(ai8x, name)(*given, **options)
    for key, value in layer.state_dict().items():
        if key.startswith("bn.") and value.is_floating_point():
            value.uniform_(0.3, 2.0)
        elif key == "op.bias":
            value.uniform_(-0.4, 0.4)
    other.load_state_dict(layer.state_dict())
    return layer.eval(), other.eval(), data(kind, name, given[0] if kind != "Pool" else 5), name


@every
def test_float_layers_agree(ai8x: ModuleType, kind: str) -> None:
    ai8x.set_device(85, simulate=False, round_avg=False)
    for seed in range(INSTANCES):
        layer, other, x, _ = twins(ai8x, kind, seed)
        assert layer.state_dict().keys() == other.state_dict().keys() != set()
        with torch.no_grad():
            torch.testing.assert_close(layer(x), other(x.clone()), rtol=1e-4, atol=1e-5)


def bits_of(seed: int) -> int:
    return (8, 4, 2, 1)[seed % 4]


def made_integer(layer: FusedLayer, seed: int) -> None:
    """Random integers of a width, as a checkpoint for the chip holds them."""
    layer.mode = "integer"
    if layer.op is None:
        return
    bits = bits_of(seed)
    top = 1 << (bits - 1)
    layer.op.weight.data = torch.randint(-top, max(top, 1), layer.op.weight.shape).float()
    if layer.op.bias is not None:
        layer.op.bias.data = torch.randint(-100, 100, layer.op.bias.shape).float() * top
    layer.weight_bits.fill_(bits)
    layer.output_shift.fill_(-3)


@every
def test_integer_layers_agree(ai8x: ModuleType, kind: str) -> None:
    ai8x.set_device(85, simulate=True, round_avg=False)
    for seed in range(INSTANCES):
        layer, other, x, name = twins(ai8x, kind, seed)
        layer.remove_batchnorm()
        other.bn = None
        made_integer(layer, seed)
        other.load_state_dict(layer.state_dict())
        other.set_functions()
        x = (x * 128).double()
        with torch.no_grad():
            mine, theirs = layer(x), other.double()(x.clone())
        if name.endswith("Abs"):
            # They take the absolute value of the sum, the chip that of the rounded result: half
            # steps below zero differ by one.
            assert (mine - theirs).abs().max() <= 1
            assert (mine == theirs).float().mean() > 0.9
        else:
            assert torch.equal(mine, theirs)


@every
def test_training_with_rounding_agrees(ai8x: ModuleType, kind: str) -> None:
    ai8x.set_device(85, simulate=False, round_avg=False)
    for seed in range(INSTANCES):
        layer, other, x, name = twins(ai8x, kind, seed)
        layer.remove_batchnorm()
        other.bn = None
        bits = bits_of(seed)
        ours.initiate_qat(layer, {"weight_bits": bits})
        if layer.op is not None:
            other.init_module(bits, bits, True, 1.0)
        else:
            other.quantize_activation.fill_(True)
            other.set_functions()
        with torch.no_grad():
            mine, theirs = layer(x), other(x.clone())
        worst = float((mine - theirs).abs().max())
        assert worst <= (1 / 128 if name.endswith("Abs") else 1e-6)


def test_element_wise_operations(ai8x: ModuleType) -> None:
    ai8x.set_device(85, simulate=True, round_avg=False)
    for seed in range(INSTANCES):
        torch.manual_seed(seed)
        operands = torch.randint(-128, 128, (2 + seed % 15, 2, 3, 4, 5)).double()
        for name in ("Add", "Sub"):
            layer = getattr(ours, name)()
            layer.mode = "integer"
            assert torch.equal(layer(*operands), getattr(ai8x, name)()(*operands))
            assert layer.state_dict() == getattr(ai8x, name)().state_dict() == {}


@pytest.mark.parametrize("name", ["Add", "Sub"])
def test_element_wise_operations_in_real_numbers(ai8x: ModuleType, name: str) -> None:
    """Float, and in training with rounding: both work on what bytes stand for."""
    ai8x.set_device(85, simulate=False, round_avg=False)
    for seed in range(INSTANCES):
        torch.manual_seed(seed)
        operands = torch.randint(-128, 128, (2 + seed % 15, 2, 3, 4, 5)) / 128
        layer = getattr(ours, name)()
        for mode in ("float", "qat"):
            layer.mode = mode
            torch.testing.assert_close(layer(*operands), getattr(ai8x, name)()(*operands))


def test_more_than_sixteen_operands_are_refused() -> None:
    with pytest.raises(ValueError, match="2 to 16"):
        ours.Add()(*torch.zeros(17, 1, 1))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ours.Conv2d(4, 4, 3, groups=4), "groups is 4"),
        (lambda: ours.Conv2d(4, 4, 3, dilation=2), "dilation is 2"),
        (lambda: ours.Conv2d(4, 4, 5), "kernel_size is 5"),
        (lambda: ours.Conv1d(4, 4, 5, dilation=3), "spans 13 taps"),
        (lambda: ours.ConvTranspose2d(4, 4, 3, stride=1), "stride is 1"),
        (lambda: ours.Conv2d(4, 4, 3, wide=True, activation="ReLU"), "wide"),
        (lambda: ours.MaxPool2d(2, dilation=2), "dilation"),
        (lambda: ours.DepthwiseConv2d(4, 4, 3), "depthwise"),
        (lambda: ours.set_device(87), "device is 87"),
    ],
)
def test_what_the_chip_does_not_have_is_refused(make: Any, said: str) -> None:
    with pytest.raises((ValueError, AttributeError), match=said):
        make()
