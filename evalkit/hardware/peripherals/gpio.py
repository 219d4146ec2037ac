"""Pins: outputs (LEDs), inputs (buttons), edge interrupts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.peripherals.base import Peripheral, whole
from synthesize.chip.registers import INERT, STATUS, Register

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

_ALL = 0xFFFF_FFFF


class Gpio(Peripheral):
    """One GPIO port of up to 32 pins (gpio_regs.h).

    Attributes:
        external: levels that the world outside puts on the pins (1 = high, pulled up).
        listeners: called when the chip changes the level or the direction of a pin.
    """

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: whole("EN0", reset=_ALL), 0x04: whole("EN0_SET"), 0x08: whole("EN0_CLR"),
        0x0C: whole("OUTEN"), 0x10: whole("OUTEN_SET"), 0x14: whole("OUTEN_CLR"),
        0x18: whole("OUT"), 0x1C: whole("OUT_SET"), 0x20: whole("OUT_CLR"),
        0x24: whole("IN", kind=STATUS),
        0x28: whole("INTMODE"), 0x2C: whole("INTPOL"), 0x30: whole("INEN", kind=INERT),
        0x34: whole("INTEN"), 0x38: whole("INTEN_SET"), 0x3C: whole("INTEN_CLR"),
        0x40: whole("INTFL", kind=STATUS), 0x48: whole("INTFL_CLR"),
        0x4C: whole("WKEN", kind=INERT), 0x50: whole("WKEN_SET"), 0x54: whole("WKEN_CLR"),
        0x5C: whole("DUALEDGE"), 0x60: whole("PADCTRL0", kind=INERT),
        0x64: whole("PADCTRL1", kind=INERT),
        0x68: whole("EN1"), 0x6C: whole("EN1_SET"), 0x70: whole("EN1_CLR"),
        0x74: whole("EN2"), 0x78: whole("EN2_SET"), 0x7C: whole("EN2_CLR"),
        0xA8: whole("HYSEN", kind=INERT), 0xAC: whole("SRSEL", kind=INERT),
        0xB0: whole("DS0", kind=INERT), 0xB4: whole("DS1", kind=INERT),
        0xB8: whole("PS", kind=INERT), 0xC0: whole("VSSEL", kind=INERT),
    }  # fmt: skip

    def __init__(self, machine: Machine, name: str, base: int, irq: int | None) -> None:
        super().__init__(machine, name, base)
        self.irq = irq
        self.external = _ALL
        self.listeners: list[Callable[[], None]] = []

    def read(self, offset: int, size: int) -> int:
        """Set and clear registers read as the register they change."""
        register = self._check(offset, size)
        name = register.name.removesuffix("_SET").removesuffix("_CLR")
        return self._pins() if name == "IN" else self.values[name]

    def write(self, offset: int, size: int, value: int) -> None:
        """Store, set or clear bits."""
        register = self._check(offset, size)
        name = register.name
        if name.endswith("_SET"):
            name, value = name[:-4], self.values[name[:-4]] | value
        elif name.endswith("_CLR"):
            name, value = name[:-4], self.values[name[:-4]] & ~value
        elif name in ("IN", "INTFL"):
            return
        before, self.values[name] = self.values[name], value & _ALL
        if name in ("INTFL", "INTEN"):
            self._update_irq()
        elif name in ("OUT", "OUTEN") and self.values[name] != before:
            for listener in self.listeners:
                listener()

    def output(self) -> int:
        """Levels driven by the chip; bits of pins that are no outputs are 0."""
        return self.values["OUT"] & self.values["OUTEN"]

    def _pins(self) -> int:
        driven = self.values["OUTEN"]
        return (self.external & ~driven | self.values["OUT"] & driven) & _ALL

    def set_pin(self, pin: int, level: int) -> None:
        """Let the world outside change one pin."""
        before = self._pins()
        self.external = (self.external & ~(1 << pin)) | (level << pin)
        changed = before ^ self._pins()
        rising = changed & self._pins()
        wanted = self.values["INTPOL"] & rising | ~self.values["INTPOL"] & changed & ~rising
        edges = changed & self.values["DUALEDGE"] | wanted
        self.values["INTFL"] |= edges & self.values["INTMODE"] & self.values["INTEN"]
        self._update_irq()

    def _update_irq(self) -> None:
        if self.irq is not None:
            self.machine.nvic.set_line(self.irq, bool(self.values["INTFL"] & self.values["INTEN"]))
