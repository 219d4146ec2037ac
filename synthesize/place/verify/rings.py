"""Circular buffers of layers that stream: how long they are, and that they lie apart."""

from __future__ import annotations

from synthesize.chip import limits
from synthesize.graph.ir import Graph, at
from synthesize.place.placement import Placement
from synthesize.place.verify.finding import Finding

_LANES = limits.PROCESSORS_PER_INSTANCE
_CHW_RING = 12  # words, by the generator
_STREAM_MARGIN = 2  # words a layer behind another waits longer, by the generator


def rings(graph: Graph, placement: Placement) -> list[Finding]:
    """Check that the circular buffers of streaming layers lie apart; their length is a register."""
    taken: list[tuple[str, set[int], int, int]] = []
    streaming = [i for i, place in enumerate(placement.layers) if place.streaming]
    for i in streaming:
        layer, place = graph.layers[i], placement.layers[i]
        start = place.in_offset // 4
        end = start + ring_words(graph, i, placement.chw)
        taken.append(
            (f"the circular input of {layer.name}", _memories(place.processors), start, end)
        )
        if i == streaming[-1]:
            last = layer.out_shape[1] * layer.out_shape[2] * place.out_passes
            words = last * (place.write_gap + 1) * (_LANES if layer.wide else 1)
            start = place.out_offset // 4
            memories = _memories(place.output_processors)
            taken.append((f"the output of {layer.name}", memories, start, start + words))
    findings = []
    kept = _kept(graph, placement)
    for number, (name, memories, start, end) in enumerate(taken):
        layer = graph.layers[streaming[min(number, len(streaming) - 1)]]
        if end > limits.DATA_INSTANCE_WORDS:
            sentence = (
                f"{at(layer)}{name} ends at word {end} of a data memory that has "
                f"{limits.DATA_INSTANCE_WORDS}; use a smaller offset"
            )
            findings.append(Finding(layer.name, sentence))
        for other, others, begin, stop in kept + taken[:number]:
            both = memories & others
            if both and start < stop and begin < end:
                sentence = (
                    f"{at(layer)}{name} overlaps {other} in data memory {min(both)}, words "
                    f"{max(start, begin)} to {min(end, stop) - 1}; layers that stream run at the "
                    "same time, so place these apart"
                )
                findings.append(Finding(layer.name, sentence))
    return findings


def _kept(graph: Graph, placement: Placement) -> list[tuple[str, set[int], int, int]]:
    """Return the data buffer like a ring: its name, memories, first word and the one behind it."""
    if graph.buffer is None or placement.buffer is None:
        return []
    channels, rows, cols = graph.buffer.shape
    start = placement.buffer.offset // 4
    words = rows * cols * -(-channels // limits.PROCESSORS)
    memories = _memories(placement.buffer.processors)
    return [(f"the data buffer {graph.buffer.name}", memories, start, start + words)]


def ring_words(graph: Graph, index: int, chw: bool) -> int:
    """Return the words that the circular input of a streaming layer has to hold.

    A layer starts when its producer is so many words ahead that the first pooling window is
    complete; until a window has moved on, its other rows must stay as well. Derived anew from the
    public generator's rules for start delays and circular buffers (ai8x-synthesis
    ``izer/backend/max7800x.py``), so that a wrong length elsewhere shows as an overlap here.
    """
    layer = graph.layers[index]
    rows, cols = layer.pool_size
    if index == 0:
        if chw:
            return _CHW_RING
        ahead = rows * ((rows - 1) * layer.in_shape[2] + cols)
    else:
        producer = graph.layers[index - 1]
        line = producer.pooled[1] + 2 * producer.pad[1]
        lines = producer.kernel[0] + rows - 2
        ahead = lines * line + producer.kernel[1] + cols - 1 + _STREAM_MARGIN
    held = ahead + (rows - 1) * layer.in_shape[2] + max(cols, layer.pool_stride[1], 1)
    passes = -(-layer.in_shape[0] // limits.PROCESSORS)
    return -(-held // passes) * passes


def _memories(processors: int) -> set[int]:
    return {p // _LANES for p in range(limits.PROCESSORS) if processors >> p & 1}
