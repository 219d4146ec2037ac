"""Watchdog: an interrupt, then a reset, unless the program feeds it in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.faults import ChipReset
from evalkit.hardware.peripherals.base import Peripheral
from evalkit.hardware.peripherals.gcr import IBRO_HZ
from evalkit.hardware.scheduler import SECOND, Event
from synthesize.chip.registers import INERT, STATUS, Field, Register

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

_ENABLE = 1 << 8
_INT_LATE = 1 << 9
_INT_ENABLE = 1 << 10
_RESET_ENABLE = 1 << 11
_WINDOW = 1 << 29
_RESET_EARLY = 1 << 30
_RESET_LATE = 1 << 31


class Wdt(Peripheral):
    """WDT0 or WDT1 (wdt_regs.h, wdt_revb.c). Its reset restarts the chip.

    In window mode feeding too early is as bad as feeding too late. The flags that tell which of the
    two it was outlive the reset: a program reads them to learn why it starts.
    """

    COUNTS_TIME: ClassVar[bool] = True
    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: Register(
            "CTRL",
            (
                Field("int_late_val", 0, 4),
                Field("rst_late_val", 4, 4),
                Field("en", 8),
                Field("int_late", 9),
                Field("wdt_int_en", 10),
                Field("wdt_rst_en", 11),
                Field("int_early", 12, 1, INERT),
                Field("int_early_val", 16, 4, INERT),
                Field("rst_early_val", 20, 4, INERT),
                Field("clkrdy_ie", 27, 1, INERT),
                Field("clkrdy", 28, 1, STATUS),
                Field("win_en", 29),
                Field("rst_early", 30, 1, INERT),
                Field("rst_late", 31, 1, INERT),
            ),
            1 << 28,
        ),
        0x04: Register("RST", (Field("reset", 0, 8),)),
        0x08: Register("CLKSEL", (Field("source", 0, 3),)),
        0x0C: Register("CNT", (Field("count", 0, 32, STATUS),)),
    }

    def __init__(self, machine: Machine, name: str, base: int, irq: int) -> None:
        super().__init__(machine, name, base)
        self.irq = irq
        self._fed = 0
        self._last_code = 0
        self._events: list[Event] = []

    def reset(self) -> None:
        """Stopped; the flags of a reset stay."""
        flags = self.values["CTRL"] & (_RESET_EARLY | _RESET_LATE)
        super().reset()
        self.values["CTRL"] |= flags
        self._plan()

    def _period(self, value: int) -> int:
        """Picoseconds of 2**(31 - value) clocks."""
        source = self.values["CLKSEL"]
        if source not in (0, 1):
            raise self.fault(0x08, f"watchdog clock source {source} is not modelled")
        frequency = self.machine.cpu_hz // 2 if source == 0 else IBRO_HZ
        return (SECOND << 31 - value) // frequency

    def write_ctrl(self, value: int) -> None:
        """Start, stop, periods; the interrupt flag is cleared by writing 0."""
        old = self.values["CTRL"]
        self.values["CTRL"] = value & ~_INT_LATE | (old & value & _INT_LATE)
        if not old & _ENABLE and value & _ENABLE:
            self._fed = self.machine.now
        self._plan()
        self._update_irq()

    def write_rst(self, value: int) -> None:
        """Feeding takes 0xA5, then 0x5A."""
        if self._last_code == 0xA5 and value == 0x5A:
            self._check_early()
            self._fed = self.machine.now
            self._plan()
        self._last_code = value

    def _check_early(self) -> None:
        control = self.values["CTRL"]
        wanted = _ENABLE | _RESET_ENABLE | _WINDOW
        if control & wanted != wanted:
            return
        if self.machine.now - self._fed < self._period(control >> 20 & 0xF):
            raise self._reset_chip(_RESET_EARLY, "was fed too early")

    def _plan(self) -> None:
        for event in self._events:
            event.cancel()
        self._events = []
        control = self.values["CTRL"]
        if not control & _ENABLE:
            return
        passed = self.machine.now - self._fed
        if control & _INT_ENABLE:
            delay = self._period(control & 0xF) - passed
            if delay > 0:
                self._events.append(self.machine.schedule(delay, self._late))
        if control & _RESET_ENABLE:
            delay = self._period(control >> 4 & 0xF) - passed
            self._events.append(self.machine.schedule(delay, self._expire))

    def _late(self) -> None:
        self.values["CTRL"] |= _INT_LATE
        self._update_irq()

    def _expire(self) -> None:
        raise self._reset_chip(_RESET_LATE, "was not fed in time")

    def _reset_chip(self, flag: int, why: str) -> ChipReset:
        self.values["CTRL"] |= flag
        message = f"{self.describe(0)}: the watchdog {why} and resets the chip"
        return ChipReset("watchdog", message, self.base)

    def _update_irq(self) -> None:
        control = self.values["CTRL"]
        self.machine.nvic.set_line(self.irq, bool(control & _INT_LATE and control & _INT_ENABLE))
