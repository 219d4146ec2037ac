"""Watchdog: an interrupt, then a reset, unless the program feeds it in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.clocks import TICK, ClockEvent
from evalkit.hardware.faults import ChipReset
from evalkit.hardware.peripherals.base import Peripheral
from synthesize.chip.fields import CLEARED_BY_0, INERT, STATUS, Field, Register

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

_CTRL = Register(
    "CTRL",
    (
        Field("int_late_val", 0, 4),
        Field("rst_late_val", 4, 4),
        Field("en", 8),
        Field("int_late", 9, write=CLEARED_BY_0),
        Field("wdt_int_en", 10),
        Field("wdt_rst_en", 11),
        Field("int_early", 12, 1, INERT),
        Field("int_early_val", 16, 4, INERT),
        Field("rst_early_val", 20, 4),
        Field("clkrdy_ie", 27, 1, INERT),
        Field("clkrdy", 28, 1, STATUS),
        Field("win_en", 29),
        Field("rst_early", 30, 1, INERT),
        Field("rst_late", 31, 1, INERT),
    ),
    1 << 28,
)
_FEED = (0xA5, 0x5A)


class Wdt(Peripheral):
    """WDT0 or WDT1 (wdt_regs.h, wdt_revb.c). Its reset restarts the chip.

    In window mode feeding too early is as bad as feeding too late. The flags that tell which of the
    two it was outlive the reset: a program reads them to learn why it starts.
    """

    COUNTS_TIME: ClassVar[bool] = True
    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: _CTRL,
        0x04: Register("RST", (Field("reset", 0, 8),)),
        0x08: Register("CLKSEL", (Field("source", 0, 3),)),
        0x0C: Register("CNT", (Field("count", 0, 32, STATUS),)),
    }

    def __init__(self, machine: Machine, name: str, base: int, irq: int) -> None:
        super().__init__(machine, name, base)
        self.irq = irq
        self._clock = machine.clocks.peripheral
        self._fed = 0
        self._last_code = 0
        self._events: list[ClockEvent] = []
        self._was_late = False

    def reset(self) -> None:
        """Stopped; the flags of a reset stay."""
        kept = self.values["CTRL"] & _CTRL.mask("rst_early", "rst_late")
        super().reset()
        self.values["CTRL"] |= kept
        self._clock = self.machine.clocks.peripheral
        self._plan()

    def _period(self, value: str) -> int:
        """Clocks that a field of CTRL stands for, in the unit of the clock's count."""
        return (1 << 31 - self.field("CTRL", value)) * TICK

    def stored_clksel(self, _old: int, _given: int) -> None:
        """Another clock; what has been counted stays."""
        source = self.values["CLKSEL"]
        clocks = {0: self.machine.clocks.peripheral, 1: self.machine.clocks.ibro}
        if source not in clocks:
            raise self.fault(0x08, f"watchdog clock source {source} is not modelled")
        passed = self._clock.count() - self._fed
        self._clock = clocks[source]
        self._fed = self._clock.count() - passed
        self._plan()

    def stored_ctrl(self, old: int, _given: int) -> None:
        """Start, stop, periods."""
        if not _CTRL.get(old, "en") and self.field("CTRL", "en"):
            self._fed = self._clock.count()
        self._plan()
        self._update_irq()

    def stored_rst(self, _old: int, given: int) -> None:
        """Feeding takes two codes in order."""
        if (self._last_code, given) == _FEED:
            self._check_early()
            # What is planned comes too early now, sees that and plans itself again: programs feed
            # their watchdog a hundred times before it would bite once.
            self._fed = self._clock.count()
            if self._was_late:
                self._plan()
        self._last_code = given

    def _check_early(self) -> None:
        if not all(self.field("CTRL", name) for name in ("en", "wdt_rst_en", "win_en")):
            return
        if self._clock.count() - self._fed < self._period("rst_early_val"):
            raise self._reset_chip("rst_early", "was fed too early")

    def _plan(self) -> None:
        for event in self._events:
            event.cancel()
        self._events = []
        self._was_late = False
        if not self.field("CTRL", "en"):
            return
        if self.field("CTRL", "wdt_int_en"):
            end = self._fed + self._period("int_late_val")
            if end > self._clock.count():
                self._events.append(self._clock.at(end, self._late))
        if self.field("CTRL", "wdt_rst_en"):
            end = self._fed + self._period("rst_late_val")
            self._events.append(self._clock.at(end, self._expire))

    def _was_fed(self, period: str) -> bool:
        """Whether something planned comes too early; then it is planned again."""
        if self._clock.count() >= self._fed + self._period(period):
            return False
        self._plan()
        return True

    def _late(self) -> None:
        if self._was_fed("int_late_val"):
            return
        self._was_late = True
        self.set_field("CTRL", "int_late", 1)
        self._update_irq()

    def _expire(self) -> None:
        if self._was_fed("rst_late_val"):
            return
        raise self._reset_chip("rst_late", "was not fed in time")

    def _reset_chip(self, flag: str, why: str) -> ChipReset:
        self.set_field("CTRL", flag, 1)
        message = f"{self.describe(0)}: the watchdog {why} and resets the chip"
        return ChipReset("watchdog", message, self.base)

    def _update_irq(self) -> None:
        late = self.field("CTRL", "int_late") and self.field("CTRL", "wdt_int_en")
        self.machine.nvic.set_line(self.irq, bool(late))
