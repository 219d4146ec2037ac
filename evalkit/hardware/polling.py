"""Notices loops that wait for a register to change, and lets time pass for them.

Such a loop would go on reading the same value until the next event; counting its instructions one
by one would take the emulator far longer than the chip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.hardware.peripherals.base import Peripheral
from evalkit.hardware.scheduler import SECOND

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

POLL_LIMIT = 3
"""So many further reads of a status register with one result and nothing between: time jumps on.
Interrupt handlers test two or three bits one after the other without waiting for anything."""
MOVING_LIMIT = 24
"""The same with changing results: a register that counts time."""
POLL_STEP = SECOND // 100_000
POLL_STEP_MAX = SECOND // 1000
"""How far time jumps when no event is known to end the wait: 1/400 of the time waited so
far, at least 10 microseconds, at most 1 millisecond or a sixteenth of SysTick's period."""


class Polling:
    """Remembers what was read last."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._last: tuple[int, int] | None = None
        self._same = 0
        self._moving = 0
        self._start = 0  # in the processor's cycles, whose length changes only by a write

    def forget(self) -> None:
        """The program does something else than wait."""
        self._last = None

    def note(self, address: int, value: int, peripheral: Peripheral | None) -> None:
        """A register was read. One that is no peripheral's is the processor's and counts time."""
        if self._last == (address, value):
            self._same += 1
            if peripheral is None or peripheral.COUNTS_TIME:
                if self._same >= MOVING_LIMIT:
                    self._skip(peripheral, step=True)
            elif self._same >= POLL_LIMIT:
                self._skip(peripheral, step=self._same >= 1000)
            return
        moves = self._last is not None and self._last[0] == address
        self._last = (address, value)
        self._same = 0
        self._moving = self._moving + 1 if moves else 0
        if not moves:
            self._start = self._machine.cpu.cycles
        if self._moving >= MOVING_LIMIT:
            self._skip(peripheral, step=True)

    def _skip(self, peripheral: Peripheral | None, step: bool) -> None:
        """Jump to the next event, or when nothing is planned or with ``step`` by a step."""
        machine = self._machine
        times = [machine.until_time, machine.clocks.scheduler.next_time()]
        if peripheral is not None:
            times.append(peripheral.next_change())
        known = [t for t in times if t is not None]
        if step or len(known) == 1:
            waited = machine.now - machine.clocks.time_of(self._start)
            length = min(POLL_STEP_MAX, max(POLL_STEP, waited // 400))
            length = min(length, max(machine.system.systick.period // 16, POLL_STEP))
            known.append(machine.now + length)
        machine.let_pass(min(known))
