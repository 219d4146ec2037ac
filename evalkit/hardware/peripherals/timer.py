"""Timers TMR0 to TMR3, counting in 32 bits (both halves cascaded) or with half A alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.peripherals.base import Peripheral, whole
from evalkit.hardware.scheduler import SECOND, Event
from synthesize.chip.registers import INERT, STATUS, UNMODELLED, Field, Register

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

ONE_SHOT = 0
CONTINUOUS = 1
COMPARE = 5
_WORD = 0xFFFF_FFFF
_IRQ_A = 1


class Timer(Peripheral):
    """One timer (tmr_regs.h) in one-shot, continuous or compare mode from the peripheral clock."""

    COUNTS_TIME: ClassVar[bool] = True
    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: whole("CNT"),
        0x04: whole("CMP"),
        0x08: whole("PWM"),
        0x0C: Register(
            "INTFL",
            (
                Field("irq_a", 0),
                Field("wrdone_a", 8),
                Field("wr_dis_a", 9, 1, INERT),
                Field("irq_b", 16),
                Field("wrdone_b", 24),
                Field("wr_dis_b", 25, 1, INERT),
            ),
        ),
        0x10: Register(
            "CTRL0",
            (
                Field("mode_a", 0, 4),
                Field("clkdiv_a", 4, 4),
                Field("pol_a", 8, 1, INERT),
                Field("pwm_a", 9, 4, UNMODELLED),
                Field("rst_a", 13),
                Field("clken_a", 14),
                Field("en_a", 15),
                Field("mode_b", 16, 4, INERT),
                Field("clkdiv_b", 20, 4, INERT),
                Field("pol_b", 24, 1, INERT),
                Field("pwm_b", 25, 4, UNMODELLED),
                Field("rst_b", 29, 1, INERT),
                Field("clken_b", 30, 1, INERT),
                Field("en_b", 31, 1, UNMODELLED),
            ),
        ),
        0x14: whole("NOLCMP", kind=UNMODELLED),
        0x18: Register(
            "CTRL1",
            (
                Field("clksel_a", 0, 2),
                Field("clken_a", 2, 1, STATUS),
                Field("clkrdy_a", 3, 1, STATUS),
                Field("event_sel_a", 4, 3, UNMODELLED),
                Field("negtrig_a", 7, 1, UNMODELLED),
                Field("ie_a", 8),
                Field("capevent_sel_a", 9, 2, UNMODELLED),
                Field("sw_capevent_a", 11, 1, UNMODELLED),
                Field("we_a", 12, 1, INERT),
                Field("outen_a", 13, 1, INERT),
                Field("outben_a", 14, 1, INERT),
                Field("clksel_b", 16, 2, INERT),
                Field("clken_b", 18, 1, STATUS),
                Field("clkrdy_b", 19, 1, STATUS),
                Field("event_sel_b", 20, 3, UNMODELLED),
                Field("negtrig_b", 23, 1, UNMODELLED),
                Field("ie_b", 24, 1, INERT),
                Field("capevent_sel_b", 25, 2, UNMODELLED),
                Field("sw_capevent_b", 27, 1, UNMODELLED),
                Field("we_b", 28, 1, INERT),
                Field("cascade", 31),
            ),
        ),
        0x1C: Register("WKFL", (Field("a", 0), Field("b", 16))),
    }

    def __init__(self, machine: Machine, name: str, base: int, irq: int) -> None:
        super().__init__(machine, name, base)
        self.irq = irq
        self._since = 0
        self._expiry: int | None = None
        self._event: Event | None = None

    def reset(self) -> None:
        """Stopped, all zero."""
        super().reset()
        self._cancel()
        self._update_irq()

    def _tick(self) -> int:
        """Picoseconds of one count."""
        frequency = self.machine.cpu_hz // 2
        return (SECOND << self.field("CTRL0", "clkdiv_a")) // frequency

    def _running(self) -> bool:
        return bool(self.values["CTRL0"] >> 15 & 1)

    def under_way(self) -> str | None:
        """Counting."""
        return f"{self.name} counts" if self._running() else None

    def read_cnt(self) -> int:
        """Current count."""
        if not self._running():
            return self.values["CNT"]
        return self._count()

    def _count(self) -> int:
        passed = (self.machine.now - self._since) // self._tick()
        compare = self.values["CMP"] or _WORD
        count = self.values["CNT"] + passed
        if self.field("CTRL0", "mode_a") == CONTINUOUS and count > compare:
            count = 1 + (count - 1) % compare
        return count & _WORD

    def write_cnt(self, value: int) -> None:
        """Set the count; the write is done at once."""
        self.values["CNT"] = value
        self.values["INTFL"] |= 1 << 8
        self._since = self.machine.now
        self._plan()

    def write_cmp(self, value: int) -> None:
        """Set the compare value."""
        if self._running():
            self.values["CNT"] = self._count()
            self._since = self.machine.now
        self.values["CMP"] = value
        self._plan()

    def write_intfl(self, value: int) -> None:
        """Interrupt flags are cleared by writing 1; write-done flags stay."""
        self.values["INTFL"] &= ~(value & 0x0001_0001)
        self._update_irq()

    def write_ctrl0(self, value: int) -> None:
        """Start, stop, mode and prescaler."""
        if self._running():
            self.values["CNT"] = self._count()
        self._since = self.machine.now
        self.values["CTRL0"] = value & ~(1 << 13)
        mode = value & 0xF
        gate = self.machine.gcr.gated(self.name.lower())
        if value >> 15 & 1 and gate:
            # The SDK stops timers before it has enabled their clocks, so access alone is allowed.
            raise self.fault(0x10, f"the timer is started while its clock is off ({gate})")
        if value >> 15 & 1 and mode not in (ONE_SHOT, CONTINUOUS, COMPARE):
            raise self.fault(0x10, f"timer mode {mode} is not modelled")
        ready, enabled = value >> 14 & 1, value >> 15 & 1
        self.values["CTRL1"] = self.values["CTRL1"] & ~0xC | ready << 3 | enabled << 2
        self._plan()

    def write_ctrl1(self, value: int) -> None:
        """Clock source (only the peripheral clock is modelled), interrupt enable."""
        if value & 3:
            raise self.fault(0x18, f"timer clock source {value & 3} is not modelled")
        self.values["CTRL1"] = value
        if self._running():
            self.values["CNT"] = self._count()
            self._since = self.machine.now
        self._plan()
        self._update_irq()

    def read_intfl(self) -> int:
        """Flags; an expiry that nobody waits for is noticed here."""
        if self._expiry is not None and self.machine.now >= self._expiry:
            self._expired()
        return self.values["INTFL"]

    def _cancel(self) -> None:
        self._expiry = None
        if self._event is not None:
            self._event.cancel()
            self._event = None

    def _plan(self) -> None:
        """Only an expiry with an interrupt is an event that could end the processor's sleep."""
        self._cancel()
        if not self._running():
            return
        compare = self.values["CMP"] or _WORD
        left = ((compare - self.values["CNT"]) & _WORD) + 1
        self._expiry = self._since + left * self._tick()
        if self.values["CTRL1"] >> 8 & 1:
            self._event = self.machine.schedule(self._expiry - self.machine.now, self._expired)

    def _expired(self) -> None:
        self._cancel()
        mode = self.field("CTRL0", "mode_a")
        self.values["CNT"] = self._count()
        self._since = self.machine.now
        self.values["INTFL"] |= _IRQ_A
        if mode == ONE_SHOT:
            self.values["CTRL0"] &= ~(1 << 15)
            self.values["CTRL1"] &= ~(1 << 2)
            self.values["CNT"] = 1
        else:
            self._plan()
        self._update_irq()

    def _update_irq(self) -> None:
        active = self.values["INTFL"] & 1 and self.values["CTRL1"] >> 8 & 1
        self.machine.nvic.set_line(self.irq, bool(active))
