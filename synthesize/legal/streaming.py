"""Layers that stream: what they may look like, and the kernel they use.

A streaming layer starts as soon as enough of its input has arrived, so its input never lies in data
memory as a whole; only the first layers of a network can stream, fed through the FIFOs. A
hand-written placement says which layers stream; the search streams as few as possible, and only
where a tensor does not fit otherwise. As in :mod:`synthesize.legal.rules`, every limit is one
function whose docstring is the sentence the user sees.

Sources: ai8x-synthesis README ("Streaming Mode", "FIFOs") and the checks in
``izer/backend/max7800x.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from common.errors import UserError
from synthesize.chip import limits, registers
from synthesize.graph.hardware import channels_per_pass, line_buffer_words, stream_counts
from synthesize.graph.hints import Hints, LayerHint
from synthesize.graph.ir import INPUT, Graph, Layer, at
from synthesize.graph.masks import bits_of
from synthesize.legal.messages import message

_MAX_VOLUME = 15
_START = registers.STRM0.by_name["strm_isval"].maximum
_DELTA_ROW = registers.STRM1.by_name["strm_dsval2"].maximum

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
        checked = STREAM_RULES
        if not hints.layers[index].streaming:
            # Whole pictures may come through the FIFOs as well.
            checked = [streaming_channels, streaming_processors, fifo_rows] if hints.fifo else []
        for rule in checked:
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
def streaming_dilation(graph: Graph, hints: Hints, index: int) -> Values:
    """a kernel with dilation {dilation}, which reaches over more than 9 samples, cannot stream; let
    it wait for its whole input"""
    dilation = graph.layers[index].dilation
    return {"dilation": dilation} if dilation > 1 else None


def fifo_rows(graph: Graph, hints: Hints, index: int) -> Values:
    """{samples} samples through the FIFOs are no multiple of the dilation {dilation}, in rows of
    which they are read; store the input before the start"""
    layer = graph.layers[index]
    if index or layer.in_shape[1] % layer.dilation == 0:
        return None
    return {"samples": layer.in_shape[1], "dilation": layer.dilation}


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
    """{channels} input channels exceed the {most} that the FIFOs carry (16, or 4 with CHW data);
    use fewer channels or do not stream"""
    most = limits.FIFO_CHANNELS_CHW if hints.chw else limits.FIFO_CHANNELS_HWC
    channels = graph.layers[0].in_shape[0]
    return {"channels": channels, "most": most} if index == 0 and channels > most else None


@stream_rule
def streaming_processors(graph: Graph, hints: Hints, index: int) -> Values:
    """no FIFO brings channel {channel} to processor {processor}; use processors 0 to 3, 16 to 19,
    32 to 35 and 48 to 51 (CHW data: 0, 16, 32 and 48)"""
    if index:
        return None
    lanes = 1 if hints.chw else limits.PROCESSORS_PER_INSTANCE
    for channel, processor in enumerate(bits_of(hints.layers[0].processors)):
        if processor % limits.PROCESSORS_PER_QUADRANT >= lanes:
            return {"channel": channel, "processor": processor}
    return None


@stream_rule
def streamed_data_is_read_once(graph: Graph, hints: Hints, index: int) -> Values:
    """it streams into {reader} and is never stored as a whole, but it is needed elsewhere too; do
    not stream {reader}"""
    if index + 1 >= len(graph.layers) or not hints.layers[index + 1].streaming:
        return None
    name = graph.layers[index].name
    elsewhere = _read_stored(graph, hints, name) or any(o.layer == name for o in graph.outputs)
    return {"reader": graph.layers[index + 1].name} if elsewhere else None


@stream_rule
def streamed_input_is_read_once(graph: Graph, hints: Hints, index: int) -> Values:
    """{reader} reads the input too, which is streamed and never stored as a whole; let it read
    this layer instead"""
    others = () if index else _read_stored(graph, hints, INPUT)
    return {"reader": others[0]} if others else None


def _read_stored(graph: Graph, hints: Hints, name: str) -> tuple[str, ...]:
    """Return the layers that read a tensor and do not stream."""
    on = {
        layer.name for layer, hint in zip(graph.layers, hints.layers, strict=True) if hint.streaming
    }
    return tuple(layer.name for layer in graph.readers(name) if layer.name not in on)


@stream_rule
def streaming_small_kernel(graph: Graph, hints: Hints, index: int) -> Values:
    """{name} has a 1x1 kernel, which runs as 3x3 near streaming data, where padding {pad} exceeds
    1; pad less"""
    for layer in graph.layers[index : index + 2]:
        if layer.op == "conv2d" and layer.kernel == (1, 1) and max(layer.pad) > 1:
            return {"name": layer.name, "pad": max(layer.pad)}
    return None


@stream_rule
def streaming_line_buffers(graph: Graph, hints: Hints, index: int) -> Values:
    """{words} words of line buffer up to this streaming layer exceed the 3072 the chip has; make
    the input narrower"""
    chain = _as_run(graph, hints).layers[: index + 1]
    words = sum(line_buffer_words(x) * channels_per_pass(x.in_shape[0])[0] for x in chain)
    return {"words": words} if words > limits.TRAM_WORDS else None


@stream_rule
def streaming_delays(graph: Graph, hints: Hints, index: int) -> Values:
    """it waits {start} words before it starts and {row} words between rows, but the chip counts to
    16383 and 4095; pool less or make its input narrower"""
    start, _, row = stream_counts(_as_run(graph, hints), index, True, True, hints.chw)
    too_long = start > _START or row > _DELTA_ROW
    return {"start": start, "row": row} if too_long else None


def _as_run(graph: Graph, hints: Hints) -> Graph:
    return widen_kernels(graph, [hint.streaming for hint in hints.layers])


def check_automatic(graph: Graph, count: int) -> None:
    """Check that the compiler may stream the first ``count`` layers by itself.

    Beside the limits of all streaming layers, it streams only what is known well: one pass of
    channels, 2D convolutions, and pooling windows that do not overlap and leave no gap.

    Raises:
        UserError: with the first reason.
    """
    for layer in graph.layers[:count]:
        if layer.op != "conv2d":
            raise UserError(f"{at(layer)}only 2D convolutions can stream")
        if layer.in_shape[0] > limits.PROCESSORS:
            raise UserError(
                f"{at(layer)}{layer.in_shape[0]} channels take several passes, which are not "
                "streamed without a placement by hand"
            )
        if layer.pool_size != layer.pool_stride:
            size, step = ("x".join(map(str, p)) for p in (layer.pool_size, layer.pool_stride))
            raise UserError(
                f"{at(layer)}{size} pooling with stride {step} is not streamed without a placement "
                "by hand; make size and stride equal"
            )
    check(graph, Hints(tuple(LayerHint(1, streaming=i < count) for i in range(len(graph.layers)))))


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


def widen_first(graph: Graph, count: int) -> Graph:
    """Do the same where the first ``count`` layers stream."""
    return widen_kernels(graph, [i < count for i in range(len(graph.layers))])


def _widened(layer: Layer) -> Layer:
    assert layer.weight is not None
    weight = np.zeros((*layer.weight.shape[:2], 3, 3), np.int64)
    weight[:, :, 1, 1] = layer.weight[:, :, 0, 0]
    pad = layer.pad[0] + 1, layer.pad[1] + 1
    return replace(layer, weight=weight, kernel=(3, 3), pad=pad)
