"""Flash controller: page erase and 128-bit writes into the program's own flash."""

from __future__ import annotations

from typing import ClassVar

from evalkit.hardware.peripherals.base import Peripheral, whole
from evalkit.hardware.scheduler import SECOND
from synthesize.chip.fields import CLEARED_BY_0, INERT, STATUS, UNMODELLED, Field, Register

FLASH_SIZE = 512 * 1024
PAGE = 8192
"""Bytes erased at once (max78000.h, MXC_FLASH_PAGE_SIZE)."""

WRITE_TIME = SECOND // 25_000
ERASE_TIME = SECOND // 50
"""About 40 microseconds for 128 bits and 20 milliseconds for a page; estimates."""

_OPERATIONS = ("wr", "me", "pge")
_UNLOCKED = 2
_ERASE_CODES = {"me": 0xAA, "pge": 0x55}


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
        0x24: Register(
            "INTR",
            (
                *(Field("done", 0, write=CLEARED_BY_0), Field("af", 1, write=CLEARED_BY_0)),
                *(Field("doneie", 8), Field("afie", 9)),
            ),
        ),
        0x30: whole("DATA0"),
        0x34: whole("DATA1"),
        0x38: whole("DATA2"),
        0x3C: whole("DATA3"),
        0x40: whole("ACTRL"),
    }

    def stored_intr(self, _old: int, _given: int) -> None:
        """Flags cleared, enables set."""
        self._update_irq()

    def stored_ctrl(self, _old: int, _given: int) -> None:
        """Start an operation."""
        wanted = [name for name in _OPERATIONS if self.field("CTRL", name)]
        if not wanted:
            return
        if self.field("CTRL", "unlock") != _UNLOCKED:
            for name in wanted:
                self.set_field("CTRL", name, 0)
            self.set_field("INTR", "af", 1)
            self._update_irq()
            return
        if len(wanted) > 1:
            raise self.fault(0x08, "two operations are started at once")
        if self.field("CTRL", "pend"):
            raise self.fault(0x08, "an operation is started while another is under way")
        operation, code = wanted[0], self.field("CTRL", "erase_code")
        needed = _ERASE_CODES.get(operation, code)
        if code != needed:
            raise self.fault(0x08, f"erase code 0x{code:02x}, not 0x{needed:02x}")
        self.set_field("CTRL", "pend", 1)
        duration = WRITE_TIME if operation == "wr" else ERASE_TIME
        self.machine.schedule(duration, lambda: self._finish(operation))

    def _finish(self, operation: str) -> None:
        address = self.values["ADDR"] % FLASH_SIZE
        if operation == "wr":
            words = [self.values[f"DATA{i}"] for i in range(4)]
            data = b"".join(word.to_bytes(4, "little") for word in words)
            old = self.machine.read_flash(address & ~15, 16)
            self.machine.write_flash(
                address & ~15, bytes(a & b for a, b in zip(old, data, strict=True))
            )
        elif operation == "pge":
            self.machine.write_flash(address & ~(PAGE - 1), b"\xff" * PAGE)
        else:
            self.machine.write_flash(0, b"\xff" * FLASH_SIZE)
        self.set_field("CTRL", operation, 0)
        self.set_field("CTRL", "pend", 0)
        self.set_field("INTR", "done", 1)
        self._update_irq()

    def _update_irq(self) -> None:
        pending = any(
            self.field("INTR", flag) and self.field("INTR", f"{flag}ie") for flag in ("done", "af")
        )
        self.machine.nvic.set_line(23, pending)
