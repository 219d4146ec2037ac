"""Write a compiled program as a C project.

The C code is kept by hand in ``firmware_templates/`` and copied unchanged; what differs from one
network to the next is data in generated headers:

======================  ===========================================================
``network.h``           name, checksum, sizes
``registers.h``         register tables and the places of the outputs
``weights.h``           packed kernels and biases
``sampledata.h``        one input
``sampleoutput.h``      the words data memory must hold after that input
``input.h``             where each element of a picture goes (applications that get pictures)
``self_test_answer.h``  what those answer to a picture that they compute
======================  ===========================================================

Another input changes only the last two, so that the (large) weights need not be compiled again.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.files import whole_folder
from common.texts import c_comment, c_string
from synthesize.chip import limits, memory_map
from synthesize.program.program import OutputMap, Program, RegisterWrite
from synthesize.write import input_table, known_answer, point_outputs, pose_outputs, self_test

TEMPLATES = Path(__file__).resolve().parents[2] / "firmware_templates"

APPLICATIONS: dict[str, tuple[str, ...]] = {
    "known-answer": ("known_answer", "decoder"),
    "energy": ("energy",),
    "frame-injection": ("frame_injection", "decoder"),
    "live-pose": ("live_pose", "decoder"),
    "live-follow": ("live_pose", "live_follow", "track", "decoder"),
    "two-networks": ("two_networks", "second"),
    "frame-injection-3d": ("frame_injection", "decoder", "second", "lifting"),
}
"""Name of an application -> folders of its C files in ``firmware_templates``."""

CAMERA_SIDE = 128
"""Rows and columns of a camera picture: what the memory of the board holds beside the maps."""

FIRMWARE_VERSION = 0x0001_0001
"""Major version in the upper half, minor in the lower; told in the hello frame."""

FOLLOW_MAP_WORDS = 56 * 256
"""Words of pose maps that SRAM has room for beside what following people needs."""

LIVE = ("live-pose", "live-follow")
"""Applications that look through the board's camera."""

STORED = ("known-answer", "energy", "two-networks")
"""Applications that carry an input; the others get pictures."""

PAIRS = ("two-networks", "frame-injection-3d")
"""Applications of two networks, which :mod:`synthesize.write.two_networks` writes."""

_PICTURES_ONLY = ("image_input.c", "image_input.h", "self_test.c", "self_test.h")
"""Common files for applications that get pictures."""

_HEADER = "/* Generated from the network {name}; changes belong into its source. */\n"

_PER_ROW = 8
_WORD_WIDTH = len("0x00000000u, ")


def write_project(
    program: Program,
    sample: np.ndarray,
    expected: Mapping[str, np.ndarray],
    out_dir: str | Path,
    application: str = "known-answer",
    units: Mapping[str, int] | None = None,
    more: Mapping[str, str] | None = None,
    beside: Callable[[Path], object] | None = None,
    softmax: bool = False,
) -> Path:
    """Write the C project of a program; an older project in ``out_dir`` is replaced as a whole.

    Args:
        program: what the compiler made.
        sample: one input, integers [channels, rows, columns] in -128..127; see ``example``.
        expected: for each output name the integers [channels, rows, columns] it must become.
        out_dir: folder of the project; its parent is created when missing.
        application: key of ``APPLICATIONS``.
        units: for each output name the exponent u with which 1.0 is the integer 2**u; 7 for
            outputs that are not named.
        more: text of further generated files, by name.
        beside: writes what else belongs into the folder, before the folder is put in its place.
        softmax: the known-answer program also tells the class and the shares of all classes.

    Returns:
        The folder.

    Raises:
        UserError: unknown application, sample of the wrong shape, ``out_dir`` is something that
            was not written by this function, or it cannot be written.
    """
    if application not in APPLICATIONS:
        raise UserError(
            f"application {application} does not exist; choose one of "
            f"{', '.join(sorted(APPLICATIONS))}"
        )
    out_dir = Path(out_dir)
    if not _replaceable(out_dir):
        raise UserError(f"{out_dir} exists and is no generated project; name another folder")
    files = generated_files(program, sample, expected, application, units, softmax)
    files |= dict(more or {})
    try:
        with whole_folder(out_dir) as staging:
            _copy_templates(staging, application)
            for name, text in files.items():
                (staging / name).write_text(text, encoding="ascii")
            if beside is not None:
                beside(staging)
    except OSError as error:
        raise UserError(f"cannot write {out_dir}: {error.strerror or error}") from None
    return out_dir


def _replaceable(folder: Path) -> bool:
    if not folder.exists():
        return True
    return folder.is_dir() and ((folder / "network.h").is_file() or not any(folder.iterdir()))


def generated_files(
    program: Program,
    sample: np.ndarray,
    expected: Mapping[str, np.ndarray],
    application: str = "known-answer",
    units: Mapping[str, int] | None = None,
    softmax: bool = False,
) -> dict[str, str]:
    """Return the text of every generated header by file name; arguments as ``write_project``."""
    head = _HEADER.format(name=c_string(program.name))
    files = {
        "network.h": head + _network_header(program, application, softmax),
        "registers.h": head + registers_header(program, units or {}),
        "weights.h": head + weights_header(program),
    }
    if application in STORED:
        stored = sum(block.words.size for block in program.pack_input(sample))
        words = known_answer.fitting(program, program.known_answer(expected), stored)
        files["sampledata.h"] = head + guarded(
            "SAMPLEDATA_H", sample_macro("SAMPLE_INPUT", program, sample)
        )
        files["sampleoutput.h"] = head + guarded(
            "SAMPLEOUTPUT_H", word_macro("SAMPLE_OUTPUT", words)
        )
    else:
        _check_camera(program, application)
        files["input.h"] = head + guarded("INPUT_H", input_table.header(program))
        answer = self_test.header(program, expected)
        files["self_test_answer.h"] = head + guarded("SELF_TEST_ANSWER_H", answer)
    return files


def example(program: Program, sample: np.ndarray | None, application: str) -> np.ndarray:
    """The input whose answer a project carries.

    Args:
        program: what the compiler made.
        sample: the user's input or None.
        application: key of ``APPLICATIONS``.

    Returns:
        integers [channels, rows, columns]: what the application computes itself if it does, else
        the sample, else random integers, the same every time.
    """
    if application not in STORED:
        return self_test.picture(program.input_shape)
    if sample is not None:
        return sample
    return np.random.default_rng(0).integers(-128, 128, program.input_shape).astype(np.int8)


def _copy_templates(target: Path, application: str) -> None:
    for folder in ("common", *APPLICATIONS[application]):
        for source in sorted((TEMPLATES / folder).iterdir()):
            if _belongs(source, application):
                shutil.copyfile(source, target / source.name)
    for flavour in ("standalone", "sdk"):
        (target / flavour).mkdir()
        own = (TEMPLATES / name / flavour for name in APPLICATIONS[application])
        for root in (TEMPLATES / flavour, *own):
            for source in sorted(root.iterdir()) if root.is_dir() else ():
                if source.is_file():
                    shutil.copyfile(source, target / flavour / source.name)
    shutil.copytree(TEMPLATES / "vscode", target / ".vscode")


def _belongs(source: Path, application: str) -> bool:
    """C files and headers, but not fuzzing targets, which are for the host."""
    return (
        source.suffix in (".c", ".h")
        and not source.name.startswith("fuzz_")
        and not (application in STORED and source.name in _PICTURES_ONLY)
    )


def guarded(guard: str, body: str) -> str:
    """A header's text with its include guard."""
    return f"#ifndef {guard}\n#define {guard}\n\n{body}\n#endif\n"


def _check_camera(program: Program, application: str) -> None:
    """UserError unless the network can live on camera pictures."""
    if application not in LIVE:
        return
    channels, rows, columns = program.input_shape
    if channels != 3 or rows != columns or rows % 4 or not 32 <= rows <= CAMERA_SIDE:
        raise UserError(
            f"{program.name}: the input is {channels} x {rows} x {columns}; {application} takes a "
            f"colour picture (3 channels), square, 32 to {CAMERA_SIDE} pixels a side, a multiple "
            "of 4"
        )
    if pose_outputs.find(program) is None:
        raise UserError(
            f"{program.name}: no pose outputs (19 heatmaps and 38 fields, apart or in one output "
            "of 57 channels, on the same grid of at most 32 x 32) for --application "
            f"{application}; use frame-injection, which sends any network's maps"
        )
    words = pose_outputs.map_words(program)
    if application == "live-follow" and words > FOLLOW_MAP_WORDS:
        raise UserError(
            f"{program.name}: maps of {words} words leave no room in SRAM for following people (at "
            f"most {FOLLOW_MAP_WORDS}); use --application live-pose (make live FOLLOW=0)"
        )


def _network_header(program: Program, application: str, softmax: bool) -> str:
    words = sum(_unload_words(out) for out in program.outputs)
    lines = [
        f'#define NETWORK_NAME "{c_string(program.name)}"',
        f"#define NETWORK_CHECKSUM 0x{program.checksum:08x}u",
        f"#define FIRMWARE_VERSION 0x{FIRMWARE_VERSION:08x}u",
        f"#define CNN_OUTPUT_COUNT {len(program.outputs)}u",
        f"#define CNN_UNLOAD_WORDS {words}u",
        f"#define CNN_LONGEST_ROW {max(out.shape[2] for out in program.outputs)}u",
        f"#define CNN_INPUT_FIFO {int(program.fifo is not None)}",
        f"#define SECOND_NETWORK {int(application in PAIRS)}",
        f"#define INPUT_CHANNELS {program.input_shape[0]}u",
        f"#define INPUT_ROWS {program.input_shape[1]}u",
        f"#define INPUT_COLUMNS {program.input_shape[2]}u",
        *_softmax_settings(program, softmax),
        *_follow_settings(program, application),
        *pose_outputs.defines(program),
        *point_outputs.defines(program),
    ]
    if program.fifo is not None:
        lines += [
            f"#define CNN_INPUT_FIFO_STATUS 0x{program.fifo.status_address:08x}u",
            f"#define CNN_INPUT_FIFO_FULL 0x{program.fifo.full_mask:08x}u",
        ]
    return guarded("NETWORK_H", "\n".join(lines) + "\n")


def _softmax_settings(program: Program, wanted: bool) -> list[str]:
    """Which output holds the classes, if their shares are to be told."""
    if not wanted:
        return ["#define CNN_SOFTMAX 0"]
    for index, out in enumerate(program.outputs):
        if out.shape[1:] == (1, 1) and out.shape[0] > 1:
            return [
                "#define CNN_SOFTMAX 1",
                f"#define CNN_CLASSES {out.shape[0]}u",
                f"#define CNN_CLASSES_OUTPUT {index}u",
            ]
    raise UserError(
        f"{program.name}: softmax needs an output of one pixel and at least 2 channels, but there "
        f"is none; leave --softmax out"
    )


def _follow_settings(program: Program, application: str) -> list[str]:
    """How much larger than the input the camera's picture is, and how people are followed."""
    if application != "live-follow":
        return ["#define FOLLOW 0"]
    side = program.input_shape[1] * 15 // 4 // 4 * 4
    return [
        "#define FOLLOW 1",
        f"#define CAMERA_SIDE {side}u",
        "#define FOLLOW_MARGIN 384u",
        "#define FOLLOW_REFRESH_MS 1000u",
        "#define FOLLOW_ALTERNATE 0u",
    ]


def _unload_words(out: OutputMap) -> int:
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
    for index, out in enumerate(program.outputs):
        body += _channel_table(index, out)
    entries = "".join(
        _output_entry(i, out, units.get(out.name, 7)) for i, out in enumerate(program.outputs)
    )
    body += f"const cnn_output_t {table} = {{\n{entries}}};\n"
    return guarded("REGISTERS_H", body)


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
