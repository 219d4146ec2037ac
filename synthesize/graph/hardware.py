"""How the accelerator runs a layer, wherever that lies: passes, padding, line buffers, streaming.

Rules, placement and registers all read these. Facts: ai8x-synthesis README and
``izer/backend/max7800x.py``; checked word by word against recorded programs of the public
generator.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthesize.chip import limits
from synthesize.graph.ir import Graph, Layer

STREAM_START_MARGIN = 2
"""Words added to the start of a streaming layer behind another (generator default)."""
CHW_ROLLOVER = 12
"""Circular buffer, in words, of a streaming layer with one channel per word."""


def channels_per_pass(channels: int) -> tuple[int, int]:
    """Return (passes, processors per pass) for a number of channels.

    With more than 64 channels, every pass uses the same number of processors, rounded up to a
    multiple of four (source: ai8x-synthesis README, "Channel count greater than 64").
    """
    passes = -(-channels // 64)
    per_pass = -(-channels // passes)
    if channels > 64:
        per_pass = min(-(-per_pass // 4) * 4, 64)
    return passes, per_pass


def pixels_flattened(layer: Layer) -> int:
    """Return the pixels that a flattening layer turns into channels, 1 for any other."""
    rows, cols = layer.pooled
    return rows * cols if layer.flatten else 1


def as_run(layer: Layer) -> Layer:
    """Return a layer as the accelerator computes it; only a dilated Conv1d differs.

    Its samples are taken for the pixels of rows as long as the dilation, so that taps so far apart
    lie in one column: a 3x3 kernel holds them in its middle column, with padding 1 on all sides.
    All pixels are computed; those in front of and behind the wanted ones are of no use.

    Source: ai8x-synthesis ``izer/backend/max7800x.py`` ("Use Conv2d").
    """
    if layer.dilation == 1 or layer.kernel[0] not in limits.DILATED_LENGTHS:
        return layer
    size = (-(-layer.in_shape[1] // layer.dilation), layer.dilation)
    weight = None
    if layer.weight is not None:
        out, inputs, taps, _ = layer.weight.shape
        weight = np.zeros((out, inputs, 3, 3), np.int64)
        weight[:, :, 3 - taps :, 1] = layer.weight[:, :, :, 0]
    return replace(
        layer, op="conv2d", kernel=(3, 3), pad=(1, 1), dilation=1, weight=weight,
        in_shape=(layer.in_shape[0], *size), out_shape=(layer.out_shape[0], *size),
    )  # fmt: skip


def pixels_before(layer: Layer) -> int:
    """Return the pixels that a layer writes in front of its output: a row of a dilated Conv1d."""
    return layer.dilation if layer.dilation > 1 and layer.kernel[0] == 3 else 0


def interleaved(layer: Layer) -> bool:
    """Whether the inputs of a layer with several inputs lie interleaved in data memory."""
    if len(layer.inputs) < 2:
        return False
    return layer.operands > 1 or layer.in_shape[0] > limits.PROCESSORS


def hardware_pad(layer: Layer) -> tuple[int, int]:
    """Return the padding the hardware adds; a transposed convolution pads its spread input."""
    if layer.op != "convtranspose2d":
        return layer.pad
    return layer.kernel[0] - 1 - layer.pad[0], layer.kernel[1] - 1 - layer.pad[1]


def line_buffer_words(layer: Layer) -> int:
    """Return the words of line buffer (TRAM) per pass that a layer with a 2D kernel takes."""
    if layer.op == "passthrough":
        return 1
    cols = layer.pooled[1]
    if layer.op == "convtranspose2d":
        cols = (cols - 1) * layer.stride[1] + 1 + layer.output_pad[1]
    return max(0, cols + 2 * hardware_pad(layer)[1] - layer.kernel[1]) + 1


def stream_counts(
    graph: Graph, index: int, streaming: bool, fifo: bool, chw: bool = False
) -> tuple[int, int, int]:
    """Return (words before a layer starts, words between outputs, words between rows).

    Args:
        graph: the legal graph; the input must lie in the FIFOs when ``streaming``.
        index: the layer.
        streaming: whether this layer (and all before it) streams.
        fifo: whether the input comes through the FIFOs.
        chw: whether the input has one channel per word.
    """
    layer = graph.layers[index]
    (pool_r, pool_c), (step_r, step_c) = layer.pool_size, layer.pool_stride
    if index == 0 and fifo:
        if not streaming:
            return frame_words(layer, chw) * pool_r, 0, 0
        cols = layer.in_shape[2]
        begin = ((pool_r - 1) * cols + pool_c) * pool_r
        return begin, (step_c - 1) * layer.operands, (pool_r - 1) * cols * layer.operands
    if index == 0 or not streaming:
        return 0, 0, 0
    before = graph.layers[index - 1]
    width = before.pooled[1] + 2 * hardware_pad(before)[1]
    begin = width * (before.kernel[0] - 1 + pool_r - 1) + before.kernel[1] - 1 + pool_c
    return (
        begin + STREAM_START_MARGIN,
        step_c * layer.operands,
        (step_r - 1) * width + pool_c * layer.operands,
    )


def rollover(graph: Graph, index: int, chw: bool = False) -> int:
    """Return the words of the circular input buffer of a streaming layer."""
    if chw and index == 0:
        return CHW_ROLLOVER
    layer = graph.layers[index]
    begin = stream_counts(graph, index, True, True)[0]
    (pool_r, pool_c), step = layer.pool_size, layer.pool_stride[1]
    words = begin + (pool_r - 1) * layer.in_shape[2] + max(1, step, pool_c)
    return words + -words % channels_per_pass(layer.in_shape[0])[0]


def frame_words(layer: Layer, chw: bool) -> int:
    """Return the words of one input frame."""
    words = layer.in_shape[1] * layer.in_shape[2]
    return -(-words // 4) if chw else words
