"""Where every tensor lies in the data memories, and while which layers it must stay there."""

from __future__ import annotations

from dataclasses import dataclass

from synthesize.chip import limits
from synthesize.graph.hardware import as_run, channels_per_pass, pixels_before, rollover
from synthesize.graph.ir import INPUT, Graph
from synthesize.graph.masks import bits_of
from synthesize.place.placement import Placement


@dataclass(frozen=True)
class Region:
    """One tensor in data memory.

    Args:
        name: layer that writes it, or ``input``.
        instances: data memories 0..15 that hold a part of it.
        start, words: first 32-bit word in each of them, and the words from there.
        begin: index of the layer that writes it, -1 for the input.
        end: index of the last layer that reads it; the number of layers for outputs.
    """

    name: str
    instances: tuple[int, ...]
    start: int
    words: int
    begin: int
    end: int


def tensor_regions(graph: Graph, placement: Placement) -> tuple[Region, ...]:
    """Return the regions of the input (unless it streams), the data buffer and all outputs.

    The output of a layer that streams into the next one is the next one's circular buffer.
    """
    regions = []
    first = placement.layers[0]
    pixels = graph.input.shape[1] * graph.input.shape[2]
    if not (placement.fifo and first.streaming):
        words = -(-pixels // 4) if placement.chw else pixels * first.passes
        where = instances_of(first.processors)
        start = first.in_offset // 4
        regions.append(Region(INPUT, where, start, words, -1, _last_read(graph, INPUT, -1)))
    if graph.buffer is not None and placement.buffer is not None:
        channels, rows, cols = graph.buffer.shape
        words = rows * cols * channels_per_pass(channels)[0]
        where, start = instances_of(placement.buffer.processors), placement.buffer.offset // 4
        regions.append(Region(graph.buffer.name, where, start, words, -1, len(graph.layers)))
    for index, (layer, spot) in enumerate(zip(graph.layers, placement.layers, strict=True)):
        _, rows, cols = as_run(layer).out_shape
        each = spot.out_passes * (spot.write_gap + 1) * (4 if layer.wide else 1)
        words = rows * cols * each
        start = spot.out_offset // 4 - pixels_before(layer) * each
        if index + 1 < len(graph.layers) and placement.layers[index + 1].streaming:
            words = rollover(graph, index + 1)
        where = instances_of(spot.output_processors)
        if layer.op != "passthrough":  # a convolution writes to the memories in between as well
            where = tuple(range(where[0], where[-1] + 1))
        end = _last_read(graph, layer.name, index)
        regions.append(Region(layer.name, where, start, words, index, end))
    return tuple(regions)


def instances_of(mask: int) -> tuple[int, ...]:
    """Return the data memories of the processors of a mask."""
    return tuple(sorted({p // limits.PROCESSORS_PER_INSTANCE for p in bits_of(mask)}))


def _last_read(graph: Graph, name: str, written: int) -> int:
    if any(out.layer == name for out in graph.outputs):
        return len(graph.layers)
    return max([written, *(graph.index(layer.name) for layer in graph.readers(name))])
