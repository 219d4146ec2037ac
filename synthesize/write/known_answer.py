"""Known answers that are too long for the flash memory: a CRC-32 in place of the words.

A record of a known answer is ``address, mask, n`` and n words. In a shortened one n carries
:data:`CRC_FLAG`, and one word follows: the CRC-32 of the n words, little-endian, after the mask.
The firmware (``firmware_templates/common/check.c``) reads both kinds.
"""

from __future__ import annotations

import zlib

import numpy as np

from synthesize.program.program import Program

CRC_FLAG = 0x8000_0000
FLASH_BYTES = 512 * 1024
CODE_BYTES = 32 * 1024
"""Allowed for everything but weights, sample and answer: 31 KB in the known-answer application."""


def shortened(stream: np.ndarray) -> np.ndarray:
    """Put a CRC in place of every record's words.

    Args:
        stream: uint32 [n], records and a zero word at the end.

    Returns:
        uint32 [m].
    """
    parts: list[int] = []
    at = 0
    while stream[at]:
        address, mask, count = (int(word) for word in stream[at : at + 3])
        words = stream[at + 3 : at + 3 + count]
        parts += [address, mask, count | CRC_FLAG, zlib.crc32(words.astype("<u4").tobytes())]
        at += 3 + count
    return np.array([*parts, 0], np.uint32)


def fitting(program: Program, stream: np.ndarray, sample_words: int) -> np.ndarray:
    """The answer word by word if the flash memory has room for it, else shortened.

    Args:
        program: whose kernels and biases are stored as well.
        stream: uint32 [n] of ``Program.known_answer``.
        sample_words: words of the stored sample.
    """
    blocks = (*program.weights, *program.biases)
    words = sum(block.words.size for block in blocks) + sample_words + stream.size
    return stream if 4 * words + CODE_BYTES <= FLASH_BYTES else shortened(stream)
