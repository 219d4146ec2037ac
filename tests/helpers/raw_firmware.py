"""Firmware of a few instructions, written by hand: an ARM executable without a compiler."""

from __future__ import annotations

import struct
from pathlib import Path

FLASH, STACK = 0x1000_0000, 0x2002_0000
CODE = 0x400


def elf(code: bytes, path: Path, handler: int = CODE) -> Path:
    """A minimal ARM executable: vectors (all to ``handler``), code at 0x10000400."""
    vectors = [STACK, FLASH + CODE | 1, *[FLASH + handler | 1] * (CODE // 4 - 2)]
    image = struct.pack(f"<{len(vectors)}I", *vectors) + code
    header = struct.pack(
        "<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 40, 1, FLASH + CODE | 1, 52, 0,
        0x0500_0000, 52, 32, 1, 0, 0, 0,
    )  # fmt: skip
    segment = struct.pack("<8I", 1, 84, FLASH, FLASH, len(image), len(image), 5, 4)
    path.write_bytes(header + segment + image)
    return path


def thumb(*halfwords: int) -> bytes:
    """Instructions as bytes."""
    return struct.pack(f"<{len(halfwords)}H", *halfwords)
