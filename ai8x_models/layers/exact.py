"""Sums of products of whole numbers, in floating point that is exact for them.

Every partial sum of a layer is a whole number of at most ``128 * sum(|w|)``. Below 2**24 those are
exact in float32 whatever the order of adding, else in float64, which is some five times as slow.
A library's convolution may choose a transformed algorithm (Winograd), whose sums in between are no
whole numbers. oneDNN on x86, which torch asks for its direct algorithm, does not; elsewhere the
products are plain matrix products over gathered taps, which take twice as long.
"""

from __future__ import annotations

import platform
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

EXACT_FLOAT32 = 1 << 24


def exact_type(weight: Tensor, outputs: int = 0, bias: Tensor | None = None) -> torch.dtype:
    """The smallest floating-point type in which a layer's sums are exact.

    Args:
        weight: whole numbers, with ``outputs`` the axis that counts outputs.
        bias: [outputs] numbers of bias memory, each added 128 times.
    """
    others = [axis for axis in range(weight.dim()) if axis != outputs]
    most = weight.detach().abs().double().sum(others)
    if bias is not None:
        most = most + bias.detach().abs().double()
    largest = 128.0 * float(most.max()) if most.numel() else 0.0
    return torch.float32 if largest < EXACT_FLOAT32 else torch.float64


def convolve(
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """Convolve as ``F.conv2d`` does, exactly for whole numbers.

    Args:
        x: [N, C, H, W]; weight: [O, C, rows, columns] of the same type.

    Returns:
        [N, O, H', W'].
    """
    if x.device.type == "cpu" and _direct():
        with torch.backends.nnpack.flags(enabled=False):
            return F.conv2d(x, weight, None, stride, padding, dilation)
    return gathered(x, weight, stride, padding, dilation)


@cache
def _direct() -> bool:
    """Whether the library's convolution adds products and nothing else."""
    known = platform.machine().lower() in ("x86_64", "amd64")
    return known and torch.backends.mkldnn.is_available()


def gathered(
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """The same by matrix products over what each tap sees."""
    kernel = weight.shape[2:]
    if weight.shape[2:].numel() == 1 and stride == (1, 1) and not any(padding):
        return (weight.flatten(1) @ x.flatten(2)).view(len(x), -1, *x.shape[2:])
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0])) if any(padding) else x
    rows, columns = (
        (padded.shape[2 + i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
    )

    def span(tap: int, axis: int, count: int) -> slice:
        first = tap * dilation[axis]
        return slice(first, first + stride[axis] * (count - 1) + 1, stride[axis])

    # What each kernel column sees of every row; one kernel row further down is one row further on.
    seen = torch.stack([padded[..., span(c, 1, columns)] for c in range(kernel[1])], dim=2)
    total: Tensor | None = None
    for row in range(kernel[0]):
        taps = seen[:, :, :, span(row, 0, rows)].reshape(len(x), -1, rows * columns)
        part = weight[:, :, row].flatten(1) @ taps
        total = part if total is None else total.add_(part)
    assert total is not None
    return total.view(len(x), len(weight), rows, columns)
