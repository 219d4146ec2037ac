"""Instruction cache control. The cache itself has no effect on results and is not modelled."""

from __future__ import annotations

from typing import ClassVar

from evalkit.hardware.peripherals.base import Peripheral, whole
from synthesize.chip.registers import STATUS, Field, Register


class Icc(Peripheral):
    """ICC0: always ready."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x000: whole("INFO", kind=STATUS),
        0x004: whole("SZ", kind=STATUS, reset=0x0008_0008),
        0x100: Register("CTRL", (Field("en", 0), Field("rdy", 16, 1, STATUS)), 1 << 16),
        0x700: whole("INVALIDATE"),
    }
