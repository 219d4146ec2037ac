"""Wake-up timer: counts the 32.768 kHz oscillator, also while the chip sleeps deeply."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.peripherals.base import Peripheral, whole
from evalkit.hardware.peripherals.gcr import OSCILLATOR_HZ
from evalkit.hardware.scheduler import SECOND, Event
from synthesize.chip.fields import CLEARED_BY_1, INERT, UNMODELLED, Field, Register

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

IRQ = 53
"""max78000.h."""
ONE_SHOT, CONTINUOUS, COMPARE = 0, 1, 5
_CLOCK_HZ = OSCILLATOR_HZ[6]
_CTRL = 0x10


class Wut(Peripheral):
    """WUT (wut_regs.h, wut_reva.c) in one-shot, continuous or compare mode.

    The counter goes up to the compare value. There the flag is set, which is the interrupt
    request; one-shot stops, continuous goes on, both from 1; compare mode counts on.
    """

    COUNTS_TIME: ClassVar[bool] = True
    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: whole("CNT"),
        0x04: whole("CMP"),
        0x08: whole("PWM", kind=UNMODELLED),
        0x0C: Register("INTR", (Field("irq", 0, write=CLEARED_BY_1),)),
        _CTRL: Register(
            "CTRL",
            (
                Field("tmode", 0, 3),
                Field("pres", 3, 3),
                Field("tpol", 6, 1, INERT),
                Field("ten", 7),
                Field("pres3", 8),
                Field("pwm", 9, 4, UNMODELLED),
            ),
        ),
        0x14: whole("NOLCMP", kind=UNMODELLED),
        0x18: whole("PRESET", kind=UNMODELLED),
        0x1C: whole("RELOAD", kind=UNMODELLED),
        0x20: whole("SNAPSHOT", kind=UNMODELLED),
    }

    def __init__(self, machine: Machine, name: str, base: int) -> None:
        super().__init__(machine, name, base)
        self._since = 0
        self._event: Event | None = None

    def reset(self) -> None:
        """Stopped, at zero."""
        super().reset()
        self._restart(0)

    def _running(self) -> bool:
        return bool(self.field("CTRL", "ten"))

    def _prescaler(self) -> int:
        """Binary logarithm of the oscillator's ticks for one count."""
        return self.field("CTRL", "pres") | self.field("CTRL", "pres3") << 3

    def _count(self) -> int:
        """Where the counter is now."""
        if not self._running():
            return self.values["CNT"]
        passed = (self.machine.now - self._since) * _CLOCK_HZ // (SECOND << self._prescaler())
        return self.values["CNT"] + passed & 0xFFFF_FFFF

    def _restart(self, count: int) -> None:
        """Go on from a count, and plan the next match."""
        if self._event is not None:
            self._event.cancel()
            self._event = None
        self.values["CNT"], self._since = count, self.machine.now
        if self._running():
            steps = (self.values["CMP"] - count & 0xFFFF_FFFF) or 1 << 32
            delay = -(-(steps << self._prescaler()) * SECOND // _CLOCK_HZ)
            self._event = self.machine.schedule(delay, self._matches)

    def _matches(self) -> None:
        self._event = None
        mode = self.field("CTRL", "tmode")
        if mode == ONE_SHOT:
            self.set_field("CTRL", "ten", 0)
        self._restart(self.values["CMP"] if mode == COMPARE else 1)
        self.set_field("INTR", "irq", 1)
        self.machine.nvic.set_line(IRQ, True)

    def read_cnt(self) -> int:
        """The counter."""
        return self._count()

    def write_cnt(self, value: int) -> None:
        """Set the counter."""
        self._restart(value)

    def write_cmp(self, value: int) -> None:
        """Set the value that is waited for."""
        count = self._count()
        self.values["CMP"] = value
        self._restart(count)

    def write_ctrl(self, value: int) -> None:
        """Mode, prescaler, start and stop."""
        enabled, mode = self.part("CTRL", "ten", value), self.part("CTRL", "tmode", value)
        if enabled and mode not in (ONE_SHOT, CONTINUOUS, COMPARE):
            raise self.fault(_CTRL, f"mode {mode} is not modelled")
        if enabled and not self.machine.gcr.ertco_on:
            raise self.fault(_CTRL, "enabled while its oscillator is off (GCR.CLKCTRL.ertco_en)")
        count = self._count()
        self.values["CTRL"] = value
        self._restart(count)

    def stored_intr(self, _old: int, _given: int) -> None:
        """The flag was cleared, or not."""
        self.machine.nvic.set_line(IRQ, bool(self.field("INTR", "irq")))
