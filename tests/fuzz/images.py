"""Firmware images of several kinds: random instructions, noise, odd vectors, damaged real ones."""

from __future__ import annotations

import functools
import random
import struct
import tempfile
from pathlib import Path

from tests.fuzz import mutate
from tests.helpers.places import REPOSITORY


def image(
    code: bytes, stack: int = 0x20008000, start: int = 0x10000401, vectors: bytes = b""
) -> bytes:
    """A smallest ELF file: a vector table of 256 entries (or as given), then code."""
    table = struct.pack("<II", stack, start) + struct.pack("<I", start) * 254
    text = (vectors or table) + code
    head = b"\x7fELF\x01\x01\x01" + bytes(9) + struct.pack(
        "<HHIIIIIHHHHHH", 2, 40, 1, start, 52, 0, 0x05000000, 52, 32, 1, 40, 0, 0
    )  # fmt: skip
    segment = struct.pack("<IIIIIIII", 1, 84, 0x10000000, 0x10000000, len(text), len(text), 5, 4)
    return head + segment + text


def instructions(rng: random.Random) -> bytes:
    """An image of random instructions, many of them loads and stores near registers and RAM."""
    code = bytearray()
    bases = (0x40000000, 0x40008000, 0x40042000, 0x50100000, 0x20000000, 0xE000E000, 0x40105000)
    for register in range(8):
        base = rng.choice((*bases, rng.getrandbits(32))) + rng.choice((0, 0, 4, 0x400, 0x1001))
        for half, opcode in ((base & 0xFFFF, 0xF240), (base >> 16 & 0xFFFF, 0xF2C0)):
            upper = opcode | half >> 12 | (half >> 11 & 1) << 10
            code += struct.pack("<HH", upper, (half >> 8 & 7) << 12 | register << 8 | half & 0xFF)
    for _ in range(rng.choice((5, 50, 400))):
        kind = rng.random()
        if kind < 0.5:  # str, ldr, strh, ldrh, strb with small offsets
            code += struct.pack(
                "<H", rng.choice((0x6000, 0x6800, 0x8000, 0x7000)) | rng.getrandbits(11)
            )
        elif kind < 0.7:
            code += struct.pack("<H", 0x2000 | rng.getrandbits(11))  # movs
        elif kind < 0.75:  # svc, bkpt, wfi, wfe, sev, cpsid
            code += struct.pack("<H", rng.choice((0xDF00, 0xBE00, 0xBF30, 0xBF20, 0xBF40, 0xB672)))
        else:
            code += struct.pack("<H", rng.getrandbits(16))
    code += struct.pack("<H", 0xE7FE)
    stack = 0x20008000 if rng.random() < 0.8 else rng.getrandbits(32)
    start = 0x10000401 if rng.random() < 0.9 else rng.getrandbits(32)
    whole = image(bytes(code), stack, start)
    return mutate.octets(rng, whole, [whole]) if rng.random() < 0.2 else whole


def noise(rng: random.Random) -> bytes:
    """Random bytes where the processor starts."""
    return image(rng.randbytes(rng.choice((16, 300, 4000))))


def vectors(rng: random.Random) -> bytes:
    """Sound code that interrupts itself, behind a table that leads anywhere."""
    places = (0, 1, 0x1000_0401, 0x1000_0400, 0x2000_0001, 0x4000_0001, 0xFFFF_FFF9, 0xFFFF_FFFF)
    entries = [rng.choice((*places, rng.getrandbits(32))) for _ in range(256)]
    if rng.random() < 0.7:  # it starts, at least
        entries[1] = 0x1000_0401
    if rng.random() < 0.8:
        entries[0] = rng.choice((0x2000_8000, 0x2000_8004, 0x2001_0000, 0x2000_0010))
    # movw, movt r0, 0xE000ED04 (ICSR); movs r1, #1; lsls r1, #26 to #31; str; svc; itself
    pending = (0xF64E, 0x5004, 0xF2CE, 0x0000, 0x2101, 0x0689 | rng.randrange(6) << 6, 0x6001)
    code = struct.pack("<9H", *pending, 0xDF00, 0xE7FE)
    return image(code, vectors=struct.pack("<256I", *entries))


@functools.cache
def real() -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """The firmware of a shipped student, and where in the file what is loaded lies: from, to."""
    from synthesize.__main__ import run
    from synthesize.write import elf

    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        checkpoint = REPOSITORY / "ai8x_models" / "checkpoints" / "lift-q.pth.tar"
        run(["compile", str(checkpoint), "--quiet", "--out", str(project)])
        whole = elf.build(project).read_bytes()
    start, size, count = *struct.unpack_from("<I", whole, 28), *struct.unpack_from("<2H", whole, 42)
    heads = (struct.unpack_from("<8I", whole, start + number * size) for number in range(count))
    return whole, tuple((at, at + length) for kind, at, _, _, length, *_ in heads if kind == 1)


def damaged(rng: random.Random) -> bytes:
    """A real firmware in which some places changed."""
    whole, loaded = real()
    data = bytearray(whole)
    for _ in range(rng.choice((1, 3, 30, 1000))):
        first, last = rng.choice([span for span in loaded if span[1] > span[0]])
        at = rng.randrange(first, min(last, first + rng.choice((64, 4000, last))))
        data[at] = rng.choice((data[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
    return bytes(data)


KINDS = (instructions, noise, vectors, damaged)


def any_kind(rng: random.Random) -> bytes:
    """One of them."""
    return rng.choice(KINDS)(rng)
