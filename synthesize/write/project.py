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
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.files import whole_folder
from common.texts import c_string
from synthesize.program.program import Program
from synthesize.write import input_table, known_answer, point_outputs, pose_outputs, self_test
from synthesize.write.headers import (
    HEADER,
    guarded,
    registers_header,
    sample_macro,
    unload_words,
    weights_header,
    word_macro,
)

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
    head = HEADER.format(name=c_string(program.name))
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
    words = sum(unload_words(out) for out in program.outputs)
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
