"""Voltage regulators: values are remembered, voltages have no effect."""

from __future__ import annotations

from typing import ClassVar

from evalkit.hardware.peripherals.base import Peripheral, whole
from synthesize.chip.registers import INERT, STATUS, Register


class Simo(Peripheral):
    """SIMO (simo_regs.h)."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x04: whole("VREGO_A", kind=INERT),
        0x08: whole("VREGO_B", kind=INERT),
        0x0C: whole("VREGO_C", kind=INERT),
        0x10: whole("VREGO_D", kind=INERT),
        0x14: whole("IPKA", kind=INERT),
        0x18: whole("IPKB", kind=INERT),
        0x1C: whole("MAXTON", kind=INERT),
        0x40: whole("BUCK_OUT_READY", kind=STATUS, reset=0xF),
    }
