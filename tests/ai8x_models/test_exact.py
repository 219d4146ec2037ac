"""Whole numbers in floating point: the integer mode agrees with int64 arithmetic, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from ai8x_models.layers import exact
from ai8x_models.layers.convolution import FusedConv1d, FusedConv2d, FusedConvTranspose2d
from ai8x_models.layers.fused import FusedLayer
from ai8x_models.layers.linear import FusedLinear


def chip(acc: np.ndarray, shift: int, activation: str) -> np.ndarray:
    """Output of the chip for accumulators, in int64 arithmetic."""
    right = 7 - shift
    y = acc + (1 << right >> 1) >> right if right > 0 else acc << -right
    y = y.clip(-128, 127)
    if activation == "abs":
        return np.abs(y).clip(max=127)
    return y.clip(0) if activation == "relu" else y


def layer_of(rng: np.random.Generator, channels: int, **options: object) -> FusedLayer:
    """A layer of a random kind."""
    outputs = int(rng.integers(1, 6))
    kind = rng.integers(4)
    if kind == 0:
        size, stride, pad = (int(rng.choice(n)) for n in ((1, 3), (1, 2), (0, 1, 2)))
        return FusedConv2d(channels, outputs, size, stride=stride, padding=pad, **options)  # type: ignore[arg-type]
    if kind == 1:
        pad = int(rng.integers(0, 3))
        return FusedConvTranspose2d(channels, outputs, padding=pad, **options)  # type: ignore[arg-type]
    if kind == 2:
        size, dilation = (int(n) for n in ((1, 1), (3, 2), (2, 4), (9, 1), (5, 2))[rng.integers(5)])
        return FusedConv1d(channels, outputs, size, dilation=dilation, **options)  # type: ignore[arg-type]
    return FusedLinear(channels * 12 * 11, outputs, **options)  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_integer_layers_compute_what_int64_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels = int(rng.choice([1, 3, 7]))
    wide = bool(rng.random() < 0.2)
    activation = "none" if wide else str(rng.choice(["none", "relu", "abs"]))
    layer = layer_of(rng, channels, activation=activation, wide=wide)
    bits = int(rng.choice([1, 2, 4, 8]))
    shift = int(rng.integers(-15, 16))
    one_d = isinstance(layer, FusedConv1d)
    low = -(1 << bits - 1)
    whole = rng.integers(low, -low + (bits == 1), layer.op.weight.shape)
    if rng.random() < 0.3:
        whole[...] = low  # the largest sums
    stored = rng.integers(-128, 128, layer.op.bias.shape)
    with torch.no_grad():
        layer.op.weight.copy_(torch.from_numpy(whole))
        layer.op.bias.copy_(torch.from_numpy(stored << bits - 1))
        layer.weight_bits.fill_(bits)
        layer.output_shift.fill_(shift - 8 + bits)
        layer.mode = "integer"
        x = rng.integers(-128, 128, (2, channels, 12, 1 if one_d else 11))
        got = layer(torch.from_numpy(x).float()).numpy()
        # torch convolves int64 as well, slowly.
        data, weight = torch.from_numpy(x), torch.from_numpy(whole)
        acc = layer._convolve(data, weight, None).numpy()
    acc = acc + 128 * stored.reshape(1, -1, 1, 1)
    wanted = acc if wide else chip(acc, shift, activation)
    assert got.dtype == (np.float64 if wide else np.float32)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("shift", range(-15, 16))
def test_rounding_in_float32_is_the_chips_for_every_accumulator_it_is_used_for(shift: int) -> None:
    """All accumulators below 2**24 in magnitude that are near the border of two results."""
    right = 7 - shift
    step = 1 << max(right, 0)
    borders = np.arange(-129, 130) * step + step // 2
    near = (borders[:, None] + np.arange(-3, 4)).ravel()
    near = np.concatenate([near, [-(2**24) + 1, 2**24 - 1, 0, 1, -1]])
    near = near[np.abs(near) < exact.EXACT_FLOAT32]
    layer = FusedConv2d(1, 1, 1)
    layer.mode = "integer"
    with torch.no_grad():
        layer.op.weight.fill_(1.0)
        layer.op.bias.fill_(0.0)
        layer.weight_bits.fill_(8)
        layer.output_shift.fill_(shift)
        layer._sums = lambda _x, _w: torch.from_numpy(near).float()[None, None, None]  # type: ignore[method-assign]
        got = layer(torch.zeros(1, 1, 1, 1)).numpy()[0, 0, 0]
    np.testing.assert_array_equal(got, chip(near, shift, "none"))


def test_the_type_is_the_smallest_that_is_exact() -> None:
    weight = torch.full((2, 1024, 1, 1), -128.0)
    assert exact.exact_type(weight) == torch.float64  # 128 * 1024 * 128 is 2**24
    weight[:, 0] = -127.0
    assert exact.exact_type(weight) == torch.float32
    assert exact.exact_type(weight, bias=torch.tensor([0.0, -1.0])) == torch.float64
    assert exact.exact_type(weight.transpose(0, 1), 1) == torch.float32


def test_float32_would_be_wrong_where_float64_is_chosen() -> None:
    """The border is where it must be: one more, and an odd sum is lost."""
    weight = torch.full((1, 1025, 1, 1), -128.0)
    weight[0, -1] = 1.0
    x = torch.full((1, 1025, 1, 1), -128.0)
    x[0, -1] = 1.0
    sums = [
        float(exact.convolve(x.to(t), weight.to(t), (1, 1), (0, 0)))
        for t in (torch.float32, torch.float64)
    ]
    assert sums[1] == 2**24 + 1
    assert sums[0] != sums[1]
    assert exact.exact_type(weight) == torch.float64


def test_convolution_is_torchs() -> None:
    x, weight = torch.randn(2, 3, 9, 7).double(), torch.randn(4, 3, 3, 2).double()
    for stride, pad, dilation in (
        ((1, 1), (1, 0), (1, 1)),
        ((2, 3), (2, 1), (1, 2)),
        ((1, 2), (0, 0), (3, 1)),
    ):
        wanted = F.conv2d(x, weight, None, stride, pad, dilation)
        for ours in (exact.convolve, exact.gathered):
            torch.testing.assert_close(ours(x, weight, stride, pad, dilation), wanted)


@pytest.mark.parametrize("batch", [1, 16, 33])
@pytest.mark.parametrize("channels", [4, 64])
@pytest.mark.parametrize("kernel", [1, 3])
def test_the_librarys_convolution_is_exact_here(batch: int, channels: int, kernel: int) -> None:
    """A transformed algorithm would show: sums close below 2**24, of operands of mixed sign."""
    generator = torch.Generator().manual_seed(batch)
    most = min(127, 2**17 // (channels * kernel**2))
    weight = torch.randint(-most, most + 1, (48, channels, kernel, kernel), generator=generator)
    x = torch.randint(-128, 128, (batch, channels, 12, 12), generator=generator)
    assert exact.exact_type(weight) == torch.float32
    pad = (kernel // 2, kernel // 2)
    args = x.float(), weight.float(), (1, 1), pad
    wanted = F.conv2d(x.double(), weight.double(), None, 1, pad)
    assert torch.equal(exact.convolve(*args).double(), wanted)
    assert torch.equal(exact.gathered(*args).double(), wanted)
