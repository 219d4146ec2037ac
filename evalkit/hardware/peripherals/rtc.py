"""Real-time clock: seconds and 1/4096 seconds, time-of-day and sub-second alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.peripherals.base import Peripheral, whole
from evalkit.hardware.scheduler import SECOND, Event
from synthesize.chip.fields import CLEARED_BY_0, INERT, STATUS, Field, Register

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

STEPS = 4096
"""Sub-second steps in a second (12-bit SSEC)."""

_CTRL = Register(
    "CTRL",
    (
        Field("rtce", 0),
        Field("ade", 1),
        Field("ase", 2),
        Field("busy", 3, 1, STATUS),
        Field("rdy", 4, 1, INERT),
        Field("rdye", 5, 1, INERT),
        Field("aldf", 6, write=CLEARED_BY_0),
        Field("alsf", 7, write=CLEARED_BY_0),
        Field("sqe", 8, 1, INERT),
        Field("ft", 9, 2, INERT),
        Field("acre", 14, 1, INERT),
        Field("we", 15),
    ),
    1 << 4,
)


class Rtc(Peripheral):
    """RTC (rtc_regs.h). Never busy; the ready flag is always set."""

    COUNTS_TIME: ClassVar[bool] = True
    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: whole("SEC"),
        0x04: Register("SSEC", (Field("ssec", 0, 12),)),
        0x08: Register("TODA", (Field("tod_alarm", 0, 20),)),
        0x0C: whole("SSECA"),
        0x10: _CTRL,
        0x14: whole("TRIM", kind=INERT),
        0x18: whole("OSCCTRL", kind=INERT),
    }

    def __init__(self, machine: Machine, name: str, base: int) -> None:
        super().__init__(machine, name, base)
        self._since = 0
        self._steps = 0
        self._alarms: list[Event] = []

    def _now(self) -> int:
        """Steps of the counter."""
        if not self.field("CTRL", "rtce"):
            return self._steps
        return self._steps + (self.machine.now - self._since) * STEPS // SECOND

    def read_sec(self) -> int:
        """Seconds."""
        return self._now() // STEPS & 0xFFFF_FFFF

    def read_ssec(self) -> int:
        """Steps within the second."""
        return self._now() % STEPS

    def _need_write_enable(self, offset: int) -> None:
        if not self.field("CTRL", "we"):
            raise self.fault(offset, "written while CTRL.we is 0")

    def write_sec(self, value: int) -> None:
        """Set the seconds."""
        self._need_write_enable(0x00)
        self._set(value * STEPS + self._now() % STEPS)

    def write_ssec(self, value: int) -> None:
        """Set the steps within the second."""
        self._need_write_enable(0x04)
        self._set(self._now() // STEPS * STEPS + value)

    def _set(self, steps: int) -> None:
        self._steps, self._since = steps, self.machine.now
        self._plan()

    def write_toda(self, value: int) -> None:
        """Time-of-day alarm, compared with the lowest 20 bits of the seconds."""
        self.values["TODA"] = value
        self._plan()

    def write_sseca(self, value: int) -> None:
        """Sub-second alarm: the counter starts here and the alarm is its overflow."""
        self.values["SSECA"] = value
        self._plan()

    def write_ctrl(self, value: int) -> None:
        """Start, stop, alarms; it is always ready."""
        steps, old = self._now(), self.values["CTRL"]
        changed = value ^ old
        if changed & _CTRL.mask("rtce") and not (value | old) & _CTRL.mask("we"):
            raise self.fault(0x10, "rtce is changed while we is 0")
        self.values["CTRL"] = value | _CTRL.mask("rdy")
        self._steps, self._since = steps, self.machine.now
        if changed & _CTRL.mask("rtce", "ade", "ase"):
            self._plan()
        self._update_irq()

    def restart(self) -> None:
        """It keeps time while the rest of the chip is reset."""
        self._plan()
        self._update_irq()

    def _plan(self) -> None:
        for event in self._alarms:
            event.cancel()
        self._alarms = []
        if not self.field("CTRL", "rtce"):
            return
        if self.field("CTRL", "ade"):
            steps = self._now()
            wait = (self.values["TODA"] - steps // STEPS) % (1 << 20) * STEPS - steps % STEPS
            if wait <= 0:
                wait += STEPS << 20
            self._after(wait, "aldf")
        if self.field("CTRL", "ase"):
            self._after((1 << 32) - self.values["SSECA"], "alsf")

    def _after(self, steps: int, flag: str) -> None:
        delay = -(-steps * SECOND // STEPS)
        self._alarms.append(self.machine.schedule(delay, lambda: self._alarm(flag)))

    def _alarm(self, flag: str) -> None:
        self.set_field("CTRL", flag, 1)
        self._plan()
        self._update_irq()

    def _update_irq(self) -> None:
        pending = any(
            self.field("CTRL", flag) and self.field("CTRL", enable)
            for flag, enable in (("aldf", "ade"), ("alsf", "ase"))
        )
        self.machine.nvic.set_line(3, pending)
