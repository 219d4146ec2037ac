"""Headers of a C project: register writes, outputs, weights and samples as tables."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from common.texts import c_comment, c_string
from synthesize.chip import limits, memory_map
from synthesize.program.program import OutputMap, Program, RegisterWrite

HEADER = "/* Generated from the network {name}; changes belong into its source. */\n"
_PER_ROW = 8
_WORD_WIDTH = len("0x00000000u, ")


def guarded(guard: str, body: str) -> str:
    """A header's text with its include guard."""
    return f"#ifndef {guard}\n#define {guard}\n\n{body}\n#endif\n"


def unload_words(out: OutputMap) -> int:
    """Words that the program reads of an output: one an element when wide, else four elements."""
    elements = int(np.prod(out.shape))
    return elements if out.wide else (elements + 3) // 4


def registers_header(
    program: Program, units: Mapping[str, int], table: str = "cnn_outputs[CNN_OUTPUT_COUNT]"
) -> str:
    """Tables of a program's registers, and of its outputs under the name ``table``."""
    init, configure = split_initialisation(program.registers)
    body = _write_table("init_writes", init)
    body += _write_table("configure_writes", configure)
    body += _write_table("start_writes", program.start)
    body += _cleared_table(program)
    for index, out in enumerate(program.outputs):
        body += _channel_table(index, out)
    entries = "".join(
        _output_entry(i, out, units.get(out.name, 7)) for i, out in enumerate(program.outputs)
    )
    body += f"const cnn_output_t {table} = {{\n{entries}}};\n"
    return guarded("REGISTERS_H", body)


def _cleared_table(program: Program) -> str:
    """Address and words of all data memory to be cleared; nothing when there is none."""
    if not program.cleared:
        return ""
    rows = "".join(
        f"    0x{block.address:08x}u, {len(block.words)}u, /* {c_comment(block.comment)} */\n"
        for block in program.cleared
    )
    table = f"static const uint32_t cleared_blocks[] = {{\n{rows}    0u,\n}};\n\n"
    return f"#define CNN_CLEARED 1\n{table}"


def split_initialisation(
    registers: Sequence[RegisterWrite],
) -> tuple[tuple[RegisterWrite, ...], tuple[RegisterWrite, ...]]:
    """Split the register program into what must precede the weights and the rest.

    The first part is the leading run of writes to always-on and per-quadrant control registers
    (they bring the memories out of reset); per-layer registers follow.
    """
    for count, write in enumerate(registers):
        place = memory_map.locate(write.address)
        if place is None or not (place.kind == "fifo" or is_control(place)):
            return tuple(registers[:count]), tuple(registers[count:])
    return tuple(registers), ()


def is_control(place: memory_map.Location) -> bool:
    """Whether a place is a register that controls a quadrant as a whole."""
    return place.kind == "register" and place.offset < 0x10


def _write_table(name: str, writes: Sequence[RegisterWrite]) -> str:
    for write in writes:
        if write.size != 4:
            raise ValueError(f"register write of {write.size} bytes to 0x{write.address:08x}")
    rows = "".join(
        f"    {{0x{w.address:08x}u, 0x{w.value:08x}u}}, /* {c_comment(w.comment)} */\n"
        for w in writes
    )
    return f"static const register_write_t {name}[] = {{\n{rows}}};\n\n"


def strides(out: OutputMap) -> tuple[np.ndarray, int, int]:
    """Address of each channel's first element, bytes from row to row, from column to column.

    Raises:
        ValueError: the addresses are not of that form.
    """
    table = out.addresses
    _, rows, columns = out.shape
    row = int(table[0, 1, 0] - table[0, 0, 0]) if rows > 1 else 0
    column = int(table[0, 0, 1] - table[0, 0, 0]) if columns > 1 else 0
    first = table[:, 0, 0]
    rebuilt = (
        first[:, None, None]
        + row * np.arange(rows)[None, :, None]
        + column * np.arange(columns)[None, None, :]
    )
    if not np.array_equal(rebuilt, table):
        raise ValueError(f"output {out.name} is not laid out in rows and columns")
    return first, row, column


def _channel_table(index: int, out: OutputMap) -> str:
    first, _, _ = strides(out)
    return f"static const uint32_t output_{index}_channels[] = {{\n{_word_rows(first)}}};\n\n"


def _output_entry(index: int, out: OutputMap, unit: int) -> str:
    _, row, column = strides(out)
    channels, rows, columns = out.shape
    return (
        f'    {{"{c_string(out.name)}", {channels}, {rows}, {columns}, {int(out.wide)}, '
        f"{unit}, {row}u, {column}u, output_{index}_channels}},\n"
    )


def weights_header(program: Program) -> str:
    """Packed kernels and biases."""
    rows = "".join(
        f"    /* {c_comment(block.comment or 'kernels')} */\n"
        f"    0x{block.address:08x}u, {len(block.words)}u,\n{_word_rows(block.words)}"
        for block in program.weights
    )
    body = f"static const uint32_t weights[] = {{\n{rows}    0u,\n}};\n\n"
    body += (
        "/* CRC-32 of the kernel words, as they lie in weight memory. */\n"
        f"#define WEIGHTS_CRC 0x{_weights_crc(program):08x}u\n\n"
    )
    entries = ""
    for index, block in enumerate(program.biases):
        if int(block.words.max(initial=0)) > 0xFF:
            raise ValueError("a bias word holds more than one byte")
        body += (
            f"static const uint8_t bias_{index}[] = {{\n"
            f"{_rows((str(int(w)) for w in block.words), 16)}}};\n\n"
        )
        entries += f"    {{0x{block.address:08x}u, {len(block.words)}u, bias_{index}}},\n"
    count = len(program.biases)
    entries = entries or "    {0u, 0u, 0},\n"
    body += (
        f"#define BIAS_BLOCK_COUNT {count}u\n"
        f"static const bias_block_t bias_blocks[{max(count, 1)}] = {{\n"
        f"{entries}}};\n"
    )
    return guarded("WEIGHTS_H", body)


def _weights_crc(program: Program) -> int:
    """CRC-32 of all whole kernel words of all blocks, each by its bytes in order."""
    crc = 0
    for block in program.weights:
        stream = block.words.astype(">u4").tobytes()
        kernels = len(stream) // limits.WEIGHT_WORD_BYTES
        crc = zlib.crc32(stream[: kernels * limits.WEIGHT_WORD_BYTES], crc)
    return crc


def sample_macro(name: str, program: Program, sample: np.ndarray) -> str:
    """One input as the records that the driver stores."""
    parts: list[np.ndarray] = []
    for block in program.pack_input(sample):
        parts += [np.array([block.address, len(block.words)], np.uint32), block.words]
    words = np.concatenate([*parts, np.zeros(1, np.uint32)])
    return word_macro(name, words)


def word_macro(name: str, words: np.ndarray) -> str:
    """A brace initialiser as a one-line-per-row macro, usable for any array."""
    rows = _word_rows(words).rstrip("\n").replace("\n", " \\\n")
    return f"#define {name} {{ \\\n{rows} \\\n}}\n"


def _word_rows(words: np.ndarray) -> str:
    """Eight words a row, as C writes them; whole rows at once, because headers hold many words."""
    whole = len(words) // _PER_ROW * _PER_ROW
    digits = np.frombuffer(words[:whole].astype(">u4").tobytes().hex().encode(), np.uint8)
    text = np.empty((whole // _PER_ROW, 4 + _PER_ROW * _WORD_WIDTH), np.uint8)
    text[:, :4] = ord(" ")
    cells = text[:, 4:].reshape(-1, _PER_ROW, _WORD_WIDTH)
    cells[:, :, :2] = np.frombuffer(b"0x", np.uint8)
    cells[:, :, 2:10] = digits.reshape(-1, _PER_ROW, 8)
    cells[:, :, 10:] = np.frombuffer(b"u, ", np.uint8)
    cells[:, -1, -1] = ord("\n")
    rest = (f"0x{word:08x}u" for word in words[whole:].tolist())
    return text.tobytes().decode("ascii") + _rows(rest, _PER_ROW)


def _rows(items: Iterable[str], per_row: int) -> str:
    listed = list(items)
    return "".join(
        "    " + ", ".join(listed[i : i + per_row]) + ",\n" for i in range(0, len(listed), per_row)
    )
