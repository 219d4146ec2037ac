"""The CNN accelerator on the microcontroller's bus: its clock, its power, its interrupt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evalkit.hardware.clocks import TICK, ClockEvent
from evalkit.hardware.cnn import Cnn, KitFault
from evalkit.hardware.scheduler import SECOND
from synthesize.chip import limits, memory_map

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

CNN_IRQ = 101
"""External interrupt number (max78000.h)."""

BASE = memory_map.CNN_BASE
SIZE = memory_map.CNN_END - memory_map.CNN_BASE

_QUADRANT_MASK = memory_map.QUADRANT_STRIDE - 1
_FIRST_QUADRANT = memory_map.QUADRANT_BASE - BASE
_INSTANCE_BYTES = memory_map.DATA_STRIDE
_FIRST_WORDS = {
    (memory_map.instance_address(instance, 0) - BASE) // _INSTANCE_BYTES: instance
    * limits.DATA_INSTANCE_WORDS
    for instance in range(limits.DATA_INSTANCES)
}
"""Number of the first word of each data memory instance, by its place on the bus."""


class Accelerator:
    """Connects a ``Cnn`` to the bus.

    Stores to consecutive words of weight or data memory are collected and handed over as one
    block, because one call into the model for each of 100,000 words would take a second. They
    are handed over before anything else is done with the accelerator, so that nothing can tell;
    only a fault is reported late, and then with the program counter of the first of the stores.

    Attributes:
        cnn: the model.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._cpu = machine.cpu
        self._clock = machine.clocks.cnn
        self._event: ClockEvent | None = None
        self._power_up(Cnn())
        self._apply_power()

    def _power_up(self, cnn: Cnn) -> None:
        """Connect a fresh model."""
        self.cnn = cnn
        self._next = -1
        self._block_start = 0
        self._block_pc = 0
        self._block: list[int] = []
        self._synced = self._clock.count()
        self._readable = False
        self._started = 0
        self._first_cycle = self._last_cycle = 0
        self._first_read_cycle = self._last_read_cycle = 0
        data = cnn.memories.data
        self._words = data.bytes.reshape(-1).data.cast("B").cast("I")
        self._known = data.known.reshape(-1).data.cast("B").cast("I")

    # ---- bus -----------------------------------------------------------------------------------

    def write(self, offset: int, size: int, value: int) -> None:
        """Bus write at an offset from BASE."""
        if offset == self._next and size == 4:
            self._block.append(value)
            self._next = offset + 4
            self._last_cycle = self._cpu.cycles
            return
        self.machine.polling.forget()
        self.flush()
        self._check_usable(offset)
        inner = offset - _FIRST_QUADRANT & _QUADRANT_MASK
        if size == 4 and offset >= _FIRST_QUADRANT and inner >= memory_map.WEIGHT_OFFSET:
            self._readable = False
            self._block_start, self._next = offset, offset + 4
            self._block.append(value)
            self._block_pc = self.machine.program_counter()
            self._first_cycle = self._last_cycle = self._cpu.cycles
            return
        self.sync()
        self._readable = False
        was_running = self.cnn.running
        self.cnn.write(BASE + offset, size, value)
        if self.cnn.running and not was_running:
            self._started = self.machine.now
        self._note(offset, written=True)
        self._plan()

    def read(self, offset: int, size: int) -> int:
        """Bus read at an offset from BASE."""
        first = _FIRST_WORDS.get(offset // _INSTANCE_BYTES)
        if first is not None and self._readable:
            index = first + offset % _INSTANCE_BYTES // 4
            if self._known[index]:
                self._last_read_cycle = self._cpu.cycles
                if size == 4 and not offset & 3:
                    return self._words[index]
                return self._words[index] >> 8 * (offset & 3) & (1 << 8 * size) - 1
        self.flush()
        self._check_usable(offset)
        self.sync()
        if first is None:
            return self.cnn.read(BASE + offset, size)
        value = self._read_data(offset, size)
        if not self.cnn.running:
            self._readable = True
            self._first_read_cycle = self._last_read_cycle = self._cpu.cycles
        return value

    def _read_data(self, offset: int, size: int) -> int:
        """Data memory may be read by bytes; the model only knows words."""
        word = self.cnn.read(BASE + (offset & ~3), 4)
        return word >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def flush(self) -> None:
        """Hand collected stores over."""
        if self._last_read_cycle:
            self._note_span("unload", self._first_read_cycle, self._last_read_cycle)
            self._last_read_cycle = 0
        if self._next < 0:
            return
        inner = self._block_start - _FIRST_QUADRANT & _QUADRANT_MASK
        kind = "load data" if inner >= memory_map.DATA_OFFSET else "load weights"
        self._note_span(kind, self._first_cycle, self._last_cycle)
        block, self._block, self._next = self._block, [], -1
        try:
            self.cnn.write_block(BASE + self._block_start, np.array(block, np.uint32))
        except KitFault as fault:
            fault.pc = self._block_pc
            raise

    def _note(self, offset: int, written: bool) -> None:
        place = memory_map.locate(BASE + offset)
        kind = place.kind if place is not None else "register"
        names = {"bias": "load biases", "weight": "load weights", "data": "load data"}
        cycle = self._cpu.cycles
        self._note_span(names.get(kind, "registers") if written else "read", cycle, cycle)

    def _note_span(self, name: str, first: int, last: int) -> None:
        machine = self.machine
        machine.recorder.add(
            "bus", name, machine.clocks.time_of(first), machine.clocks.time_of(last)
        )

    def _note_run(self) -> None:
        """Rows of the timeline for a completed run."""
        recorder, frequency = self.machine.recorder, self._clock.frequency
        cycles = self.cnn.layer_cycles
        end = self.machine.now
        recorder.add("accelerator", f"run {self.cnn.inferences}", self._started, end)
        at = end - sum(c for _, c in cycles) * SECOND // frequency
        for layer, count in cycles:
            recorder.add("layers", f"layer {layer}", at, at + count * SECOND // frequency)
            at += count * SECOND // frequency

    def _check_usable(self, offset: int) -> None:
        """The always-on block and the FIFOs need the clock; a quadrant needs its power as well."""
        reason = self.machine.gcr.gated("cnn")
        if reason:
            raise KitFault(f"the accelerator is accessed while {reason}", BASE + offset)
        if offset >= _FIRST_QUADRANT:
            quadrant = (offset - _FIRST_QUADRANT) // memory_map.QUADRANT_STRIDE
            reason = self.machine.gcfr.unusable(quadrant)
            if reason:
                raise KitFault(f"quadrant {quadrant} is accessed while {reason}", BASE + offset)

    # ---- time ----------------------------------------------------------------------------------

    def sync(self) -> None:
        """Let the accelerator catch up with the processor."""
        if not self.cnn.running:
            self._synced = self._clock.count()
            return
        cycles = self._clock.ticks_since(self._synced)
        self._synced += cycles * TICK
        if cycles:
            self.cnn.advance(cycles)
            if not self.cnn.running:
                self._note_run()
        self._update_irq()

    def _plan(self) -> None:
        if self._event is not None:
            self._event.cancel()
            self._event = None
        self._update_irq()
        if self.cnn.running and self.cnn.busy_cycles > 0:
            end = self._synced + self.cnn.busy_cycles * TICK
            self._event = self._clock.at(end, self._due)

    def _due(self) -> None:
        self._event = None
        self.flush()
        self.sync()

    def _update_irq(self) -> None:
        self.machine.nvic.set_line(CNN_IRQ, self.cnn.interrupt_pending)

    def power_changed(self) -> None:
        """Quadrants without power or in reset forget everything; those isolated cannot be used."""
        self.flush()
        self.sync()
        if not any(self.machine.gcfr.supplied(q) for q in range(limits.QUADRANTS)):
            self.power_cycled()
        self._readable = False
        self._apply_power()

    def _apply_power(self) -> None:
        gcfr = self.machine.gcfr
        for quadrant in range(limits.QUADRANTS):
            self.cnn.set_power(
                quadrant,
                gcfr.unusable(quadrant),
                gcfr.supplied(quadrant),
                gcfr.keeps_memory(quadrant),
            )

    def power_cycled(self) -> None:
        """Contents and registers of all quadrants are lost."""
        self.flush()
        if self._event is not None:
            self._event.cancel()
            self._event = None
        self._power_up(Cnn(self.cnn.observer))
        self._apply_power()
        self._update_irq()
