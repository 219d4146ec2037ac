"""Layers that stream: what they may look like, and the kernel they use.

A streaming layer starts as soon as enough of its input has arrived, so its input never lies in
data memory as a whole; only the first layers of a network can stream, fed through a FIFO. Only
hand-written placements stream. As in :mod:`synthesize.rules`, every limit is one function whose
docstring is the sentence the user sees.

Sources: ai8x-synthesis README ("Streaming Mode", "FIFOs") and the checks in
``izer/backend/max7800x.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from synthesize.chip import limits
from synthesize.chip.errors import UserError
from synthesize.ir import INPUT, Graph, Layer, at
from synthesize.placement import Hints, bits_of
from synthesize.sentences import message

_MAX_VOLUME = 15

Values = dict[str, Any] | None
StreamRule = Callable[[Graph, Hints, int], Values]

STREAM_RULES: list[StreamRule] = []


def stream_rule(function: StreamRule) -> StreamRule:
    """Register a rule on the streaming layer with a given index."""
    STREAM_RULES.append(function)
    return function


def check(graph: Graph, hints: Hints) -> None:
    """Check the streaming layers of a hand-written placement.

    Raises:
        UserError: with the sentence of the first broken rule.
    """
    for index, layer in enumerate(graph.layers):
        if not hints.layers[index].streaming:
            continue
        for rule in STREAM_RULES:
            values = rule(graph, hints, index)
            if values is not None:
                raise UserError(at(layer) + message(rule, values))


@stream_rule
def streaming_comes_first(graph: Graph, hints: Hints, index: int) -> Values:
    """it streams behind {before}, which does not; stream all layers from the first on"""
    if index == 0 or hints.layers[index - 1].streaming:
        return None
    return {"before": graph.layers[index - 1].name}


@stream_rule
def streaming_layers(graph: Graph, hints: Hints, index: int) -> Values:
    """{count} streaming layers exceed the 8 the chip has; pool earlier so that fewer need to
    stream"""
    count = sum(hint.streaming for hint in hints.layers)
    return {"count": count} if count > limits.MAX_STREAM_LAYERS else None


@stream_rule
def streaming_is_a_chain(graph: Graph, hints: Hints, index: int) -> Values:
    """a streaming layer reads the layer before it, {before}, and nothing else; do not stream it"""
    before = graph.layers[index - 1].name if index else INPUT
    return None if graph.layers[index].inputs == (before,) else {"before": before}


@stream_rule
def streaming_is_convolution(graph: Graph, hints: Hints, index: int) -> Values:
    """only convolutions can stream, not {op}; do not stream this layer"""
    layer = graph.layers[index]
    plain = layer.op in ("conv2d", "conv1d") and not layer.flatten
    return None if plain else {"op": layer.op}


@stream_rule
def streaming_ends_padded(graph: Graph, hints: Hints, index: int) -> Values:
    """the last streaming layer needs padding; pad it or stream fewer layers"""
    layer = graph.layers[index]
    last = index + 1 == len(graph.layers) or not hints.layers[index + 1].streaming
    widened = layer.op == "conv2d" and layer.kernel == (1, 1)  # it will get padding 1
    return {} if last and layer.pad == (0, 0) and not widened else None


@stream_rule
def streaming_passes(graph: Graph, hints: Hints, index: int) -> Values:
    """{passes} passes of the streaming layers before it exceed 15; use fewer channels there"""
    passes = sum(-(-other.in_shape[0] // limits.PROCESSORS) for other in graph.layers[:index])
    return {"passes": passes} if passes > _MAX_VOLUME else None


@stream_rule
def streaming_channels(graph: Graph, hints: Hints, index: int) -> Values:
    """{channels} input channels exceed the {most} that one FIFO carries (4, or 1 with CHW data);
    use fewer channels or do not stream"""
    most = 1 if hints.chw else limits.PROCESSORS_PER_INSTANCE
    channels = graph.layers[0].in_shape[0]
    return {"channels": channels, "most": most} if index == 0 and channels > most else None


@stream_rule
def streaming_processors(graph: Graph, hints: Hints, index: int) -> Values:
    """processor {processor} has no FIFO; use processors 0 to 3, 16 to 19, 32 to 35 or 48 to 51"""
    if index:
        return None
    for processor in bits_of(hints.layers[0].processors):
        if processor % limits.PROCESSORS_PER_QUADRANT >= limits.PROCESSORS_PER_INSTANCE:
            return {"processor": processor}
    return None


def widen_kernels(graph: Graph, streaming: Sequence[bool]) -> Graph:
    """Give 1x1 convolutions a 3x3 kernel where they stream or follow a streaming layer.

    The line buffer of streaming data exists for 3x3 kernels only on this device.
    """
    layers = []
    changed = False
    for i, layer in enumerate(graph.layers):
        near = streaming[i] or (i > 0 and streaming[i - 1])
        if near and layer.op == "conv2d" and layer.kernel == (1, 1) and layer.weight is not None:
            layer = _widened(layer)
            changed = True
        layers.append(layer)
    return replace(graph, layers=tuple(layers)) if changed else graph


def _widened(layer: Layer) -> Layer:
    assert layer.weight is not None
    weight = np.zeros((*layer.weight.shape[:2], 3, 3), np.int64)
    weight[:, :, 1, 1] = layer.weight[:, :, 0, 0]
    return replace(layer, weight=weight, kernel=(3, 3), pad=(1, 1))
