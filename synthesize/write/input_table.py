"""Where each element of a picture goes in the accelerator's input memory, as a C table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.errors import UserError
from synthesize.program.program import Program


@dataclass(frozen=True)
class InputLayout:
    """Bands of ``fold`` rows become one row of words.

    Args:
        fold: rows and columns that are folded into channels.
        words: for each word of a folded pixel its address at the first pixel, and for each of its
            four bytes the offset in a band (row by row, pixel by pixel, channel by channel), -1
            where no channel is.
        row_stride, column_stride: bytes from one folded row or column to the next.
    """

    fold: int
    words: tuple[tuple[int, tuple[int, int, int, int]], ...]
    row_stride: int
    column_stride: int


def layout(program: Program) -> InputLayout:
    """Describe the input memory by a small table.

    Raises:
        UserError: the network takes its input in a form that the applications cannot write.
    """
    if program.fifo is not None:
        raise UserError(
            f"{program.name}: the network streams its input; the application needs one that "
            "stores it (use --application known-answer)"
        )
    table = program.input_addresses()
    for fold in (1, 2, 4):
        found = _try_fold(table, fold)
        if found is not None:
            return found
    raise UserError(
        f"{program.name}: the input is not laid out pixel by pixel (HWC); use "
        "--application known-answer or data_format HWC"
    )


def _try_fold(table: np.ndarray, fold: int) -> InputLayout | None:
    channels, rows, columns = table.shape
    if rows % fold or columns % fold or rows // fold < 2 or columns // fold < 2:
        return None
    # [channel, folded row, row within, folded column, column within]
    parts = table.reshape(channels, rows // fold, fold, columns // fold, fold)
    first = parts[:, 0, :, 0, :]
    row = int(parts[0, 1, 0, 0, 0] - first[0, 0, 0])
    column = int(parts[0, 0, 0, 1, 0] - first[0, 0, 0])
    rebuilt = (
        first[:, None, :, None, :]
        + row * np.arange(rows // fold)[None, :, None, None, None]
        + column * np.arange(columns // fold)[None, None, None, :, None]
    )
    if row % 4 or column % 4 or not np.array_equal(rebuilt, parts):
        return None
    words: dict[int, list[int]] = {}
    for c, y, x in np.ndindex(channels, fold, fold):
        address = int(first[c, y, x])
        offset = (y * columns + x) * channels + c
        words.setdefault(address & ~3, [-1] * 4)[address & 3] = offset
    listed = tuple((a, (s[0], s[1], s[2], s[3])) for a, s in sorted(words.items()))
    return InputLayout(fold, listed, row, column)


def header(program: Program) -> str:
    """The C table, read by ``image_input.c``."""
    place = layout(program)
    rows = ""
    for address, source in place.words:
        used = sum(0xFF << 8 * lane for lane, offset in enumerate(source) if offset >= 0)
        listed = ", ".join(str(max(offset, 0)) for offset in source)
        rows += f"    {{0x{address:08x}u, 0x{used:08x}u, {{{listed}}}}},\n"
    return (
        '#include <stdint.h>\n\n#include "network.h"\n\n'
        f"#define INPUT_FOLD {place.fold}u\n"
        f"#define INPUT_ROW_STRIDE {place.row_stride}u\n"
        f"#define INPUT_COLUMN_STRIDE {place.column_stride}u\n"
        f"#define INPUT_WORDS {len(place.words)}u\n\n"
        "/* One word of a folded pixel: address at the first pixel, bytes in use, and where in a\n"
        " * band each byte comes from. */\n"
        "typedef struct {\n    uint32_t address, used;\n    uint16_t source[4];\n"
        "} input_word_t;\n\n"
        f"static const input_word_t input_words[INPUT_WORDS] = {{\n{rows}}};\n"
    )
