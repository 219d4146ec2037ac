"""Power domains of the CNN accelerator, one bit for each quadrant."""

from __future__ import annotations

from typing import ClassVar

from evalkit.hardware.peripherals.base import Peripheral
from synthesize.chip.registers import Field, Register


def _quadrants(name: str, reset: int) -> Register:
    return Register(name, (Field("quadrants", 0, 4),), reset)


class Gcfr(Peripheral):
    """GCFR: power, memory enable, isolation and reset (gcfr_regs.h)."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x0: _quadrants("REG0", 0x0),
        0x4: _quadrants("REG1", 0x0),
        0x8: _quadrants("REG2", 0xF),
        0xC: _quadrants("REG3", 0x0),
    }

    def write_reg0(self, value: int) -> None:
        """Power switches."""
        self.values["REG0"] = value
        self.machine.cnn_power_changed()

    def write_reg3(self, value: int) -> None:
        """Reset lines."""
        self.values["REG3"] = value
        self.machine.cnn_power_changed()

    def unusable(self) -> str | None:
        """Why the accelerator cannot be accessed, None when it can."""
        if self.values["REG0"] != 0xF:
            return f"its power is off (GCFR.REG0 is 0x{self.values['REG0']:x}, not 0xf)"
        if self.values["REG1"] != 0xF:
            return f"its memories are off (GCFR.REG1 is 0x{self.values['REG1']:x}, not 0xf)"
        if self.values["REG2"]:
            return f"it is isolated (GCFR.REG2 is 0x{self.values['REG2']:x}, not 0)"
        if self.values["REG3"]:
            return f"it is held in reset (GCFR.REG3 is 0x{self.values['REG3']:x}, not 0)"
        return None
