"""The arithmetic of one layer, exact in integers and vectorised.

Arrays of activations are int8 [channel, row, column] (or [channel, operand, row, column] before
an element-wise operation). 1D layers have one column. Any order in memory will do; it is quickest
when the channels of a pixel are neighbours, as they are in data memory. Sums of products are taken
in floating point where every partial sum is an integer small enough to be exact (below 2**24 in
float32, 2**53 in float64), which lets the BLAS do the work.

Sources: DESIGN of the chip's arithmetic in ai8x-synthesis ``izer/simulate.py`` and
``izer/compute.py``; MAX78000 User Guide, CNN chapter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from synthesize.chip import limits

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Floats = NDArray[np.floating]

SUBTRACT, ADD, OR, XOR = range(4)


def pool(
    data: Int8, size: tuple[int, int], stride: int, maximum: bool, round_average: bool
) -> Int8:
    """Windows of ``size`` every ``stride`` rows and columns of the last two axes of ``data``.

    Windows that do not fit are dropped. Averages are truncated towards zero, or with
    ``round_average`` rounded to nearest, halves away from zero (CTRL.poolrnd).
    """
    rows = (data.shape[-2] - size[0]) // stride + 1
    columns = (data.shape[-1] - size[1]) // stride + 1
    windows = [
        data[
            ...,
            r : r + stride * (rows - 1) + 1 : stride,
            c : c + stride * (columns - 1) + 1 : stride,
        ]
        for r in range(size[0])
        for c in range(size[1])
    ]
    if len(windows) == 1:
        return windows[0]
    if maximum:
        result = windows[0]
        for window in windows[1:]:
            result = np.maximum(result, window)
        return result
    return _average(windows, round_average)


def _average(windows: list[Int8], round_average: bool) -> Int8:
    count = len(windows)
    total = windows[0].astype(np.int32)
    for window in windows[1:]:
        total += window
    magnitude = np.abs(total)
    mean = (2 * magnitude + count) // (2 * count) if round_average else magnitude // count
    return (np.sign(total) * mean).astype(np.int8)


def elementwise(data: Int8, function: int) -> Int8:
    """Combine the operands (axis 1) of int8 [channel, operand, row, column].

    Sums and differences are formed over all operands and then clipped to 8 bits.
    """
    if function == OR:
        return np.bitwise_or.reduce(data, axis=1)
    if function == XOR:
        return np.bitwise_xor.reduce(data, axis=1)
    wide = data.astype(np.int32)
    total = wide.sum(axis=1) if function == ADD else 2 * wide[:, 0] - wide.sum(axis=1)
    return np.clip(total, -128, 127).astype(np.int8)


def spread(data: Int8) -> Int8:
    """Zeros after every row and column (transposed convolution, POST.deconv_en)."""
    channels, rows, columns = data.shape
    wide = np.zeros((2 * rows, 2 * columns, channels), np.int8)
    wide[::2, ::2] = data.transpose(1, 2, 0)
    return wide.transpose(2, 0, 1)


@dataclass(frozen=True)
class Kernels:
    """Weights of a convolution, ready to be used many times.

    Attributes:
        weights: int32 [output, channel, kernel row, kernel column].
        rows: for each kernel row, float [kernel column * channel, output].
        largest: no sum of products can be larger in magnitude.
    """

    weights: Int32
    rows: tuple[Floats, ...]
    largest: int

    @classmethod
    def of(cls, weights: Int32) -> Kernels:
        """From int32 [output, channel, kernel row, kernel column]."""
        outputs = len(weights)
        largest = 128 * int(np.abs(weights).reshape(outputs, -1).sum(axis=1).max(initial=0))
        # In float32 all partial sums are exact below 2**24. At most 1024 channels x 9 taps
        # x 128 x 128 are far below 2**53.
        kind = np.dtype(np.float32 if largest < 1 << 24 else np.float64)
        floats: Floats = weights.astype(kind)
        rows = tuple(
            np.ascontiguousarray(floats[:, :, r].transpose(2, 1, 0)).reshape(-1, outputs)
            for r in range(weights.shape[2])
        )
        return cls(weights, rows, largest)


def convolve(data: Int8, kernels: Kernels, pad: tuple[int, int]) -> Int32:
    """Sums of products with stride 1.

    Args:
        data: int8 [channel, row, column].
        kernels: weights.
        pad: zero rows and columns at each end.

    Returns:
        int32 [output, row, column].
    """
    outputs, _, kernel_rows, kernel_columns = kernels.weights.shape
    rows = data.shape[1] + 2 * pad[0] - kernel_rows + 1
    columns = data.shape[2] + 2 * pad[1] - kernel_columns + 1
    fields = _fields(data, kernel_columns, pad, kernels.rows[0].dtype)
    sums = fields[: rows * columns] @ kernels.rows[0]
    for row in range(1, kernel_rows):
        # One kernel row further down is one row of pixels further on.
        first = row * columns
        sums += fields[first : first + rows * columns] @ kernels.rows[row]
    return sums.astype(np.int32).reshape(rows, columns, outputs).transpose(2, 0, 1)


def _fields(data: Int8, width: int, pad: tuple[int, int], kind: np.dtype) -> Floats:
    """What a kernel row sees at each place of a padded row: [row * column, width * channel]."""
    channels, rows, columns = data.shape
    padded = np.empty((rows + 2 * pad[0], columns + 2 * pad[1], channels), kind)
    padded[: pad[0]] = padded[pad[0] + rows :] = 0
    inner = padded[pad[0] : pad[0] + rows]
    inner[:, : pad[1]] = inner[:, pad[1] + columns :] = 0
    inner[:, pad[1] : pad[1] + columns] = data.transpose(1, 2, 0)
    if width == 1:
        return padded.reshape(-1, channels)
    # Neighbours in a row are neighbours in memory: a window begins one pixel after the one before.
    flat = padded.reshape(len(padded), -1)
    windows = sliding_window_view(flat, width * channels, axis=1)[:, ::channels]
    return np.ascontiguousarray(windows).reshape(-1, width * channels)


def scale(sums: Int32, shift: int, relu: bool, absolute: bool) -> Int8:
    """8-bit output of an accumulator: shifted, rounded to nearest (halves up), clipped, activated.

    Sums are below 2**30 in magnitude. ``shift`` is -15..15, positive to the left; the division by
    128 comes on top. The absolute value of -128 is 127. With both, the absolute value wins
    (POST.out_abs).
    """
    right = 7 - shift
    if right > 0:
        rounded = sums + (1 << (right - 1))
        rounded >>= right
    else:
        rounded = sums.astype(np.int64) << -right
    if absolute:
        clipped = np.minimum(np.abs(np.clip(rounded, -128, 127)), 127)
    else:
        clipped = np.clip(rounded, 0 if relu else -128, 127, out=rounded)
    return clipped.astype(np.int8)


def add_bias(sums: Int32, bias: Int32) -> Int32:
    """Add one bias per output, times 128; changes ``sums``."""
    sums += (bias * limits.BIAS_SCALE)[:, None, None]
    return sums
