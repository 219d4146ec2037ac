"""Starting, stopping and sequencing: from the start bit to the interrupt request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evalkit.hardware.cnn.decode import Decoder
from evalkit.hardware.cnn.memory import DataMemory
from evalkit.hardware.cnn.plan import Layer, Target
from evalkit.hardware.cnn.threads import single_threaded
from evalkit.hardware.faults import KitFault
from synthesize.chip import limits, memory_map, registers
from synthesize.chip.cycles import STARTUP_CYCLES, layer_cycles
from synthesize.chip.registers import CTRL

if TYPE_CHECKING:
    from evalkit.hardware.cnn.device import Cnn

Words = NDArray[np.uint32]

_FOLLOW = 4
"""CTRL.ext_sync bit 2: start with the quadrant that bits 1..0 name."""


def _leader_of(quadrant: int, sync: int) -> int:
    """The quadrant with which a quadrant starts; one that follows itself leads."""
    return sync & 3 if sync & _FOLLOW else quadrant


class Fifos:
    """Words that have arrived for the current input frame, per FIFO."""

    def __init__(self) -> None:
        self.words: list[list[int]] = [[] for _ in memory_map.FIFO_WRITE]

    def push(self, number: int, value: int) -> None:
        """One word arrives at FIFO ``number``."""
        self.words[number].append(value)

    def complete(self, enabled: int, frame: int) -> bool:
        """Whether every enabled FIFO has delivered ``frame`` words."""
        return all(len(w) >= frame for n, w in enumerate(self.words) if enabled >> n & 1)

    def take(self, frame: int) -> dict[int, Words]:
        """Remove one frame; words by FIFO."""
        taken = {n: np.array(w[:frame], np.uint32) for n, w in enumerate(self.words) if w}
        self.words = [w[frame:] for w in self.words]
        return taken


class Runner:
    """Start, stop, layer sequence and completion."""

    def __init__(self, cnn: Cnn) -> None:
        self.cnn = cnn
        self._decoder = Decoder()
        self.running = False
        self.waiting = False
        """Started, but input is still missing from the FIFOs."""
        self.paused = False
        self.quadrants: tuple[int, ...] = ()
        self.next_layer = 0
        self.elapsed = 0

    def write_control(self, quadrant: int, address: int, value: int) -> None:
        """A write to CTRL; the rising edge of cnn_en of a quadrant that leads is a start."""
        cnn = self.cnn
        enabled = CTRL.get(cnn.register(address), "cnn_en")
        cnn.registers[address] = value
        now = CTRL.get(value, "cnn_en")
        follows = _leader_of(quadrant, CTRL.get(value, "ext_sync")) != quadrant
        if enabled == now:
            return
        if not now:
            # A quadrant that follows only stops with its leader.
            if self.running and quadrant == self.quadrants[0]:
                self.paused = True
            return
        if follows:
            return
        if self.running and self.paused:
            self.paused = False
            return
        if self.running:
            raise KitFault.at(address, "is started while the accelerator runs", "cnn_en")
        self._start(quadrant, address)

    def _start(self, leader: int, address: int) -> None:
        cnn = self.cnn
        self.quadrants = (leader, *(q for q in range(limits.QUADRANTS) if self._follows(q, leader)))
        for quadrant in self.quadrants:
            if cnn.blocked[quadrant]:
                raise KitFault.at(
                    registers.global_address(quadrant, CTRL),
                    f"quadrant {quadrant} is started while {cnn.blocked[quadrant]}",
                    "cnn_en",
                )
            if not cnn.control(quadrant, "clk_en"):
                raise KitFault.at(
                    registers.global_address(quadrant, CTRL),
                    f"quadrant {quadrant} is started without its clock",
                    "clk_en",
                )
        if not cnn.control(leader, "oneshot"):
            self.next_layer = 0
        self.running = True
        self.paused = False
        self.elapsed = 0
        cnn.layer_cycles = []
        self.waiting = self._takes_fifo()
        if self.waiting:
            self.input_arrived(
                registers.FIFO_CTRL.get(cnn.register(memory_map.FIFO_CTRL), "fifo_en")
            )
        else:
            self._compute(None)

    def _follows(self, quadrant: int, leader: int) -> bool:
        if quadrant == leader or not self.cnn.control(quadrant, "cnn_en"):
            return False
        return _leader_of(quadrant, self.cnn.control(quadrant, "ext_sync")) == leader

    def _takes_fifo(self) -> bool:
        """Only layer 0 takes FIFO input."""
        return bool(self.cnn.control(self.quadrants[0], "fifo_en")) and self.next_layer == 0

    def input_arrived(self, enabled: int) -> None:
        """A FIFO word came, or a run that needs some has started."""
        if not (self.running and self.waiting):
            return
        if not enabled:
            raise KitFault.at(memory_map.FIFO_CTRL, "no FIFO is enabled for FIFO input", "fifo_en")
        address = registers.global_address(self.quadrants[0], registers.IFRM)
        frame = registers.IFRM.get(self.cnn.register(address), "ifrm")
        if not frame:
            raise KitFault.at(address, "the input frame has no words", "ifrm")
        if self.cnn.fifos.complete(enabled, frame):
            self.waiting = False
            self._compute(self.cnn.fifos.take(frame))

    def _last_layer(self) -> int:
        values = {
            q: self.cnn.register(registers.global_address(q, registers.LCNT_MAX))
            for q in self.quadrants
        }
        last = values[self.quadrants[0]]
        for quadrant, value in values.items():
            if value != last:
                raise KitFault.at(
                    registers.global_address(quadrant, registers.LCNT_MAX),
                    f"{value} differs from {last} in quadrant {self.quadrants[0]}",
                    "lcnt",
                )
        return registers.LCNT_MAX.get(last, "lcnt")

    @single_threaded
    def _compute(self, fifo: dict[int, Words] | None) -> None:
        """Compute all layers (one in one-shot mode) and set the time they take."""
        cnn = self.cnn
        leader = self.quadrants[0]
        stream = bool(cnn.control(leader, "stream_en"))
        last = self._last_layer()
        oneshot = bool(cnn.control(leader, "oneshot"))
        end = self.next_layer if oneshot else last
        if self.next_layer == 0:
            cnn.memories.data.begin_run()
        sequence = _Sequence(cnn, fifo, bool(cnn.control(leader, "poolrnd")))
        for number in range(self.next_layer, end + 1):
            layer = self._decoder.decode(cnn.registers, number, self.quadrants, stream)
            self._check_clocks(layer)
            sequence.run(layer, number == end)
            cnn.layer_cycles.append((number, layer_cycles(layer.geometry())))
        self.next_layer = 0 if end == last else end + 1
        total = STARTUP_CYCLES + sum(c for _, c in cnn.layer_cycles)
        cnn.busy_cycles = max(total - self.elapsed, 1)

    def _check_clocks(self, layer: Layer) -> None:
        """Outputs must land in quadrants whose memories have power and clock."""
        for source, target in layer.targets.items():
            channels = min(layer.outputs, layer.per_expansion)
            width = layer.time_slots if layer.masks is None else -(-channels // 4)
            for quadrant in _quadrants_written(target, width):
                blocked = self.cnn.blocked[quadrant]
                if blocked or not self.cnn.control(quadrant, "clk_en"):
                    reason = f"while {blocked}" if blocked else "whose clock is off"
                    raise KitFault.in_layer(
                        layer.number,
                        source,
                        registers.WPTR_BASE,
                        f"output goes to quadrant {quadrant}, {reason}",
                        "instance",
                    )

    def advance(self, cycles: int) -> None:
        """Let CNN clock cycles pass."""
        if not self.running or self.paused:
            return
        self.elapsed += cycles
        if self.waiting:
            return
        self.cnn.busy_cycles = max(self.cnn.busy_cycles - cycles, 0)
        if self.cnn.busy_cycles == 0:
            self._complete()

    def finish(self) -> int:
        """Complete the run; returns the cycles that took, 0 if there is none."""
        if not self.running:
            return 0
        leader = registers.global_address(self.quadrants[0], CTRL)
        if self.waiting:
            raise KitFault.at(leader, "the run waits for input that did not come", "fifo_en")
        if self.paused:
            raise KitFault.at(leader, "the run was stopped and not continued", "cnn_en")
        cycles = self.cnn.busy_cycles
        self.advance(cycles)
        return cycles

    def _complete(self) -> None:
        self.running = False
        self.cnn.inferences += 1
        for quadrant in self.quadrants:
            self.cnn.set_control(quadrant, "cnn_irq", 1)


def _quadrants_written(target: Target, width: int) -> list[int]:
    """Quadrants of ``width`` instances that outputs go to; those beyond the last are its own."""
    instances = (target.instance + n * target.instance_step for n in range(width))
    per_quadrant = limits.DATA_INSTANCES // limits.QUADRANTS
    return sorted({min(i, limits.DATA_INSTANCES - 1) // per_quadrant for i in instances})


class _Sequence:
    """Carries data from layer to layer, through line buffers where layers stream."""

    def __init__(self, cnn: Cnn, fifo: dict[int, Words] | None, round_average: bool) -> None:
        self.cnn = cnn
        self.fifo = fifo
        self.round_average = round_average
        self.stream: DataMemory | None = None
        """Where the next layer finds streamed input, or None if it is in data memory."""
        self.buffers: list[Layer] = []

    def run(self, layer: Layer, is_last: bool) -> None:
        """One layer."""
        memory = self.cnn.memories.data
        source = self._source(layer)
        streams_on = layer.streaming and not is_last and self._next_streams(layer)
        target = _line_memory(layer) if streams_on else memory
        result = self.cnn.engine.run(layer, source, target, self.round_average)
        if layer.streaming:
            self.buffers.append(layer)
        if not streams_on:
            self._end_stream()
        self.stream = target if streams_on else None
        if self.cnn.observer is not None:
            self.cnn.observer(layer, result)

    def _next_streams(self, layer: Layer) -> bool:
        number = layer.number + 1
        if number >= limits.MAX_STREAM_LAYERS:
            return False
        address = registers.layer_address(layer.quadrants[0], number, registers.FBUF)
        return self.cnn.register(address) > 0

    def _source(self, layer: Layer) -> DataMemory:
        memory = self.cnn.memories.data
        if layer.number == 0 and self.fifo is not None:
            return self._fifo_input(layer)
        if layer.streaming and self.stream is None:
            raise KitFault.in_layer(
                layer.number,
                layer.quadrants[0],
                registers.FBUF,
                "the layer streams but neither the FIFOs nor the layer before feed it",
                "fbuf_max",
            )
        return self.stream if layer.streaming and self.stream is not None else memory

    def _fifo_input(self, layer: Layer) -> DataMemory:
        """FIFO words as the memory that the first layer reads."""
        assert self.fifo is not None
        target = DataMemory(_capacity(layer)) if layer.streaming else self.cnn.memories.data
        for quadrant, words in self.fifo.items():
            if quadrant not in layer.quadrants:
                raise KitFault.at(
                    memory_map.FIFO_WRITE[quadrant],
                    f"input for quadrant {quadrant}, which does not take part",
                )
            start = layer.read_word[quadrant]
            if len(words) < layer.input_words:
                raise KitFault.at(
                    registers.global_address(layer.quadrants[0], registers.IFRM),
                    f"{len(words)} words are fewer than the {layer.input_words} that layer 0 reads",
                    "ifrm",
                )
            if start + len(words) > target.capacity:
                raise KitFault.in_layer(
                    0,
                    quadrant,
                    registers.RPTR_BASE,
                    f"{len(words)} FIFO words from word {start} run over the data memory",
                    "rptr_base",
                )
            instance = quadrant * (limits.DATA_INSTANCES // limits.QUADRANTS)
            target.write_words(instance, start, words)
        return target

    def _end_stream(self) -> None:
        """What the circular buffers held at the end is not defined."""
        memory = self.cnn.memories.data
        last = self.buffers[-1] if self.buffers else None
        for layer in self.buffers:
            for processor in layer.processors:
                start = layer.read_word[processor // limits.PROCESSORS_PER_QUADRANT]
                instance = processor // limits.PROCESSORS_PER_INSTANCE
                end = start + layer.stream_words
                if end > memory.capacity:
                    raise KitFault.in_layer(
                        layer.number,
                        layer.quadrants[0],
                        registers.FBUF,
                        f"the buffer ends at word {end} of a data memory instance",
                        "fbuf_max",
                    )
                if last is not None and self._written_by(last, instance, start, end):
                    raise KitFault.in_layer(
                        last.number,
                        last.quadrants[0],
                        registers.WPTR_BASE,
                        f"output overwrites the stream buffer of layer {layer.number} (data"
                        f" memory {instance}, words {start} to {end - 1})",
                        "word",
                    )
                memory.known[instance, start:end] = False
        self.buffers = []

    @staticmethod
    def _written_by(layer: Layer, instance: int, start: int, end: int) -> bool:
        where = layer.targets[layer.quadrants[0]]
        groups = -(-min(layer.outputs, layer.per_expansion) // limits.PROCESSORS_PER_INSTANCE)
        if not any(where.instance + g * where.instance_step == instance for g in range(groups)):
            return False
        pixels = layer.output_size[0] * layer.output_size[1]
        return where.word < end and start < where.word + pixels * where.step


def _capacity(layer: Layer) -> int:
    """Words a line buffer needs to hold a whole input frame, wherever it starts."""
    return limits.DATA_INSTANCE_WORDS + layer.input_words


def _line_memory(layer: Layer) -> DataMemory:
    """Room for all outputs of a layer whose successor streams."""
    pixels = layer.output_size[0] * layer.output_size[1]
    step = max(t.step for t in layer.targets.values())
    return DataMemory(limits.DATA_INSTANCE_WORDS + pixels * step)
