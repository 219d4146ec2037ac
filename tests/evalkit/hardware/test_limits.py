"""Firmware from anywhere: limits hold, and what goes wrong is a fault with a place."""

from __future__ import annotations

import random
import struct
import time
from pathlib import Path

import pytest

from common.errors import UserError
from evalkit.kit import Kit
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


def random_code(seed: int) -> bytes:
    """Instructions that reach everywhere: loads and stores to registers, calls, sleeps, noise."""
    rng = random.Random(seed)
    places = (
        *(0x4000_0000 + rng.randrange(0, 0x10_0000, 4) for _ in range(3)),
        *(0x5000_0000 + rng.randrange(0, 0x110_0000, 4) for _ in range(2)),
        *(0xE000_E000 + rng.randrange(0, 0xF00, 4), 0x2000_0000 + rng.randrange(0x2_0000)),
        rng.getrandbits(32),
    )
    special = (SVC, WFE, 0xBF30, 0xB672, 0xB662, RETURN, 0x4685, 0x4700, 0xBE00)
    body = []
    for _ in range(rng.randrange(8, 60)):
        kind = rng.random()
        if kind < 0.4:
            body.append(0x4800 | rng.randrange(8) << 8 | rng.randrange(16, 32))  # ldr rN, [pc]
        elif kind < 0.75:
            access = rng.choice((0x6000, 0x6800, 0x7000, 0x7800, 0x8000, 0x8800))
            body.append(access | rng.randrange(0x40) | rng.randrange(4) << 6)
        elif kind < 0.9:
            body.append(rng.choice(special))
        else:
            body.append(rng.getrandbits(16))
    words = [rng.choice((*places, rng.getrandbits(32), rng.getrandbits(8))) for _ in range(64)]
    code = thumb(*body, SELF)
    return code + bytes(-len(code) % 4) + struct.pack("<64I", *words)


def run_random(seed: int, path: Path) -> None:
    """Any end will do, if it is one of those that a user is told of."""
    try:
        kit = Kit(elf(random_code(seed), path, CODE if seed % 2 else CODE + 4))
        kit.run_until(None, max_seconds=0.02, max_wall_seconds=5)
    except UserError:
        return


@pytest.mark.parametrize("block", range(4))
def test_random_firmware_ends_cleanly(tmp_path: Path, block: int) -> None:
    for seed in range(25 * block, 25 * block + 25):
        run_random(seed, tmp_path / "random.elf")


@pytest.mark.long
@pytest.mark.parametrize("block", range(50))
def test_thousands_of_random_firmware_images_end_cleanly(tmp_path: Path, block: int) -> None:
    for seed in range(1000 + 100 * block, 1100 + 100 * block):
        begin = time.process_time()
        run_random(seed, tmp_path / "random.elf")
        assert time.process_time() - begin < 30
