"""Finds a placement for a legal graph: processors and offsets of every tensor.

Tensors live in *buffers* (:mod:`synthesize.place.buffers`). A buffer has one first processor (a
multiple of 4) and one offset; it lives from the first layer that writes it to the last that reads
it, and two buffers alive at the same time must not share a byte. Layers read from the processors
their input lies at, so the first processor also decides where the layer's weights go: it is chosen
to level the weight memory.

Where the input or the output of one of the first layers is larger than a data memory, as few of the
first layers as possible stream (:mod:`synthesize.legal.streaming`): their inputs become circular
buffers that exist at the same time, together with the output of the last of them.

The search places buffers greedily in several orders (largest first, by time, then shuffled) until
data, weight and bias memory all fit. The cycles of a layer do not depend on its place, so any
placement that fits is as fast as any other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from common.errors import UserError
from synthesize.chip import limits
from synthesize.graph.hardware import channels_per_pass
from synthesize.graph.ir import INPUT, Graph
from synthesize.legal import streaming
from synthesize.place.buffers import Buffer, Buffers
from synthesize.place.memories import complete
from synthesize.place.placement import LayerPlace, Placement
from synthesize.place.reserved import NOTHING, Reserved

ATTEMPTS = 400
_SHARED = limits.PROCESSORS_PER_INSTANCE
_BYTES = limits.DATA_INSTANCE_BYTES


def search(
    graph: Graph, seed: int = 0, attempts: int = ATTEMPTS, reserved: Reserved = NOTHING
) -> Placement:
    """Place a legal graph, trying so many shuffled orders after the promising ones.

    Kernel words and bias bytes that are ``reserved`` are left alone.

    Raises:
        UserError: a tensor is too large for data memory, the weights or biases do not fit, or no
            arrangement was found; the sentence names the layer and what to change.
    """
    problem = _Search(graph, streaming_layers(graph), reserved)
    error: UserError | None = None
    rng = random.Random(seed)
    for order, restless in problem.orders(rng, attempts):
        spots = problem.arrange(order, rng, restless)
        if spots is None:
            continue
        try:
            places = problem.places(spots)
            return complete(
                graph,
                places,
                chw=problem.buffers.chw,
                fifo=problem.streaming > 0,
                reserved=reserved,
            )
        except UserError as failure:
            error = error or failure
    if error is not None:
        raise error
    raise UserError(
        f"{problem.buffers.tightest()}; no arrangement of the data memories was found, so make "
        "tensors that live at the same time smaller (pool earlier, fewer channels)"
    )


def streaming_layers(graph: Graph) -> int:
    """Return how many of the first layers have to stream; 0 when all tensors fit as a whole.

    Raises:
        UserError: a tensor is too large for data memory and streaming does not help.
    """
    buffers = Buffers(graph)
    large = buffers.too_large()
    if large is None:
        return 0
    reason: UserError | None = None
    for count in range(1, len(graph.layers) + 1):
        rest = Buffers(graph, count).too_large()
        if rest is not None:
            large = large if reason else rest
            continue
        try:
            streaming.check_automatic(graph, count)
            return count
        except UserError as failure:
            reason = reason or failure
    raise UserError(buffers.size_sentence(large, reason))


class _Search:
    """The greedy search over the buffers of a graph.

    Args:
        graph: a legal graph.
        streaming: how many of its first layers stream.
        reserved: what another network keeps.
    """

    def __init__(self, graph: Graph, streaming: int, reserved: Reserved) -> None:
        self.graph = graph
        self.streaming = streaming
        self.reserved = reserved
        self.buffers = Buffers(graph, streaming)

    def orders(self, rng: random.Random, attempts: int) -> Iterator[tuple[list[int], float]]:
        """Yield orders of placing and how often to pick a processor at random.

        The input always comes first. The first orders put the hardest buffers early (by bytes, by
        kernel words, by time), the later ones are shuffled versions of these.
        """
        source = self.buffers.members[INPUT].buffer
        others = [i for i in range(len(self.buffers.listed)) if i != source]
        bases = (
            sorted(
                others, key=lambda i: -self.buffers.listed[i].size * self.buffers.listed[i].span
            ),
            sorted(others, key=lambda i: -sum(self.buffers.listed[i].load.values())),
            sorted(others, key=lambda i: self.buffers.listed[i].begin),
        )
        for base in bases:
            yield [source, *base], 0.0
        for attempt in range(attempts if others else 0):
            order = list(bases[attempt % len(bases)])
            for _ in range(rng.randint(0, 1 + len(order))):
                a, b = rng.randrange(len(order)), rng.randrange(len(order))
                order[a], order[b] = order[b], order[a]
            yield [source, *order], rng.choice((0.0, 0.1, 0.3))

    def arrange(
        self, order: Sequence[int], rng: random.Random, restless: float
    ) -> dict[int, tuple[int, int]] | None:
        """Place buffers in order; return (first processor, offset) by buffer, None if stuck.

        Each buffer goes where the fullest weight memory stays lowest, or, with probability
        ``restless``, anywhere it fits.
        """
        spots: dict[int, tuple[int, int]] = {}
        load = self.reserved.counts()
        for index in order:
            words = self.buffers.listed[index].load
            edges = (0, limits.PROCESSORS - self.buffers.listed[index].span)
            options: list[tuple[float, bool, int, int]] = []
            anywhere = restless > 0 and rng.random() < restless
            for processor in self._processors(index, spots):
                offset = self._lowest_offset(index, processor, spots)
                if offset is not None:
                    peak = max((load[processor + p] + n for p, n in words.items()), default=0)
                    level = rng.random() if anywhere else peak
                    # At an edge a buffer leaves the most room for others beside it.
                    options.append((level, processor not in edges, offset, processor))
            if not options:
                return None
            _, _, offset, processor = min(options)
            spots[index] = (processor, offset)
            for p, n in words.items():
                load[processor + p] += n
        return spots

    def places(self, spots: dict[int, tuple[int, int]]) -> list[LayerPlace]:
        """Return the place of every layer for chosen spots."""
        result = []
        for index, layer in enumerate(self.graph.layers):
            passes, in_per_pass = channels_per_pass(layer.in_shape[0])
            out_passes, out_per_pass = channels_per_pass(layer.out_shape[0])
            out = self.buffers.members[layer.name]
            processor, offset = spots[out.buffer]
            first = self.buffers.members[layer.inputs[0]]
            result.append(
                LayerPlace(
                    processors=self.buffers.read_mask(layer, spots),
                    output_processors=((1 << out_per_pass) - 1) << (processor + out.processor),
                    in_offset=spots[first.buffer][1] + 4 * first.word,
                    out_offset=offset + 4 * out.word,
                    passes=passes,
                    in_per_pass=in_per_pass,
                    out_passes=out_passes,
                    out_per_pass=out_per_pass,
                    write_gap=out.gap,
                    streaming=index < self.streaming,
                )
            )
        return result

    def _processors(self, index: int, spots: dict[int, tuple[int, int]]) -> list[int]:
        buffer = self.buffers.listed[index]
        # A buffer may be tied to several others, and all of them must agree.
        tied = {
            spots[t.first][0] + t.delta
            for t in self.buffers.ties
            if t.second == index and t.first in spots
        }
        tied |= {
            spots[t.second][0] - t.delta
            for t in self.buffers.ties
            if t.first == index and t.second in spots
        }
        if index == self.buffers.members[INPUT].buffer:
            return [0] if tied <= {0} else []
        if tied:
            return self._valid(buffer, tied.pop()) if len(tied) == 1 else []
        return list(range(0, limits.PROCESSORS - buffer.span + 1, _SHARED))

    def _valid(self, buffer: Buffer, processor: int) -> list[int]:
        fits = processor >= 0 and processor + buffer.span <= limits.PROCESSORS
        return [processor] if fits else []

    def _lowest_offset(
        self, index: int, processor: int, spots: dict[int, tuple[int, int]]
    ) -> int | None:
        """Return the lowest free offset, None when there is none."""
        mine = self.buffers.listed[index]
        taken: list[tuple[int, int]] = []
        for other_index, (other_processor, offset) in spots.items():
            other = self.buffers.listed[other_index]
            if other.end < mine.begin or mine.end < other.begin:
                continue
            if _instances(processor, mine.span) & _instances(other_processor, other.span):
                taken.append((offset, offset + other.size))
        place = 0
        for begin, end in sorted(taken):
            if place + mine.size <= begin:
                break
            place = max(place, end)
        return place if place + mine.size <= _BYTES else None


def _instances(processor: int, span: int) -> int:
    """Return a bit mask of the data memories of a range of processors."""
    first, last = processor // _SHARED, (processor + span - 1) // _SHARED
    return ((1 << (last - first + 1)) - 1) << first
