"""Resets and clock gates of the peripherals that also run in low-power modes."""

from __future__ import annotations

from typing import ClassVar

from evalkit.hardware.peripherals.base import Peripheral, flags
from synthesize.chip.registers import Register

_NAMES = {"gpio2": 0, "wdt1": 1, "tmr4": 2, "tmr5": 3, "uart3": 4, "lpcomp": 6}


class Lpgcr(Peripheral):
    """LPGCR (lpgcr_regs.h)."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x08: flags("RST", _NAMES),
        0x0C: flags("PCLKDIS", _NAMES, reset=sum(1 << b for b in _NAMES.values())),
    }

    def write_rst(self, value: int) -> None:
        """Reset peripherals; the bits clear themselves at once."""
        for name in _NAMES:
            if self.part("RST", name, value) and not self.machine.reset_peripheral(name):
                raise self.fault(0x08, f"resetting {name} is not modelled")

    def gated(self, name: str) -> str | None:
        """Text of the clock gate that holds a peripheral off, None when its clock runs."""
        if self.field("PCLKDIS", name):
            return f"LPGCR.PCLKDIS.{name} is 1"
        return None
