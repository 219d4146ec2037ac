"""Where memory is, and how a firmware image gets there and begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import UserError
from synthesize.chip.memory_map import FLASH_BASE, FLASH_SIZE

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

SRAM_BASE, SRAM_SIZE = 0x2000_0000, 128 * 1024
PERIPHERAL_BASE, PERIPHERAL_SIZE = 0x4000_0000, 0x20_0000
SYSTEM_BASE, SYSTEM_SIZE = 0xE000_0000, 0x10_0000
"""Memory map (max78000.h, ARMv7-M)."""


def in_sram(address: int, size: int = 1) -> bool:
    """Whether all of it is SRAM."""
    return address >= SRAM_BASE and address + size <= SRAM_BASE + SRAM_SIZE


def in_memory(address: int, size: int = 1) -> bool:
    """Whether all of it is flash or SRAM."""
    in_flash = address >= FLASH_BASE and address + size <= FLASH_BASE + FLASH_SIZE
    return in_flash or in_sram(address, size)


def load(machine: Machine) -> None:
    """Put the image into memory and let the processor begin.

    Raises:
        UserError: a part of it lies elsewhere, or there is no vector table.
    """
    for segment in machine.firmware.segments:
        if not in_memory(segment.address, len(segment.data)):
            raise UserError(
                f"{machine.firmware.path}: {len(segment.data)} bytes at 0x{segment.address:08x} "
                "are outside flash (0x10000000, 512 KiB) and SRAM (0x20000000, 128 KiB); "
                "link with the linker script of the MAX78000"
            )
        machine.cpu.uc.mem_write(segment.address, segment.data)
    boot(machine)


def boot(machine: Machine) -> None:
    """Let the processor begin where the vector table says.

    Raises:
        UserError: there is none.
    """
    vectors = machine.cpu.read_memory(FLASH_BASE, 8)
    stack, entry = (int.from_bytes(vectors[i : i + 4], "little") for i in (0, 4))
    in_flash = FLASH_BASE <= entry < FLASH_BASE + FLASH_SIZE
    if not entry & 1 or not in_flash or not SRAM_BASE < stack <= SRAM_BASE + SRAM_SIZE:
        raise UserError(
            f"{machine.firmware.path}: no vector table at 0x10000000 (stack 0x{stack:08x}, "
            f"reset handler 0x{entry:08x}); the first section of flash must be the vectors"
        )
    machine.system.values[0xE000_ED08] = FLASH_BASE
    machine.cpu.start(stack, entry)
