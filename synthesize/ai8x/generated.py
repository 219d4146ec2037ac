"""Reads the C project that the public ai8x-synthesis generator writes, as data.

Only what decides the result is read: the writes of ``cnn_init``, ``cnn_configure`` and
``cnn_start`` in ``cnn.c``, the kernels and biases of ``weights.h``, the input that ``load_input``
of ``main.c`` stores or pushes, and the known answer of ``sampleoutput.h``. A statement of another
form in one of these functions is refused, so nothing is passed over in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import UserError
from synthesize.ai8x.compare import State, state_of_writes
from synthesize.program.program import MemoryBlock, RegisterWrite

MAX_FILE_BYTES = 64 * 1024 * 1024

_WORD = r"\*\(\(volatile uint32_t \*\) (0x[0-9a-f]+)\)"
_ASSIGNMENT = re.compile(rf"{_WORD} = (0x[0-9a-f]+);")
_HARMLESS = re.compile(
    r"|//.*|#.*|cnn_time = 0;|return CNN_OK;|CNN_START;.*|MXC_TMR_SW_Start\(CNN_INFERENCE_TIMER\);"
)
_MACRO = re.compile(r"^#define (\w+) \{ \\\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_BIAS = re.compile(
    r"memcpy_8to32\(\(uint32_t \*\) (0x[0-9a-f]+), bias_(\d+), sizeof\(uint8_t\) \* (\d+)\);"
)
_STORE = re.compile(r"memcpy32\(\(uint32_t \*\) (0x[0-9a-f]+), input_(\d+), (\d+)\);")
_LOOP = re.compile(r"for \(i = 0; i < (\d+); i\+\+\) \{")
_PUSH = re.compile(rf"{_WORD} = \*in(\d+)\+\+;.*")
_LOAD_NOISE = re.compile(
    r"|//.*|int i;|const uint32_t \*in(\d+) = input_\1;|\}|while \(\(\(.*\)\) != 0\);.*|return;"
)


@dataclass(frozen=True)
class Project:
    """What the generated C code leaves in the accelerator, and what it expects afterwards.

    Args:
        state: registers, kernels, biases and the sample input.
        answer: expected bytes of data memory by address.
    """

    state: State
    answer: dict[int, int]


def read(folder: str | Path) -> Project:
    """Read a project of the public generator.

    Raises:
        UserError: a file is missing or holds a statement of an unknown form.
    """
    folder = Path(folder)
    code, main = _text(folder / "cnn.c"), _text(folder / "main.c")
    weights = _macros(folder / "weights.h")
    writes = [
        write
        for function in ("cnn_init", "cnn_configure", "cnn_start")
        for write in _writes(folder / "cnn.c", code, function)
    ]
    blocks = [*_biases(folder, code, weights), *_input(folder, main)]
    answer = _macros(folder / "sampleoutput.h").get("SAMPLE_OUTPUT", np.zeros(1, np.uint32))
    kernels = weights.get("KERNELS", np.zeros(1, np.uint32))
    return Project(
        state_of_writes(writes, _kernels(folder, kernels), blocks),
        answer_bytes(answer),
    )


def answer_bytes(stream: np.ndarray) -> dict[int, int]:
    """Return the bytes by address that a known-answer stream expects.

    Args:
        stream: uint32 records ``address, mask, n, n words``, ended by a zero.

    Raises:
        UserError: a record runs over the end, or a mask selects parts of a byte.
    """
    result: dict[int, int] = {}
    position = 0
    while position < len(stream) and stream[position]:
        if position + 3 > len(stream) or position + 3 + stream[position + 2] > len(stream):
            raise UserError("the known answer is cut off; generate the project again")
        address, mask, count = (int(v) for v in stream[position : position + 3])
        words = stream[position + 3 : position + 3 + count].tolist()
        for lane in range(4):
            part = mask >> (8 * lane) & 0xFF
            if part not in (0, 0xFF):
                raise UserError(f"the known answer at 0x{address:08x} has the mask 0x{mask:08x}")
            if part:
                for i, word in enumerate(words):
                    result[address + 4 * i + lane] = word >> (8 * lane) & 0xFF
        position += 3 + count
    return result


def _text(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the folder of a project of ai8x-synthesis")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UserError(f"{path}: larger than {MAX_FILE_BYTES} bytes; is it the right file?")
    return path.read_text(encoding="utf-8", errors="replace")


def _macros(path: Path) -> dict[str, np.ndarray]:
    """Return all brace initialisers of a header by name, uint32."""
    result = {}
    for name, body in _MACRO.findall(_text(path)):
        items = body.replace("\\\n", " ").replace(",", " ").split()
        try:
            result[name] = np.array([int(item, 0) for item in items], np.uint32)
        except (ValueError, OverflowError) as error:
            raise UserError(f"{path}: {name} does not hold 32-bit numbers ({error})") from error
    return result


def _body(path: Path, code: str, function: str) -> Iterator[str]:
    """Yield the statements of a function, line by line and stripped."""
    match = re.search(rf"^\w+ {function}\(void\)\n\{{\n(.*?)^\}}", code, re.MULTILINE | re.DOTALL)
    if match is None:
        raise UserError(f"{path}: there is no function {function}; is it from ai8x-synthesis?")
    for line in match.group(1).splitlines():
        yield line.strip()


def _writes(path: Path, code: str, function: str) -> Iterator[RegisterWrite]:
    for line in _body(path, code, function):
        statement = line.split("//")[0].strip()
        match = _ASSIGNMENT.fullmatch(statement)
        if match:
            yield RegisterWrite(int(match.group(1), 16), int(match.group(2), 16), line)
        elif not _HARMLESS.fullmatch(statement):
            raise UserError(f"{path}: {function} holds the unknown statement {statement!r}")


def _kernels(folder: Path, stream: np.ndarray) -> Iterator[MemoryBlock]:
    position = 0
    while position < len(stream) and stream[position]:
        address = int(stream[position])
        count = int(stream[position + 1]) if position + 1 < len(stream) else 0
        words = stream[position + 2 : position + 2 + count]
        if not count or len(words) != count:
            raise UserError(f"{folder}: KERNELS in weights.h is cut off; generate it again")
        yield MemoryBlock(address, words)
        position += 2 + count


def _biases(folder: Path, code: str, weights: dict[str, np.ndarray]) -> Iterator[MemoryBlock]:
    for line in _body(folder / "cnn.c", code, "cnn_load_bias"):
        match = _BIAS.fullmatch(line)
        if match:
            yield _block(folder, match, weights, "BIAS")
        elif not _HARMLESS.fullmatch(line):
            raise UserError(f"{folder}: cnn_load_bias holds the unknown statement {line!r}")


def _input(folder: Path, main: str) -> Iterator[MemoryBlock]:
    arrays = _macros(folder / "sampledata.h")
    count = None
    for line in _body(folder / "main.c", main, "load_input"):
        loop, store, push = _LOOP.fullmatch(line), _STORE.fullmatch(line), _PUSH.fullmatch(line)
        if loop:
            count = int(loop.group(1))
        elif store:
            yield _block(folder, store, arrays, "SAMPLE_INPUT")
        elif push:
            yield MemoryBlock(
                int(push.group(1), 16), arrays[f"SAMPLE_INPUT_{push.group(2)}"][:count]
            )
        elif not _LOAD_NOISE.fullmatch(line):
            raise UserError(f"{folder}: load_input holds the unknown statement {line!r}")


def _block(
    folder: Path, match: re.Match[str], arrays: dict[str, np.ndarray], prefix: str
) -> MemoryBlock:
    address, number, count = int(match.group(1), 16), match.group(2), int(match.group(3))
    words = arrays.get(f"{prefix}_{number}", np.zeros(0, np.uint32))
    if len(words) != count:
        raise UserError(f"{folder}: {prefix}_{number} holds {len(words)} values, not {count}")
    return MemoryBlock(address, words)
