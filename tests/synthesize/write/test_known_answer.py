"""Known answers that are too long for the flash memory become checksums."""

from __future__ import annotations

import zlib
from types import SimpleNamespace
from typing import Any

import numpy as np

from synthesize.write.known_answer import CODE_BYTES, CRC_FLAG, FLASH_BYTES, fitting, shortened

STREAM = np.array(
    [0x50400000, 0xFFFFFFFF, 3, 1, 2, 0xFFFFFFFF, 0x50408000, 0xFF, 1, 7, 0], np.uint32
)


def program(words: int) -> Any:
    block = SimpleNamespace(words=np.zeros(words, np.uint32))
    return SimpleNamespace(weights=(block,), biases=())


def test_every_record_becomes_one_checksum() -> None:
    crc = zlib.crc32(bytes.fromhex("01000000 02000000 ffffffff"))
    last = zlib.crc32(bytes.fromhex("07000000"))
    assert shortened(STREAM).tolist() == [
        0x50400000, 0xFFFFFFFF, 3 | CRC_FLAG, crc, 0x50408000, 0xFF, 1 | CRC_FLAG, last, 0,
    ]  # fmt: skip


def test_only_where_it_must_be() -> None:
    room = (FLASH_BYTES - CODE_BYTES) // 4 - len(STREAM)
    assert fitting(program(room - 10), STREAM, 10) is STREAM
    assert len(fitting(program(room - 9), STREAM, 10)) == 9
