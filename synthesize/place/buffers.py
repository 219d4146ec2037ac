"""The buffers of a graph in data memory: how wide and long they are, and when they live.

A tensor read alone is a buffer of its own; the operands of an element-wise layer and the parts of a
concatenation share one, interleaved word by word or side by side. A buffer lives from the first
layer that writes it to the last that reads it. What the layers read from it decides the kernel
words that lie in its processors.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from common.errors import UserError
from synthesize.chip import limits
from synthesize.graph.hardware import (
    as_run,
    channels_per_pass,
    interleaved,
    pixels_before,
    rollover,
)
from synthesize.graph.ir import INPUT, Graph, Layer, at
from synthesize.place.memories import kernel_words
from synthesize.place.placement import LayerPlace

_SHARED = limits.PROCESSORS_PER_INSTANCE
_BYTES = limits.DATA_INSTANCE_BYTES


@dataclass
class Buffer:
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
class Member:
    """Where a tensor lies within its buffer."""

    buffer: int
    processor: int
    word: int
    gap: int


@dataclass(frozen=True)
class Tie:
    """Two buffers whose first processors differ by a fixed amount (pass-through layers)."""

    first: int
    second: int
    delta: int


class Buffers:
    """The buffers of a graph, what lies where in them, and which of them are tied.

    Args:
        graph: a legal graph.
        streaming: how many of its first layers stream.
    """

    def __init__(self, graph: Graph, streaming: int = 0) -> None:
        self.graph = graph
        self.streaming = streaming
        self.chw = not streaming and _needs_chw(graph)
        self.listed: list[Buffer] = []
        self.members: dict[str, Member] = {}
        self.ties: list[Tie] = []
        for layer in graph.layers:
            if len(layer.inputs) > 1:
                self._join(layer)
        for name in (INPUT, *(layer.name for layer in graph.layers)):
            if name not in self.members:
                self._alone(name)
        self._read_beyond()
        self._lifetimes()
        self._loads()
        self._tie_passthrough()

    def too_large(self) -> Buffer | None:
        """Return the first buffer that is larger than a data memory."""
        return next((buffer for buffer in self.listed if buffer.size > _BYTES), None)

    def size_sentence(self, buffer: Buffer, reason: UserError | None) -> str:
        """Say which tensor is too large, and why it cannot be streamed."""
        owner = buffer.name.split("+")[0]
        place = "the input" if owner == INPUT else f"{at(self.graph.layer(owner))}its output"
        why = "only the first layers can be streamed" if reason is None else str(reason)
        return (
            f"{place} takes {buffer.size} bytes in each data memory, but there are {_BYTES}; pool "
            f"earlier or use fewer channels (streaming does not help: {why})"
        )

    def tightest(self) -> str:
        """Describe the layer during which the most data is alive."""

        def alive(index: int) -> int:
            return sum(b.size * b.span for b in self.listed if b.begin <= index <= b.end)

        index = max(range(len(self.graph.layers)), key=alive)
        total = limits.DATA_BYTES
        return (
            f"{at(self.graph.layers[index])}{alive(index) // _SHARED} of {total} bytes of data "
            "memory are in use while it runs"
        )

    def read_mask(self, layer: Layer, spots: dict[int, tuple[int, int]]) -> int:
        """Return the mask of the processors that read a layer's input, for chosen spots."""
        mask = 0
        for name in layer.inputs:
            member = self.members[name]
            processor = spots[member.buffer][0] + member.processor
            width = channels_per_pass(self.graph.shape(name)[0])[1]
            buffer = self.listed[member.buffer]
            for i in range(width):
                mask |= 1 << (processor + i // buffer.group * buffer.step + i % buffer.group)
        return mask

    def _alone(self, name: str) -> None:
        channels, rows, cols = self.graph.shape(name)
        passes, per_pass = channels_per_pass(channels)
        before = 0
        if name != INPUT:
            layer = self.graph.layer(name)
            _, rows, cols = as_run(layer).out_shape
            passes *= 4 if layer.wide else 1  # words per pixel
            before = pixels_before(layer) * passes
        size = rows * cols * passes * 4
        reader = 0 if name == INPUT else self.graph.index(name) + 1
        if reader < self.streaming:
            size = rollover(self.graph, reader) * 4
        if name == INPUT and self.chw:
            size = -(-rows * cols // 4) * 4
            buffer = Buffer(name, per_pass * _SHARED, size, 0, 0, group=1, step=_SHARED)
        elif name == INPUT and self.streaming:
            # FIFO k brings four channels to the first processors of quadrant k.
            step = limits.PROCESSORS_PER_QUADRANT
            span = (per_pass - 1) // _SHARED * step + _SHARED
            buffer = Buffer(name, span, size, 0, 0, group=_SHARED, step=step)
        else:
            buffer = Buffer(name, per_pass, size, 0, 0)
        self.members[name] = Member(len(self.listed), 0, before, 0)
        self.listed.append(buffer)

    def _read_beyond(self) -> None:
        """Make room where a layer reads more than its input: up to whole rows."""
        for layer in self.graph.layers:
            if layer.dilation > 1:
                channels, rows, cols = as_run(layer).in_shape
                member = self.members[layer.inputs[0]]
                words = member.word + rows * cols * channels_per_pass(channels)[0]
                buffer = self.listed[member.buffer]
                buffer.size = max(buffer.size, 4 * words)

    def _join(self, layer: Layer) -> None:
        """Make one buffer for the inputs of a layer that joins several."""
        index = len(self.listed)
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
                self.members[source] = Member(index, 0, slot, count - 1)
            self.listed.append(Buffer(name, per_pass, size, 0, 0))
            return
        position = 0
        for source in layer.inputs:
            self.members[source] = Member(index, position, 0, 0)
            position += -(-self.graph.shape(source)[0] // _SHARED) * _SHARED
        if position > limits.PROCESSORS:
            raise UserError(
                f"{at(layer)}the concatenated parts take {position} processors, each part starting "
                f"at a multiple of 4, but there are {limits.PROCESSORS}; use fewer channels"
            )
        self.listed.append(Buffer(name, position, rows * cols * 4, 0, 0))

    def _lifetimes(self) -> None:
        for buffer in self.listed:
            buffer.begin, buffer.end = len(self.graph.layers), -1
        for name, member in self.members.items():
            written = -1 if name == INPUT else self.graph.index(name)
            used = [i for i, layer in enumerate(self.graph.layers) if name in layer.inputs]
            last = max([written, *used])
            if any(o.layer == name for o in self.graph.outputs):
                last = len(self.graph.layers)
            if written < self.streaming:  # layers that stream run at the same time
                written, last = -1, max(last, self.streaming - 1)
            buffer = self.listed[member.buffer]
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
            zero = dict.fromkeys(range(len(self.listed)), (0, 0))
            mask = self.read_mask(layer, zero)
            load = self.listed[self.members[layer.inputs[0]].buffer].load
            for p in range(mask.bit_length()):
                if mask >> p & 1:
                    load[p] = load.get(p, 0) + words

    def _tie_passthrough(self) -> None:
        for layer in self.graph.layers:
            if layer.op == "passthrough":
                source, out = self.members[layer.inputs[0]], self.members[layer.name]
                if source.buffer != out.buffer:
                    delta = source.processor - out.processor
                    self.ties.append(Tie(source.buffer, out.buffer, delta))


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
