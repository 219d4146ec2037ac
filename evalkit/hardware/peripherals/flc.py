"""Flash controller: page erase and 128-bit writes into the program's own flash."""

from __future__ import annotations

from typing import ClassVar

from evalkit.hardware.peripherals.base import Peripheral, flags, whole
from evalkit.hardware.scheduler import SECOND
from synthesize.chip.registers import INERT, STATUS, UNMODELLED, Field, Register

FLASH_SIZE = 512 * 1024
PAGE = 8192
"""Bytes erased at once (max78000.h, MXC_FLASH_PAGE_SIZE)."""

WRITE_TIME = SECOND // 25_000
ERASE_TIME = SECOND // 50
"""About 40 microseconds for 128 bits and 20 milliseconds for a page; estimates."""

_WRITE, _MASS_ERASE, _PAGE_ERASE = 1, 2, 4
_UNLOCKED = 2
_ERASE_CODE = 0x55
_ALL = 0xAA


class Flc(Peripheral):
    """FLC (flc_regs.h, flc_reva.c). The flash answers during an operation as it was before."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: whole("ADDR"),
        0x04: Register("CLKDIV", (Field("clkdiv", 0, 8),), 0x64),
        0x08: Register(
            "CTRL",
            (
                Field("wr", 0),
                Field("me", 1),
                Field("pge", 2),
                Field("wdth", 4, 1, UNMODELLED),
                Field("erase_code", 8, 8),
                Field("pend", 24, 1, STATUS),
                Field("lve", 25, 1, INERT),
                Field("unlock", 28, 4),
            ),
        ),
        0x24: flags("INTR", {"done": 0, "af": 1, "doneie": 8, "afie": 9}),
        0x30: whole("DATA0"),
        0x34: whole("DATA1"),
        0x38: whole("DATA2"),
        0x3C: whole("DATA3"),
        0x40: whole("ACTRL"),
    }

    def write_intr(self, value: int) -> None:
        """Flags are cleared by writing 0, enables are set."""
        self.values["INTR"] = (self.values["INTR"] & value & 0x3) | (value & 0x300)
        self._update_irq()

    def write_ctrl(self, value: int) -> None:
        """Start an operation."""
        operation = value & (_WRITE | _MASS_ERASE | _PAGE_ERASE)
        self.values["CTRL"] = value
        if not operation:
            return
        if value >> 28 != _UNLOCKED:
            self.values["CTRL"] &= ~operation
            self.values["INTR"] |= 2
            self._update_irq()
            return
        if operation not in (_WRITE, _MASS_ERASE, _PAGE_ERASE):
            raise self.fault(0x08, "two operations are started at once")
        code = value >> 8 & 0xFF
        wanted = {_WRITE: code, _MASS_ERASE: _ALL, _PAGE_ERASE: _ERASE_CODE}[operation]
        if code != wanted:
            raise self.fault(0x08, f"erase code 0x{code:02x}, not 0x{wanted:02x}")
        self.values["CTRL"] |= 1 << 24
        duration = WRITE_TIME if operation == _WRITE else ERASE_TIME
        self.machine.schedule(duration, lambda: self._finish(operation))

    def _finish(self, operation: int) -> None:
        address = self.values["ADDR"] % FLASH_SIZE
        if operation == _WRITE:
            words = [self.values[f"DATA{i}"] for i in range(4)]
            data = b"".join(word.to_bytes(4, "little") for word in words)
            old = self.machine.read_flash(address & ~15, 16)
            self.machine.write_flash(
                address & ~15, bytes(a & b for a, b in zip(old, data, strict=True))
            )
        elif operation == _PAGE_ERASE:
            self.machine.write_flash(address & ~(PAGE - 1), b"\xff" * PAGE)
        else:
            self.machine.write_flash(0, b"\xff" * FLASH_SIZE)
        self.values["CTRL"] &= ~(operation | 1 << 24)
        self.values["INTR"] |= 1
        self._update_irq()

    def _update_irq(self) -> None:
        pending = self.values["INTR"] & self.values["INTR"] >> 8 & 3
        self.machine.nvic.set_line(23, bool(pending))
