"""Firmware from anywhere: limits hold, and what goes wrong is a fault with a place."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import UserError
from evalkit.kit import Kit
from tests.fuzz import guard, images
from tests.fuzz.readers import READERS
from tests.helpers.raw_firmware import CODE, FLASH, elf, thumb

WALL = 1.0
SVC, WFE, SELF, RETURN = 0xDF00, 0xBF20, 0xE7FE, 0x4770
LOAD_R1 = 0x4902  # ldr r1, [pc, #8]: the second word behind four instructions
LOOPS = {
    # A handler that returns to the next supervisor call: two stops of the emulator in a loop.
    "supervisor calls": (thumb(SVC, 0xE7FD, RETURN), CODE + 4),
    "events": (thumb(WFE, 0xE7FD), CODE),
    # AIRCR = 0x05FA0004: the chip resets itself as soon as it runs.
    "resets": (
        thumb(0x4801, LOAD_R1, 0x6001, SELF) + struct.pack("<2I", 0xE000_ED0C, 0x05FA_0004),
        CODE,
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_the_limit_on_wall_time_holds(tmp_path: Path, name: str) -> None:
    code, handler = LOOPS[name]
    kit = Kit(elf(code, tmp_path / "loop.elf", handler))
    begin = time.process_time()
    with pytest.raises(UserError, match="did not finish within 1 s of wall time"):
        kit.run_until(None, max_seconds=1e6, max_wall_seconds=WALL)
    assert time.process_time() - begin < 2 * WALL + 1
    if name == "resets":
        assert len(kit.machine.resets) > 1


FAULTS = {
    "stack below RAM": (thumb(0x2000, 0x4685, SVC, SELF), "the stack would be at"),
    "stack in flash": (
        thumb(0x4801, 0x4685, SVC, SELF) + struct.pack("<I", FLASH + 0x8000),
        "the stack would be at",
    ),
    "return from nothing": (
        thumb(0x4800, 0x4700) + struct.pack("<I", 0xFFFF_FFF9),
        "return from an exception outside a handler",
    ),
    "no vector table": (
        thumb(0x4801, LOAD_R1, 0x6001, SVC) + struct.pack("<2I", 0xE000_ED08, 0x3000_0000),
        "VTOR points to 0x30000000",
    ),
    "unaligned read of a register": (
        thumb(0x4800, 0x6801) + struct.pack("<I", 0x4000_0025),
        "unaligned access of 32 bits at 0x",
    ),
    "unaligned write of a register": (
        thumb(0x4800, 0x6001) + struct.pack("<I", 0x4000_0026),
        "unaligned access of 32 bits at 0x",
    ),
    "unaligned read of the processor's registers": (
        thumb(0x4800, 0x6801) + struct.pack("<I", 0xE000_E012),
        "unaligned access of 32 bits at 0x",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_processor_would_fault_on_is_a_fault(tmp_path: Path, name: str) -> None:
    code, said = FAULTS[name]
    kit = Kit(elf(code, tmp_path / "fault.elf"))
    with pytest.raises(UserError) as caught:
        kit.run_until(None, max_seconds=0.1, max_wall_seconds=20)
    assert said in str(caught.value)
    assert "at pc 0x" in str(caught.value)


def check_images(kind: Callable[[random.Random], bytes], seeds: range, folder: Path) -> None:
    """Any end will do, within limits, if it is one of those that a user is told of."""
    files = (kind(random.Random(seed)) for seed in seeds)
    tally = guard.run(READERS["elf"](), files, folder)
    assert not tally.findings, tally.findings[0].what
    assert tally.read + tally.refused == len(seeds)


@pytest.mark.parametrize("kind", images.KINDS, ids=lambda kind: kind.__name__)
def test_random_firmware_ends_cleanly(
    tmp_path: Path, kind: Callable[[random.Random], bytes]
) -> None:
    check_images(kind, range(25), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("kind", images.KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("block", range(10))
def test_thousands_of_random_firmware_images_end_cleanly(
    tmp_path: Path, kind: Callable[[random.Random], bytes], block: int
) -> None:
    """5,000 in all, in a process of its own that may take 5 s and 400 MB for each."""
    check_images(kind, range(1000 + 125 * block, 1125 + 125 * block), tmp_path)
