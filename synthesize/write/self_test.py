"""Known answer on demand: a picture that the firmware computes itself, so that none is stored.

The same generator as ``firmware_templates/common/self_test.c``: x -> 1664525 x + 1013904223 modulo
2**32 (the constants of Numerical Recipes), of which each pixel takes the upper byte.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from synthesize.program.program import Program

SEED = 78


def picture(shape: tuple[int, int, int]) -> np.ndarray:
    """The computed picture.

    Args:
        shape: (channels, rows, columns) of the network's input.

    Returns:
        int8 [channels, rows, columns]; pixels are computed row by row, channel by channel.
    """
    channels, rows, columns = shape
    state, values = SEED, bytearray()
    for _ in range(channels * rows * columns):
        state = (1664525 * state + 1013904223) & 0xFFFF_FFFF
        values.append(state >> 24)
    pixels = np.frombuffer(bytes(values), np.uint8).reshape(rows, columns, channels)
    return (pixels.astype(np.int16) - 128).astype(np.int8).transpose(2, 0, 1)


def answer(program: Program, expected: Mapping[str, np.ndarray]) -> int:
    """CRC-32 of all outputs, each element as a 32-bit integer, channel by channel.

    Args:
        program: names the outputs, in their order.
        expected: integers [channels, rows, columns] by the output's name.
    """
    crc = 0
    for out in program.outputs:
        crc = zlib.crc32(np.asarray(expected[out.name]).astype("<i4").tobytes(), crc)
    return crc


def header(program: Program, expected: Mapping[str, np.ndarray]) -> str:
    """The generated C header, read by ``self_test.c``."""
    return (
        f"#define SELF_TEST_SEED {SEED}u\n"
        f"#define SELF_TEST_ANSWER 0x{answer(program, expected):08x}u\n"
    )
