"""Compiles the firmware's portable C for the machine the tests run on, sanitizers on."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "firmware_templates"
NATIVE = ROOT / "tests" / "native"

FLAGS = ("-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all")
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0"}


@functools.cache
def compilers() -> tuple[tuple[str, ...], ...]:
    """Commands to try, the best first.

    A system compiler with address and undefined-behaviour sanitizers, else the clang of the
    ``toolchain`` extra, which brings the second only.
    """
    found: list[tuple[str, ...]] = []
    if os.name == "posix" and shutil.which("cc"):
        found.append(("cc", "-Wconversion", "-fsanitize=address,undefined"))
    if importlib.util.find_spec("ziglang"):
        found.append((sys.executable, "-m", "ziglang", "cc", "-fsanitize=undefined"))
    return tuple(found)


@functools.cache
def build(
    name: str,
    sources: tuple[Path, ...],
    folders: tuple[Path, ...],
    macros: tuple[str, ...] = (),
) -> Path:
    """Compile to an executable, once for each test run; AssertionError when no compiler can."""
    folder = Path(tempfile.mkdtemp(prefix="pose78-host-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = folder / name
    errors = []
    for compiler in compilers():
        command = [*compiler, *FLAGS, *(f"-I{f}" for f in folders)]
        command += [*(f"-D{macro}" for macro in macros), *map(str, sources)]
        result = subprocess.run(
            [*command, "-o", str(target)], capture_output=True, text=True, check=False
        )
        if result.returncode == 0:
            return target
        errors.append(f"{' '.join(command)}\n{result.stderr}")
    raise AssertionError("no compiler for the host could build it:\n" + "\n".join(errors))


def run(program: Path, request: bytes, arguments: Sequence[str] = ()) -> bytes:
    """Give a program its input and return its output; AssertionError on a sanitizer's finding."""
    result = subprocess.run(
        [str(program), *arguments],
        input=request,
        capture_output=True,
        check=False,
        env={**os.environ, **ENVIRONMENT},
    )
    message = result.stderr.decode(errors="replace")
    assert result.returncode == 0, f"{program.name} ended with {result.returncode}:\n{message}"
    return result.stdout
