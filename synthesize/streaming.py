"""Layers that stream: what they may look like, and the kernel they use.

A streaming layer starts as soon as enough of its input has arrived, so its input never lies in
data memory as a whole; only the first layers of a network can stream, fed through the FIFOs.
Sources: ai8x-synthesis README ("Streaming Mode", "FIFOs") and the checks in
``izer/backend/max7800x.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synthesize.chip import limits
from synthesize.chip.errors import UserError
from synthesize.ir import Graph, Layer, at
from synthesize.placement import Hints, bits_of

_MAX_INVOLUTION = 15


def check(graph: Graph, hints: Hints) -> None:
    """Check the streaming layers of a hand-written description.

    Raises:
        UserError: a layer streams that cannot.
    """
    streaming = [hint.streaming for hint in hints.layers]
    if not any(streaming):
        return
    count = sum(streaming)
    last = max(i for i, on in enumerate(streaming) if on)
    if not all(streaming[: last + 1]):
        layer = graph.layers[streaming.index(True, streaming.index(False))]
        raise UserError(f"{at(layer)}it streams behind a layer that does not; stream both or none")
    if count > limits.MAX_STREAM_LAYERS:
        layer = graph.layers[limits.MAX_STREAM_LAYERS]
        raise UserError(
            f"{at(layer)}{count} streaming layers exceed the {limits.MAX_STREAM_LAYERS} the chip "
            "has; pool earlier so that fewer need to stream"
        )
    for i, layer in enumerate(graph.layers[: last + 1]):
        _check_layer(graph, layer, i, final=i == last)
    _check_fifo(graph.layers[0], hints)


def _check_layer(graph: Graph, layer: Layer, index: int, final: bool) -> None:
    before = graph.layers[index - 1].name if index else "input"
    if layer.inputs != (before,):
        raise UserError(f"{at(layer)}a streaming layer reads the layer before it; use {before}")
    if layer.op == "passthrough" or layer.flatten:
        raise UserError(f"{at(layer)}only convolutions can stream; do not stream this layer")
    if final and layer.pad == (0, 0):
        raise UserError(f"{at(layer)}the last streaming layer needs padding; pad it or stream less")
    passes = sum(-(-other.in_shape[0] // limits.PROCESSORS) for other in graph.layers[:index])
    if passes > _MAX_INVOLUTION:
        raise UserError(f"{at(layer)}{passes} passes of streaming layers exceed {_MAX_INVOLUTION}")


def _check_fifo(layer: Layer, hints: Hints) -> None:
    channels = layer.in_shape[0]
    lanes = 1 if hints.chw else limits.PROCESSORS_PER_INSTANCE
    most = limits.FIFO_CHANNELS_CHW if hints.chw else limits.FIFO_CHANNELS_HWC
    if channels > most:
        raise UserError(
            f"{at(layer)}{channels} input channels exceed the {most} the FIFOs carry; fold less or "
            "do not stream"
        )
    for processor in bits_of(hints.layers[0].processors):
        if processor % limits.PROCESSORS_PER_QUADRANT >= lanes:
            raise UserError(
                f"{at(layer)}processor {processor} has no FIFO; use the first {lanes} of quadrants"
            )


def widen_kernels(graph: Graph, streaming: Sequence[bool]) -> Graph:
    """Give 1x1 convolutions a 3x3 kernel where they stream or follow a streaming layer.

    The line buffer of streaming data exists for 3x3 kernels only on this device.
    """
    layers = []
    changed = False
    for i, layer in enumerate(graph.layers):
        near = streaming[i] or (i > 0 and streaming[i - 1])
        if near and layer.op == "conv2d" and layer.kernel == (1, 1) and layer.weight is not None:
            weight = np.zeros((*layer.weight.shape[:2], 3, 3), np.int64)
            weight[:, :, 1, 1] = layer.weight[:, :, 0, 0]
            layer = replace(layer, weight=weight, kernel=(3, 3), pad=(1, 1))
            changed = True
        layers.append(layer)
    return replace(graph, layers=tuple(layers)) if changed else graph
