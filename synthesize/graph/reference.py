"""Exact integer interpreter of a graph: the known answer comes from here.

Convolutions run as matrix products in floating point. That is exact: every partial sum, in any
order, is an integer of magnitude at most ``sum |w| * 128``; when this stays below 2**24 for every
output, float32 represents all of them, otherwise float64 does (the chip's largest sum is below
2**31). The arithmetic itself is defined in :mod:`synthesize.graph.ir`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from common.errors import UserError
from synthesize.graph.ir import INPUT, Graph, Input, Layer

_FLOAT32_EXACT = 1 << 24


def run(
    graph: Graph,
    inputs: np.ndarray | Mapping[str, np.ndarray],
    kept: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Compute all outputs of a graph.

    Args:
        graph: the network, before or after legalisation.
        inputs: integers -128..127 in the described shape (see :class:`Input`), either the array
            itself or a mapping with the key ``"input"``.
        kept: what the data buffer holds, int8 [channels, rows, columns]; None for zeros, as before
            the first inference.

    Returns:
        int32 [channels, rows, columns] by output name.

    Raises:
        UserError: the input has another shape or values outside -128..127.
    """
    values = run_layers(graph, inputs, kept)
    return {
        out.name: values[out.layer][out.first : out.first + out.channels].astype(np.int32)
        for out in graph.outputs
    }


def run_layers(
    graph: Graph,
    inputs: np.ndarray | Mapping[str, np.ndarray],
    kept: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Compute every layer of a graph.

    Returns:
        by layer name (and ``"input"``): int8 [channels, rows, columns], int64 for wide layers; by
        the name of the data buffer what it holds at the end.
    """
    raw = inputs[INPUT] if isinstance(inputs, Mapping) else inputs
    values = first_values(graph, raw, kept)
    for layer in graph.layers:
        values[layer.name] = run_layer(layer, given(values, layer))
        keep(values, graph, layer)
    return values


def first_values(
    graph: Graph, raw: np.ndarray, kept: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return what is there before the first layer: the input and the data buffer, by name."""
    values = {INPUT: fold_input(graph.input, raw)}
    if graph.buffer is not None:
        values[graph.buffer.name] = np.zeros(graph.buffer.shape, np.int8) if kept is None else kept
    return values


def given(values: Mapping[str, np.ndarray], layer: Layer) -> list[np.ndarray]:
    """Return what a layer reads."""
    return [values[name][:, layer.buffer_shift :] for name in layer.inputs]


def keep(values: dict[str, np.ndarray], graph: Graph, layer: Layer) -> None:
    """Let a layer that writes to the data buffer do so."""
    if graph.buffer is None or not (layer.buffer_shift or layer.buffer_insert):
        return
    channels, rows, cols = graph.buffer.shape
    changed = values[graph.buffer.name].copy()
    first = rows - layer.buffer_insert if layer.buffer_insert else 0
    result = values[layer.name].reshape(channels, -1, cols)
    changed[:, first : first + result.shape[1]] = result
    values[graph.buffer.name] = changed


def fold_input(source: Input, raw: np.ndarray) -> np.ndarray:
    """Check an input and fold it as the first layer expects it.

    Args:
        source: the input's description.
        raw: integers of ``source.described_shape``; trailing axes of size 1 may be missing, and an
            input already folded is taken as it is.

    Returns:
        int8 of ``source.shape``.

    Raises:
        UserError: wrong shape or values.
    """
    raw = np.asarray(raw)
    if raw.size == 0:
        raise UserError(f"the input has shape {raw.shape}, which holds no numbers")
    if raw.dtype.kind not in "iu":
        raise UserError(f"the input holds {raw.dtype}; it must hold integers of -128 to 127")
    if raw.min() < -128 or raw.max() > 127:
        raise UserError(
            f"the input reaches from {raw.min()} to {raw.max()}, but the chip takes -128 to 127; "
            "subtract 128 from pixels"
        )
    shape = (*raw.shape, 1, 1)[: max(3, raw.ndim)]
    if shape == source.shape:
        return raw.reshape(shape).astype(np.int8)
    if shape != source.described_shape:
        if raw.size == int(np.prod(source.shape)) and source.fold == 1:
            return raw.reshape(source.shape).astype(np.int8)
        wanted = "x".join(map(str, source.described_shape))
        raise UserError(
            f"the input has shape {'x'.join(map(str, raw.shape))} but the network expects "
            f"{wanted}; give a sample of that shape (--sample, make SAMPLE=), or name the task "
            "that the network is of (make TASK=)"
        )
    return folded(source, raw).astype(np.int8)


def folded(source: Input, values: np.ndarray) -> np.ndarray:
    """Bring values of ``source.described_shape`` into the order of ``source.shape``."""
    n = source.fold
    c, h, w = source.described_shape
    split = values.reshape(c, h // n, n, w // n, n)
    return split.transpose(2, 4, 0, 1, 3).reshape(source.shape)


def run_layer(layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
    """Compute one layer from its inputs (int8 [channels, rows, columns] each)."""
    data = operand(layer, inputs)
    if layer.op == "upsample":
        return data.repeat(layer.stride[0], axis=1).repeat(layer.stride[1], axis=2)
    if layer.op == "passthrough":
        return data
    if layer.op == "convtranspose2d":
        acc = convolve(layer, spread(layer, data))
    else:
        (rows, cols) = layer.pad
        acc = convolve(layer, np.pad(data, ((0, 0), (rows, rows), (cols, cols))))
    if layer.bias is not None:
        acc += (128 * layer.bias).astype(acc.dtype)[:, None, None]
    return acc.astype(np.int64) if layer.wide else scale(acc, layer.shift, layer.activation)


def operand(layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
    """What the operation of a layer sees: its inputs joined, pooled and, if so, flattened."""
    if layer.stacked > 1:
        inputs = np.split(inputs[0], layer.stacked)
    if layer.join == "concat":
        data = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        if layer.reshape is not None:
            data = data.reshape(layer.in_shape)
        data = pool(layer, data)
    elif layer.pool_first:
        data = join([pool(layer, x) for x in inputs], layer.join)
    else:
        data = pool(layer, join(inputs, layer.join))
    return data.reshape(-1, 1, 1) if layer.flatten else data


def join(operands: list[np.ndarray], kind: str) -> np.ndarray:
    """Combine operands element by element; sums are clipped to -128..127 at the end."""
    if kind in ("or", "xor"):
        combine = np.bitwise_or if kind == "or" else np.bitwise_xor
        bits = operands[0]
        for other in operands[1:]:
            bits = combine(bits, other)
        return bits
    total = operands[0].astype(np.int32)
    for other in operands[1:]:
        total = total + other if kind == "add" else total - other
    return total.clip(-128, 127).astype(np.int8)


def pool(layer: Layer, data: np.ndarray) -> np.ndarray:
    """Pool int8 [channels, rows, columns]; see :mod:`synthesize.graph.ir`."""
    if layer.pool is None:
        return data
    (size_r, size_c), (step_r, step_c) = layer.pool.size, layer.pool.stride
    rows = (data.shape[1] - size_r) // step_r + 1
    cols = (data.shape[2] - size_c) // step_c + 1
    windows = [
        data[:, r : r + (rows - 1) * step_r + 1 : step_r, c : c + (cols - 1) * step_c + 1 : step_c]
        for r in range(size_r)
        for c in range(size_c)
    ]
    if len(windows) == 1 or layer.pool.kind == "max":
        result = windows[0]
        for window in windows[1:]:
            result = np.maximum(result, window)
        return result
    total = windows[0].astype(np.int32)
    for window in windows[1:]:
        total += window
    return (np.sign(total) * (np.abs(total) // len(windows))).astype(np.int8)


def convolve(layer: Layer, data: np.ndarray) -> np.ndarray:
    """Convolve padded data with stride; returns the exact sums as float [out, rows, columns].

    Args:
        layer: its ``weight`` [out, in, kernel rows, kernel columns] and ``stride`` are used.
        data: int8 [in, rows, columns] with padding.
    """
    assert layer.weight is not None
    weight = layer.weight
    bound = int(np.abs(weight).sum(axis=(1, 2, 3)).max(initial=0)) * 128 + 128 * 128
    kind: type[np.floating] = np.float32 if bound < _FLOAT32_EXACT else np.float64
    out, _, k_rows, k_cols = weight.shape
    channels, rows, cols = data.shape
    step_r, step_c = layer.stride if layer.op != "convtranspose2d" else (1, 1)
    out_rows, out_cols = rows - (k_rows - 1) * layer.dilation, cols - k_cols + 1
    # Rows are laid out one after the other, so that every tap reads one contiguous run of pixels;
    # the sums that straddle two rows are cut off at the end. Copies of the pixels, moved by one
    # column each, let one product take a whole row of taps.
    flat = data.reshape(channels, rows * cols)
    beside = np.zeros((k_cols, channels, rows * cols), kind)
    for c in range(k_cols):
        beside[c, :, : rows * cols - c] = flat[:, c:]
    beside = beside.reshape(k_cols * channels, rows * cols)
    taps = weight.astype(kind).transpose(2, 0, 3, 1).reshape(k_rows, out, k_cols * channels)
    run_length = out_rows * cols
    acc = taps[0] @ beside[:, :run_length]
    for r in range(1, k_rows):
        first = r * layer.dilation * cols
        acc += taps[r] @ beside[:, first : first + run_length]
    return acc.reshape(out, out_rows, cols)[:, ::step_r, :out_cols:step_c]


def scale(acc: np.ndarray, shift: int, activation: str) -> np.ndarray:
    """Return clip(floor(acc * 2**shift / 128 + 0.5)) with activation, int8."""
    # In integers, because adding half a step to a sum of 24 bits is not exact in float32.
    if shift > 0:
        total: np.ndarray = acc.astype(np.int64)
        total = ((total << shift) + 64) >> 7
    else:
        total = acc.astype(np.int32)
        total = (total + (64 << -shift)) >> (7 - shift)
    if activation == "abs":
        total = np.abs(total.clip(-128, 127))
    low = 0 if activation == "relu" else -128
    return total.clip(low, 127).astype(np.int8)


def spread(layer: Layer, data: np.ndarray) -> np.ndarray:
    """Return the data with zeros in between and around, ready for a transposed convolution."""
    channels, rows, cols = data.shape
    (step_r, step_c), (k_r, k_c) = layer.stride, layer.kernel
    before_r, before_c = k_r - 1 - layer.pad[0], k_c - 1 - layer.pad[1]
    height = (rows - 1) * step_r + 1 + 2 * before_r + layer.output_pad[0]
    width = (cols - 1) * step_c + 1 + 2 * before_c + layer.output_pad[1]
    result = np.zeros((channels, height, width), np.int8)
    result[
        :,
        before_r : before_r + (rows - 1) * step_r + 1 : step_r,
        before_c : before_c + (cols - 1) * step_c + 1 : step_c,
    ] = data
    return result
