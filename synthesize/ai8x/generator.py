"""The public ai8x-synthesis generator as a second opinion and as a backend.

It is a program of its own with dependencies of its own, so it is run as one: the environment
variable ``AI8X_SYNTHESIS`` names its folder and ``AI8X_PYTHON`` the Python that has its
dependencies (default: the one running). Nothing of it is imported.

``python -m synthesize.official DIR`` lets it write ``DIR/official`` from the description,
checkpoint and sample that :mod:`synthesize.ai8x.description` wrote to ``DIR``, and compares the
state its C code leaves with that of our own compilation of the same files; ``--firmware OUT`` also
makes a project of it that :mod:`synthesize.write.elf` builds and the virtual kit runs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.arguments import Parser, to_folder
from common.console import command_line
from common.errors import UserError
from common.files import whole_folder
from synthesize.ai8x import compare, description, generated
from synthesize.chip import memory_map
from synthesize.compiler import Compiled, compile_network
from synthesize.program.program import Program
from synthesize.read import checkpoint

TESTED_COMMIT = "ab4f4c0"
"""Commit of ai8x-synthesis that the comparison was made with."""

TIMEOUT_SECONDS = 600
PROJECT = "network"
TEMPLATES = Path(__file__).resolve().parents[2] / "firmware_templates"
GENERATED = ("cnn.c", "cnn.h", "main.c", "weights.h", "sampledata.h", "sampleoutput.h")
"""Files of the generator that make up its known-answer test."""
_ROOM = re.compile(r"(#define CNN_NUM_OUTPUTS )(\d+)")
CODE_BYTES = 24 * 1024
"""Of flash, for the code of its known-answer test and the stand-in for the SDK."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Generator:
    """Where the public generator is and which Python runs it."""

    folder: Path
    python: str


def find(environment: Mapping[str, str] | None = None) -> Generator:
    """Return the generator that the environment names.

    Raises:
        UserError: ``AI8X_SYNTHESIS`` is not set or names no checkout of ai8x-synthesis.
    """
    environment = os.environ if environment is None else environment
    named = environment.get("AI8X_SYNTHESIS", "")
    if not named:
        raise UserError(
            "AI8X_SYNTHESIS is not set; set it to a folder with ai8x-synthesis (make ai8x gets one)"
        )
    folder = Path(named).resolve()
    if not (folder / "ai8xize.py").is_file():
        raise UserError(f"{named}: no ai8xize.py there; set AI8X_SYNTHESIS to its folder")
    python = environment.get("AI8X_PYTHON", "") or sys.executable
    # It runs in another folder; links stay, because a virtual environment is found by its own.
    return Generator(folder, str(Path(python).absolute()) if os.sep in python else python)


def generate(
    generator: Generator, source: str | Path, out: str | Path, most_words: int | None = None
) -> Path:
    """Let the public generator write a C project.

    Args:
        generator: see :func:`find`.
        source: folder written by :func:`synthesize.ai8x.description.write`, sample included.
        out: folder of the project, replaced as a whole.
        most_words: of the known answer that the project compares; None: all.

    Returns:
        ``out``.

    Raises:
        UserError: a file is missing, or the generator refuses the network (with its message).
    """
    source, out = Path(source).resolve(), Path(out).resolve()
    for name in (description.YAML_NAME, description.CHECKPOINT_NAME, description.SAMPLE_NAME):
        if not (source / name).is_file():
            raise UserError(f"{source / name}: no such file; compile with --out first")
    if out.exists() and not ((out / "cnn.c").is_file() and (out / "softmax.c").is_file()):
        raise UserError(f"{out} exists and is no project of the generator; name another folder")
    with whole_folder(out) as staging, tempfile.TemporaryDirectory() as temporary:
        _run(generator, source, temporary, most_words)
        shutil.copytree(Path(temporary) / PROJECT, staging, dirs_exist_ok=True)
    return out


def firmware(project: str | Path, out: str | Path, elements: int = 0) -> Path:
    """Make a project that :mod:`synthesize.write.elf` can build from one of the public generator.

    Its C files are taken as they are; a small stand-in for the vendor SDK surrounds them. One
    number is corrected: the generator makes room for the last output only, although it unloads all
    of them, so a network with several outputs would overwrite memory.

    Args:
        project: folder that :func:`generate` wrote.
        out: folder of the new project, replaced as a whole.
        elements: elements of all outputs together.

    Returns:
        ``out``.

    Raises:
        UserError: a file of the generator is missing, or ``out`` is some other folder.
    """
    project, out = Path(project), Path(out)
    for name in GENERATED:
        if not (project / name).is_file():
            raise UserError(f"{project / name}: no such file; let ai8x-synthesis write it first")
    if out.exists() and not (out / "network.h").is_file():
        raise UserError(f"{out} exists and is no generated project; name another folder")
    with whole_folder(out) as staging:
        shutil.copytree(TEMPLATES / "ai8x", staging, dirs_exist_ok=True)
        shutil.copytree(TEMPLATES / "standalone", staging / "standalone")
        for name in ("platform.c", "platform.h", "max78000_registers.h"):
            shutil.copyfile(TEMPLATES / "common" / name, staging / name)
        for name in GENERATED:
            shutil.copyfile(project / name, staging / name)
        header = (staging / "cnn.h").read_text(encoding="utf-8")
        (staging / "cnn.h").write_text(_ROOM.sub(_enlarge(elements), header), encoding="utf-8")
        (staging / "network.h").write_text("/* Generated by ai8x-synthesis. */\n")
    return out


def _enlarge(elements: int) -> Callable[[re.Match[str]], str]:
    return lambda match: f"{match.group(1)}{max(int(match.group(2)), elements)}"


def differences(program: Program, sample: np.ndarray, project: Path) -> list[compare.Difference]:
    """Return all differences between our program with its sample and a generated project.

    Registers, kernels, biases and input are compared by their final state.

    Raises:
        UserError: the project cannot be read.
    """
    theirs = generated.read(project)
    return compare.differences(compare.state_of_program(program, sample), theirs.state)


def answer_differences(
    program: Program, expected: Mapping[str, np.ndarray], project: Path
) -> list[int]:
    """Return the byte addresses where the known answers differ (or only one has one).

    Args:
        program: ours.
        expected: our outputs, int [channels, rows, columns] by name.
        project: folder of the generated project.
    """
    theirs = generated.read(project).answer
    ours = generated.answer_bytes(program.known_answer(expected))
    return sorted(a for a in set(ours) | set(theirs) if ours.get(a) != theirs.get(a))


def load(source: str | Path) -> tuple[Compiled, np.ndarray]:
    """Compile what :mod:`synthesize.ai8x.description` wrote; returns the sample as well."""
    source = Path(source)
    sample = np.load(source / description.SAMPLE_NAME, allow_pickle=False)
    weights = checkpoint.load(source / description.CHECKPOINT_NAME)
    return compile_network(weights, source / description.YAML_NAME, sample.shape, True), sample


def words_that_fit(program: Program, answer: np.ndarray) -> int | None:
    """How many words of the known answer leave room for the rest in flash; None: all of them.

    Its C holds the answer as it is, besides the weights and the sample.

    Args:
        program: ours.
        answer: the whole answer, as the firmware compares it.
    """
    weights = sum(4 * len(block.words) for block in program.weights)
    sample = int(np.prod(program.input_shape))
    room = (memory_map.FLASH_SIZE - CODE_BYTES - weights - sample) // 4
    return None if len(answer) <= room else max(room, 1)


def _run(generator: Generator, source: Path, folder: str, most_words: int | None = None) -> None:
    arguments = [
        *(generator.python, "ai8xize.py", "--test-dir", folder, "--prefix", PROJECT),
        *("--config-file", str(source / description.YAML_NAME)),
        *("--checkpoint-file", str(source / description.CHECKPOINT_NAME)),
        *("--sample-input", str(source / description.SAMPLE_NAME)),
        # The layout is checked here already; the generator's check refuses some safe overlaps.
        *("--device", "MAX78000", "--no-version-check", "--overlap-data", "--no-progress"),
        *("--timer", "0"),
    ]
    if _streams(source / description.YAML_NAME):
        arguments.append("--fifo")
    if most_words is not None:
        arguments += ["--max-checklines", str(most_words)]
    try:
        result = subprocess.run(
            arguments, cwd=generator.folder, capture_output=True, text=True, check=False,
            timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"cannot run ai8x-synthesis with {generator.python}: {error}") from error
    if result.returncode:
        raise UserError(
            f"{source / description.YAML_NAME}: ai8x-synthesis says: {reason(result.stderr)}"
        )


def _streams(path: Path) -> bool:
    first = path.read_text(encoding="utf-8").split("\n  - ")[1]
    return "streaming: true" in first


def reason(stderr: str) -> str:
    """Return the generator's complaint in one line."""
    lines = [_COLOUR.sub("", line).strip() for line in stderr.splitlines()]
    for index, line in enumerate(lines):
        if line.startswith("ERROR:"):
            return " ".join(lines[index:])[:500]
    return (lines or ["nothing"])[-1][:500]


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: 0 same program, 1 differences, 2 wrong input."""
    parser = Parser(prog="python -m synthesize.official", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with network.yaml and its checkpoint")
    parser.add_argument(
        "--out", type=to_folder, help="folder of the project (default: FOLDER/official)"
    )
    parser.add_argument("--firmware", type=Path, help="folder of a project that can be built")
    options = parser.parse_args(arguments)
    found_generator = find()
    out = generate(found_generator, options.folder, options.out or options.folder / "official")
    compiled, sample = load(options.folder)
    found = differences(compiled.program, sample, out)
    expected = compiled.known_answer(sample)
    wrong = answer_differences(compiled.program, expected, out)
    if options.firmware is not None:
        words = words_that_fit(compiled.program, compiled.program.known_answer(expected))
        if words is not None:
            # The whole answer has been compared; what is built has as much of it as flash holds.
            generate(found_generator, options.folder, out, words)
            print(f"{out}: its test compares the first {words} words, for which flash has room")
        elements = sum(output.addresses.size for output in compiled.program.outputs)
        firmware(out, options.firmware, elements)
    found, explained = compare.explain(found, compiled)
    for difference in found[:10]:
        print(difference, file=sys.stderr)
    print(
        f"{out}: {len(found)} differences from our own program ({sum(explained.values())} of a "
        f"known kind), {len(wrong)} in the known answer"
    )
    return 1 if found or wrong else 0
