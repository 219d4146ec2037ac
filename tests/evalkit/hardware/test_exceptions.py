"""Exceptions and accesses to devices in the middle of a conditional (IT) block."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from evalkit.kit import Kit
from tests.helpers.raw_firmware import CODE, elf, thumb

pytest.importorskip("unicorn", reason="the kit extra is not installed")

SVC, SELF = 0xDF00, 0xE7FE
MOVS_R0, ADD_R2, ADD_R4, RETURN = 0x2000, 0x3201, 0x3401, 0x4770
IT_BLOCKS = {"then": 0xBF04, "else": 0xBF0C}
"""``itt eq`` and ``ite eq``: the first instruction is executed, the second as the name says."""


@pytest.mark.parametrize("name", IT_BLOCKS)
def test_a_handler_is_not_conditional(tmp_path: Path, name: str) -> None:
    """The handler runs whole, and afterwards the block goes on with what was left of it."""
    code = thumb(MOVS_R0, 0x2200, 0x2400, MOVS_R0, IT_BLOCKS[name], SVC, ADD_R2, SELF)
    handler = CODE + len(code)
    kit = Kit(elf(code + thumb(ADD_R4, ADD_R4, RETURN), tmp_path / "it.elf", handler))
    kit.run_until(None, max_seconds=0.01, max_wall_seconds=20)
    registers = kit.machine.snapshot()
    assert registers["R4"] == 2
    assert registers["R2"] == (name == "then")


def test_a_reset_ends_the_block(tmp_path: Path) -> None:
    """The first instruction after a reset in the middle of a block is executed."""
    begin = thumb(0x3601, 0x3701, 0x2F02, 0xD005)  # count in R6 and R7; at the second time, rest
    reset = thumb(0x4803, 0x4904, 0x4280, IT_BLOCKS["else"], 0x6001, ADD_R2, SELF, SELF)
    code = begin + reset + struct.pack("<2I", 0xE000_ED0C, 0x05FA_0004)
    kit = Kit(elf(code, tmp_path / "reset.elf"))
    kit.run_until(None, max_seconds=0.01, max_wall_seconds=20)
    registers = kit.machine.snapshot()
    assert len(kit.machine.resets) == 1
    assert (registers["R6"], registers["R7"]) == (2, 2)


@pytest.mark.parametrize("access", [0x688B, 0x608A], ids=["load", "store"])
def test_registers_of_devices_do_not_lengthen_the_block(tmp_path: Path, access: int) -> None:
    """A conditional LDR R3 or STR R2 of GCR.CLKCTRL: what follows the block is executed."""
    begin = thumb(0x4905, 0x688A, 0x2400, 0x4280, IT_BLOCKS["else"], access, ADD_R4, 0xE7FF)
    code = begin + thumb(ADD_R4, ADD_R4, SELF, SELF) + struct.pack("<I", 0x4000_0000)
    kit = Kit(elf(code, tmp_path / "device.elf"))
    kit.run_until(None, max_seconds=0.01, max_wall_seconds=20)
    assert kit.machine.snapshot()["R4"] == 2
