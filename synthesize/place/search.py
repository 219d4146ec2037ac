"""Finds a placement for a legal graph: processors and offsets of every tensor.

Tensors live in *buffers*. A tensor read alone is a buffer of its own; the operands of an
element-wise layer and the parts of a concatenation share one, interleaved word by word or side by
side. A buffer has one first processor (a multiple of 4) and one offset; it lives from the first
layer that writes it to the last that reads it, and two buffers alive at the same time must not
share a byte. Layers read from the processors their input lies at, so the first processor also
decides where the layer's weights go: it is chosen to level the weight memory.

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
from dataclasses import dataclass, field

from common.errors import UserError
from synthesize.chip import limits
from synthesize.graph.ir import INPUT, Graph, Layer, at
from synthesize.legal import streaming
from synthesize.legal.rewrites.copy_operands import interleaved
from synthesize.place.by_hand import complete, kernel_words
from synthesize.place.placement import LayerPlace, Placement, channels_per_pass
from synthesize.place.reserved import NOTHING, Reserved
from synthesize.program import registers as lower

ATTEMPTS = 400
_SHARED = limits.PROCESSORS_PER_INSTANCE
_BYTES = limits.DATA_INSTANCE_BYTES


@dataclass
class _Buffer:
    """A region of data memory; ``span`` processors wide, ``size`` bytes in each instance."""

    name: str
    span: int
    size: int
    begin: int
    end: int
    group: int = limits.PROCESSORS
    """Channels in neighbouring processors; the next group begins ``step`` processors further."""
    step: int = 0
    load: dict[int, int] = field(default_factory=dict)
    """Kernel words by processor, relative to the first."""


@dataclass(frozen=True)
class _Member:
    """Where a tensor lies within its buffer."""

    buffer: int
    processor: int
    word: int
    gap: int


@dataclass(frozen=True)
class _Tie:
    """Two buffers whose first processors differ by a fixed amount (pass-through layers)."""

    first: int
    second: int
    delta: int


def search(
    graph: Graph, seed: int = 0, attempts: int = ATTEMPTS, reserved: Reserved = NOTHING
) -> Placement:
    """Place a legal graph, trying so many shuffled orders after the promising ones.

    Kernel words and bias bytes that are ``reserved`` are left alone.

    Raises:
        UserError: a tensor is too large for data memory, the weights or biases do not fit, or no
            arrangement was found; the sentence names the layer and what to change.
    """
    problem = _Problem(graph, streaming_layers(graph), reserved)
    error: UserError | None = None
    rng = random.Random(seed)
    for order, restless in problem.orders(rng, attempts):
        spots = problem.arrange(order, rng, restless)
        if spots is None:
            continue
        try:
            places = problem.places(spots)
            return complete(
                graph, places, chw=problem.chw, fifo=problem.streaming > 0, reserved=reserved
            )
        except UserError as failure:
            error = error or failure
    if error is not None:
        raise error
    raise UserError(
        f"{problem.tightest()}; no arrangement of the data memories was found, so make tensors "
        "that live at the same time smaller (pool earlier, fewer channels)"
    )


def streaming_layers(graph: Graph) -> int:
    """Return how many of the first layers have to stream; 0 when all tensors fit as a whole.

    Raises:
        UserError: a tensor is too large for data memory and streaming does not help.
    """
    problem = _Problem(graph)
    large = problem.too_large()
    if large is None:
        return 0
    reason: UserError | None = None
    for count in range(1, len(graph.layers) + 1):
        rest = _Problem(graph, count).too_large()
        if rest is not None:
            large = large if reason else rest
            continue
        try:
            streaming.check_automatic(graph, count)
            return count
        except UserError as failure:
            reason = reason or failure
    raise UserError(problem.size_sentence(large, reason))


class _Problem:
    """The buffers of a graph, their lifetimes, and the greedy search over them.

    Args:
        graph: a legal graph.
        streaming: how many of its first layers stream.
        reserved: what another network keeps.
    """

    def __init__(self, graph: Graph, streaming: int = 0, reserved: Reserved = NOTHING) -> None:
        self.graph = graph
        self.reserved = reserved
        self.streaming = streaming
        self.chw = not streaming and _needs_chw(graph)
        self.buffers: list[_Buffer] = []
        self.members: dict[str, _Member] = {}
        self.ties: list[_Tie] = []
        for layer in graph.layers:
            if len(layer.inputs) > 1:
                self._join(layer)
        for name in (INPUT, *(layer.name for layer in graph.layers)):
            if name not in self.members:
                self._alone(name)
        self._lifetimes()
        self._loads()
        self._tie_passthrough()

    def orders(self, rng: random.Random, attempts: int) -> Iterator[tuple[list[int], float]]:
        """Yield orders of placing and how often to pick a processor at random.

        The input always comes first. The first orders put the hardest buffers early (by bytes, by
        kernel words, by time), the later ones are shuffled versions of these.
        """
        source = self.members[INPUT].buffer
        others = [i for i in range(len(self.buffers)) if i != source]
        bases = (
            sorted(others, key=lambda i: -self.buffers[i].size * self.buffers[i].span),
            sorted(others, key=lambda i: -sum(self.buffers[i].load.values())),
            sorted(others, key=lambda i: self.buffers[i].begin),
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
            words = self.buffers[index].load
            edges = (0, limits.PROCESSORS - self.buffers[index].span)
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
            out = self.members[layer.name]
            processor, offset = spots[out.buffer]
            first = self.members[layer.inputs[0]]
            result.append(
                LayerPlace(
                    processors=self._read_mask(layer, spots),
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

    def tightest(self) -> str:
        """Describe the layer during which the most data is alive."""

        def alive(index: int) -> int:
            return sum(b.size * b.span for b in self.buffers if b.begin <= index <= b.end)

        index = max(range(len(self.graph.layers)), key=alive)
        total = limits.DATA_BYTES
        return (
            f"{at(self.graph.layers[index])}{alive(index) // _SHARED} of {total} bytes of data "
            "memory are in use while it runs"
        )

    def _read_mask(self, layer: Layer, spots: dict[int, tuple[int, int]]) -> int:
        mask = 0
        for name in layer.inputs:
            member = self.members[name]
            processor = spots[member.buffer][0] + member.processor
            width = channels_per_pass(self.graph.shape(name)[0])[1]
            buffer = self.buffers[member.buffer]
            for i in range(width):
                mask |= 1 << (processor + i // buffer.group * buffer.step + i % buffer.group)
        return mask

    def _alone(self, name: str) -> None:
        channels, rows, cols = self.graph.shape(name)
        passes, per_pass = channels_per_pass(channels)
        size = rows * cols * passes * 4
        if name != INPUT and self.graph.layer(name).wide:
            size *= 4
        reader = 0 if name == INPUT else self.graph.index(name) + 1
        if reader < self.streaming:
            size = lower.rollover(self.graph, reader) * 4
        if name == INPUT and self.chw:
            size = -(-rows * cols // 4) * 4
            buffer = _Buffer(name, per_pass * _SHARED, size, 0, 0, group=1, step=_SHARED)
        elif name == INPUT and self.streaming:
            # FIFO k brings four channels to the first processors of quadrant k.
            step = limits.PROCESSORS_PER_QUADRANT
            span = (per_pass - 1) // _SHARED * step + _SHARED
            buffer = _Buffer(name, span, size, 0, 0, group=_SHARED, step=step)
        else:
            buffer = _Buffer(name, per_pass, size, 0, 0)
        self.members[name] = _Member(len(self.buffers), 0, 0, 0)
        self.buffers.append(buffer)

    def _join(self, layer: Layer) -> None:
        """Make one buffer for the inputs of a layer that joins several."""
        index = len(self.buffers)
        channels, rows, cols = layer.in_shape
        count = len(layer.inputs)
        passes, per_pass = channels_per_pass(channels)
        name = "+".join(layer.inputs)
        if any(n in self.members for n in layer.inputs):
            raise UserError(f"{at(layer)}an input is joined twice; read a copy instead")
        if interleaved(layer):
            if layer.join == "concat":
                _check_long_concat(self.graph, layer, passes, per_pass)
                size = rows * cols * passes * 4
            else:
                size = rows * cols * passes * count * 4
            for slot, source in enumerate(layer.inputs):
                self.members[source] = _Member(index, 0, slot, count - 1)
            self.buffers.append(_Buffer(name, per_pass, size, 0, 0))
            return
        position = 0
        for source in layer.inputs:
            self.members[source] = _Member(index, position, 0, 0)
            position += -(-self.graph.shape(source)[0] // _SHARED) * _SHARED
        if position > limits.PROCESSORS:
            raise UserError(
                f"{at(layer)}the concatenated parts take {position} processors, each part starting "
                f"at a multiple of 4, but there are {limits.PROCESSORS}; use fewer channels"
            )
        self.buffers.append(_Buffer(name, position, rows * cols * 4, 0, 0))

    def _lifetimes(self) -> None:
        for buffer in self.buffers:
            buffer.begin, buffer.end = len(self.graph.layers), -1
        for name, member in self.members.items():
            written = -1 if name == INPUT else self.graph.index(name)
            used = [i for i, layer in enumerate(self.graph.layers) if name in layer.inputs]
            last = max([written, *used])
            if any(o.layer == name for o in self.graph.outputs):
                last = len(self.graph.layers)
            if written < self.streaming:  # layers that stream run at the same time
                written, last = -1, max(last, self.streaming - 1)
            buffer = self.buffers[member.buffer]
            buffer.begin = min(buffer.begin, written)
            buffer.end = max(buffer.end, last)

    def _loads(self) -> None:
        for layer in self.graph.layers:
            passes, per_pass = channels_per_pass(layer.in_shape[0])
            out_passes, out_per_pass = channels_per_pass(layer.out_shape[0])
            outputs = (1 << out_per_pass) - 1
            words = kernel_words(
                layer, LayerPlace(1, outputs, 0, 0, passes, per_pass, out_passes, out_per_pass)
            )
            # The spots are not known yet: take the first processor of the buffer as 0.
            zero = dict.fromkeys(range(len(self.buffers)), (0, 0))
            mask = self._read_mask(layer, zero)
            load = self.buffers[self.members[layer.inputs[0]].buffer].load
            for p in range(mask.bit_length()):
                if mask >> p & 1:
                    load[p] = load.get(p, 0) + words

    def _tie_passthrough(self) -> None:
        for layer in self.graph.layers:
            if layer.op == "passthrough":
                source, out = self.members[layer.inputs[0]], self.members[layer.name]
                if source.buffer != out.buffer:
                    delta = source.processor - out.processor
                    self.ties.append(_Tie(source.buffer, out.buffer, delta))

    def too_large(self) -> _Buffer | None:
        """Return the first buffer that is larger than a data memory."""
        return next((buffer for buffer in self.buffers if buffer.size > _BYTES), None)

    def size_sentence(self, buffer: _Buffer, reason: UserError | None) -> str:
        """Say which tensor is too large, and why it cannot be streamed."""
        owner = buffer.name.split("+")[0]
        place = "the input" if owner == INPUT else f"{at(self.graph.layer(owner))}its output"
        why = "only the first layers can be streamed" if reason is None else str(reason)
        return (
            f"{place} takes {buffer.size} bytes in each data memory, but there are {_BYTES}; pool "
            f"earlier or use fewer channels (streaming does not help: {why})"
        )

    def _processors(self, index: int, spots: dict[int, tuple[int, int]]) -> list[int]:
        buffer = self.buffers[index]
        # A buffer may be tied to several others, and all of them must agree.
        tied = {
            spots[t.first][0] + t.delta for t in self.ties if t.second == index and t.first in spots
        }
        tied |= {
            spots[t.second][0] - t.delta
            for t in self.ties
            if t.first == index and t.second in spots
        }
        if index == self.members[INPUT].buffer:
            return [0] if tied <= {0} else []
        if tied:
            return self._valid(buffer, tied.pop()) if len(tied) == 1 else []
        return list(range(0, limits.PROCESSORS - buffer.span + 1, _SHARED))

    def _valid(self, buffer: _Buffer, processor: int) -> list[int]:
        fits = processor >= 0 and processor + buffer.span <= limits.PROCESSORS
        return [processor] if fits else []

    def _lowest_offset(
        self, index: int, processor: int, spots: dict[int, tuple[int, int]]
    ) -> int | None:
        """Return the lowest free offset, None when there is none."""
        mine = self.buffers[index]
        taken: list[tuple[int, int]] = []
        for other_index, (other_processor, offset) in spots.items():
            other = self.buffers[other_index]
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


def _needs_chw(graph: Graph) -> bool:
    """Whether the input only fits with one channel per data memory."""
    channels, rows, cols = graph.input.shape
    fits = rows * cols * channels_per_pass(channels)[0] <= limits.DATA_INSTANCE_WORDS
    readers = graph.readers(INPUT)
    alone = len(readers) == 1 and readers[0] is graph.layers[0] and readers[0].op == "conv2d"
    return not fits and alone and channels <= limits.DATA_INSTANCES


def _check_long_concat(graph: Graph, layer: Layer, passes: int, per_pass: int) -> None:
    widths = [graph.shape(name)[0] for name in layer.inputs]
    if len(widths) != passes or any(w != per_pass for w in widths[:-1]) or widths[-1] > per_pass:
        raise UserError(
            f"{at(layer)}a concatenation of {layer.in_shape[0]} channels runs in {passes} passes "
            f"of {per_pass} channels, so its parts must have {per_pass} channels each, not "
            f"{', '.join(map(str, widths))}; change the channel counts"
        )
