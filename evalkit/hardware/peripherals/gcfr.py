"""Power domains of the CNN accelerator, one bit for each quadrant."""

from __future__ import annotations

from typing import ClassVar

from evalkit.hardware.peripherals.base import Peripheral
from synthesize.chip.registers import Field, Register


def _quadrants(name: str, reset: int) -> Register:
    return Register(name, (Field("quadrants", 0, 4),), reset)


class Gcfr(Peripheral):
    """GCFR: power, memory enable, isolation and reset (gcfr_regs.h).

    Firmware of the public generator powers the quadrants in use and no others (ai8x-synthesis,
    ``izer/toplevel.py``: ``cnn_enable`` writes one mask to REG1 and REG0 and its complement to
    REG2), so each quadrant is looked at by itself.
    """

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x0: _quadrants("REG0", 0x0),
        0x4: _quadrants("REG1", 0x0),
        0x8: _quadrants("REG2", 0xF),
        0xC: _quadrants("REG3", 0x0),
    }

    def _changed(self, _old: int, _given: int) -> None:
        self.machine.cnn_power_changed()

    stored_reg0 = stored_reg1 = stored_reg2 = stored_reg3 = _changed

    def reset(self) -> None:
        """All off."""
        super().reset()
        self.machine.cnn_power_changed()

    def _has(self, register: str, quadrant: int) -> bool:
        return bool(self.values[register] >> quadrant & 1)

    def supplied(self, quadrant: int) -> bool:
        """Whether a quadrant has power and is not in reset: its registers keep what they hold."""
        return self._has("REG0", quadrant) and not self._has("REG3", quadrant)

    def keeps_memory(self, quadrant: int) -> bool:
        """Whether a quadrant's memories keep what they hold."""
        return self.supplied(quadrant) and self._has("REG1", quadrant)

    def unusable(self, quadrant: int) -> str | None:
        """Why a quadrant cannot be used, None when it can."""
        for register, wanted, what in (
            ("REG0", True, "its power is off"),
            ("REG1", True, "its memories are off"),
            ("REG2", False, "it is isolated"),
            ("REG3", False, "it is held in reset"),
        ):
            if self._has(register, quadrant) != wanted:
                value = self.values[register]
                return f"{what} (bit {quadrant} of GCFR.{register}, which is 0x{value:x})"
        return None
