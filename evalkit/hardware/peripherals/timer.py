"""Timers TMR0 to TMR3, counting in 32 bits (both halves cascaded) or with half A alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.clocks import TICK, Clock, ClockEvent
from evalkit.hardware.peripherals.base import Peripheral, whole
from synthesize.chip.fields import (
    CLEARED_BY_1,
    CLEARS_ITSELF,
    INERT,
    STATUS,
    UNMODELLED,
    Field,
    Register,
)

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

ONE_SHOT = 0
CONTINUOUS = 1
COMPARE = 5
_WORD = 0xFFFF_FFFF


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
                Field("irq_a", 0, write=CLEARED_BY_1),
                Field("wrdone_a", 8, 1, STATUS),
                Field("wr_dis_a", 9, 1, INERT),
                Field("irq_b", 16, write=CLEARED_BY_1),
                Field("wrdone_b", 24, 1, STATUS),
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
                Field("rst_a", 13, write=CLEARS_ITSELF),
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
        self._event: ClockEvent | None = None

    @property
    def _clock(self) -> Clock:
        return self.machine.clocks.peripheral

    def reset(self) -> None:
        """Stopped, all zero."""
        super().reset()
        self._cancel()
        self._update_irq()

    def _tick(self) -> int:
        """One count, in the unit of the clock's count."""
        return TICK << self.field("CTRL0", "clkdiv_a")

    def _running(self) -> bool:
        return bool(self.field("CTRL0", "en_a"))

    def under_way(self) -> str | None:
        """Counting."""
        return f"{self.name} counts" if self._running() else None

    def read_cnt(self) -> int:
        """Current count."""
        return self._count() if self._running() else self.values["CNT"]

    def _count(self) -> int:
        passed = (self._clock.count() - self._since) // self._tick()
        compare = self.values["CMP"] or _WORD
        count = self.values["CNT"] + passed
        if self.field("CTRL0", "mode_a") == CONTINUOUS and count > compare:
            count = 1 + (count - 1) % compare
        return count & _WORD

    def _settle(self) -> None:
        """Bring the count up to date before something changes."""
        if self._running():
            self.values["CNT"] = self._count()
        self._since = self._clock.count()

    def write_cnt(self, value: int) -> None:
        """Set the count; the write is done at once."""
        self.values["CNT"] = value
        self.set_field("INTFL", "wrdone_a", 1)
        self._since = self._clock.count()
        self._plan()

    def write_cmp(self, value: int) -> None:
        """Set the compare value."""
        self._settle()
        self.values["CMP"] = value
        self._plan()

    def stored_intfl(self, _old: int, _given: int) -> None:
        """Flags were cleared."""
        self._update_irq()

    def write_ctrl0(self, value: int) -> None:
        """Start, stop, mode and prescaler."""
        self._settle()
        self.values["CTRL0"] = value
        mode, enabled = self.field("CTRL0", "mode_a"), self.field("CTRL0", "en_a")
        gate = self.machine.gcr.gated(self.name.lower())
        if enabled and gate:
            # The SDK stops timers before it has enabled their clocks, so access alone is allowed.
            raise self.fault(0x10, f"the timer is started while its clock is off ({gate})")
        if enabled and mode not in (ONE_SHOT, CONTINUOUS, COMPARE):
            raise self.fault(0x10, f"timer mode {mode} is not modelled")
        self.set_field("CTRL1", "clkrdy_a", self.field("CTRL0", "clken_a"))
        self.set_field("CTRL1", "clken_a", enabled)
        self._plan()

    def write_ctrl1(self, value: int) -> None:
        """Clock source (only the peripheral clock is modelled), interrupt enable."""
        source = self.part("CTRL1", "clksel_a", value)
        if source:
            raise self.fault(0x18, f"timer clock source {source} is not modelled")
        self._settle()
        self.values["CTRL1"] = value
        self._plan()
        self._update_irq()

    def read_intfl(self) -> int:
        """Flags; an expiry that nobody waits for is noticed here."""
        if self._expiry is not None and self._clock.count() >= self._expiry:
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
        if self.field("CTRL1", "ie_a"):
            self._event = self._clock.at(self._expiry, self._expired)

    def _expired(self) -> None:
        self._cancel()
        self._settle()
        self.set_field("INTFL", "irq_a", 1)
        if self.field("CTRL0", "mode_a") == ONE_SHOT:
            self.set_field("CTRL0", "en_a", 0)
            self.set_field("CTRL1", "clken_a", 0)
            self.values["CNT"] = 1
        else:
            self._plan()
        self._update_irq()

    def _update_irq(self) -> None:
        active = self.field("INTFL", "irq_a") and self.field("CTRL1", "ie_a")
        self.machine.nvic.set_line(self.irq, bool(active))
