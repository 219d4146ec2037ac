"""Compile a generated C project to an ELF image.

``python -m synthesize.build DIR`` compiles ``DIR`` to ``DIR/firmware.elf``.

The compiler is ``arm-none-eabi-gcc`` when it is on the path, else the clang inside the ``ziglang``
package (extra ``toolchain``). Objects are kept in a cache by the content of the source, of all
headers it can see and of the command line, so that a project which differs only in its sample
input compiles one small file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from common.arguments import Parser, whole
from common.console import command_line, say
from common.errors import UserError
from common.files import workplace

ELF_NAME = "firmware.elf"

COMMON_FLAGS = (
    "-std=c11",
    "-O2",
    "-g",
    "-ffreestanding",
    "-fno-strict-aliasing",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-Wall",
    "-Wextra",
    "-Werror",
)


@dataclass(frozen=True)
class Toolchain:
    """A C compiler for the Cortex-M4F: how to call it to compile and to link."""

    name: str
    compile_command: tuple[str, ...]
    link_command: tuple[str, ...]


def find_toolchain() -> Toolchain:
    """Return the compiler to use.

    The environment variable ``POSE78_TOOLCHAIN`` may name ``gcc`` or ``ziglang``.

    Raises:
        UserError: neither is installed.
    """
    wanted = os.environ.get("POSE78_TOOLCHAIN", "")
    if wanted not in ("", "gcc", "ziglang"):
        raise UserError(f"POSE78_TOOLCHAIN is {wanted}; set it to gcc or ziglang, or leave it out")
    gcc = shutil.which("arm-none-eabi-gcc")
    if gcc and wanted in ("", "gcc"):
        flags = ("-mthumb", "-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
        # With gcc 12.2 the pose decoder takes 5.16 ms for four people without these, 4.99 with.
        loops = ("-fno-tree-vectorize", "-funroll-loops")
        link = (gcc, *flags, "-nostdlib", "-Wl,--gc-sections")
        return Toolchain("arm-none-eabi-gcc", (gcc, *flags, *loops), link)
    if importlib.util.find_spec("ziglang") and wanted in ("", "ziglang"):
        base = (sys.executable, "-m", "ziglang", "cc")
        target = ("-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m4+vfp4d16sp")
        # zig turns the undefined-behaviour sanitizer on by default; there is no runtime for it.
        compile_command = (*base, *target, "-fno-sanitize=all", "-fno-stack-protector")
        return Toolchain(
            "ziglang clang", compile_command, (*base, *target, "-nostdlib", "-Wl,--gc-sections")
        )
    raise UserError(
        f"no ARM compiler found{f' for POSE78_TOOLCHAIN={wanted}' if wanted else ''}; install "
        "arm-none-eabi-gcc, or run: pip install 'pose78[toolchain]'"
    )


BAUD_RATES = (115200, 230400, 460800, 921600)
"""Rates of the console that its 7.3728 MHz clock divides to exactly."""


BOARDS: dict[str, tuple[str, ...]] = {"fthr": (), "evkit": ("-DBOARD_EVKIT",)}
"""Name of a board -> compiler options: MAX78000FTHR, MAX78000EVKIT."""


def build(
    project: str | Path,
    cache: str | Path | None = None,
    toolchain: Toolchain | None = None,
    baud: int = BAUD_RATES[0],
    board: str = "fthr",
    colour: bool = False,
) -> Path:
    """Compile and link a generated project.

    Args:
        project: folder written by ``synthesize.write.project.write_project``.
        cache: folder of cached objects; default ``.objects`` beside the project.
        toolchain: default ``find_toolchain()``.
        baud: rate of the console, one of ``BAUD_RATES``.
        board: whose buttons, LEDs and camera supply, one of ``BOARDS``.
        colour: whether ``live-follow`` tells people by their clothes too (C macro
            ``FOLLOW_COLOUR``).

    Returns:
        Path of the ELF image, ``project/firmware.elf``.

    Raises:
        UserError: no project there, no compiler, another baud rate or board, ``colour`` for another
            application, or the program does not fit the memories.
    """
    project = Path(project)
    if not (project / "network.h").is_file():
        raise UserError(f"{project} is no generated project (network.h is missing)")
    if baud not in BAUD_RATES:
        rates = ", ".join(map(str, BAUD_RATES))
        raise UserError(f"a console of {baud} baud is not possible; choose one of {rates}")
    if board not in BOARDS:
        raise UserError(f"board {board} is not known; choose one of {', '.join(BOARDS)}")
    if colour and not (project / "clothes.c").is_file():
        raise UserError(f"{project} does not follow people; leave --colour out (FOLLOW_COLOUR=0)")
    toolchain = toolchain or find_toolchain()
    cache = Path(cache) if cache is not None else project.parent / ".objects"
    cache.mkdir(parents=True, exist_ok=True)
    sources = [*sorted(project.glob("*.c")), *sorted((project / "standalone").glob("*.c"))]
    objects = []
    for source in sources:
        defines = [*BOARDS[board], *(["-DFOLLOW_COLOUR=1"] if colour else [])]
        if source.name == "platform.c":
            defines.append(f"-DCONSOLE_BAUD={baud}u")
        objects.append(_compile(toolchain, project, source, cache, defines))
    return _link(toolchain, project, objects)


_INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def _headers(source: Path, folders: tuple[Path, ...], seen: dict[str, bytes]) -> dict[str, bytes]:
    """Collect the project headers a source includes, directly or not, by name."""
    for match in _INCLUDE.finditer(source.read_bytes()):
        name = match.group(1).decode()
        for folder in (source.parent, *folders):
            header = folder / name
            if header.is_file() and name not in seen:
                seen[name] = header.read_bytes()
                _headers(header, folders, seen)
    return seen


def _compile(
    toolchain: Toolchain, project: Path, source: Path, cache: Path, defines: list[str]
) -> Path:
    relative = source.relative_to(project)
    arguments = [*toolchain.compile_command, *COMMON_FLAGS, *defines]
    digest = hashlib.sha256()
    for part in (*arguments, str(relative)):
        digest.update(part.encode() + b"\0")
    digest.update(source.read_bytes())
    for name, content in sorted(_headers(source, (project,), {}).items()):
        digest.update(name.encode() + b"\0" + content)
    target = cache / f"{source.stem}-{digest.hexdigest()[:24]}.o"
    if target.is_file():
        return target
    with workplace(cache) as place:
        out = place / "object.o"
        # Relative names keep the debug information free of this machine's folders.
        command = [*arguments, "-I.", "-c", str(relative), "-o", str(out.resolve())]
        command.append(f"-ffile-prefix-map={project.resolve()}=.")
        _run(command, project, f"compiling {relative}")
        out.rename(target)
    return target


def _link(toolchain: Toolchain, project: Path, objects: list[Path]) -> Path:
    with workplace(project) as place:
        out = place / ELF_NAME
        command = [*toolchain.link_command, "-Wl,-T,standalone/max78000.ld", "-Wl,-e,Reset_Handler"]
        command += [*(str(o.resolve()) for o in objects), "-o", str(out.resolve())]
        _run(command, project, "linking")
        return out.rename(project / ELF_NAME)


_OVERFLOW = re.compile(
    r"(?:region|section).*?(FLASH|SRAM).*?overflow\w* by (\d+) bytes|SRAM: no room"
)


def environment(folder: Path) -> dict[str, str]:
    """The compiler's environment: zig wants a place for its own cache, which HOME names usually."""
    own = dict(os.environ)
    if not any(own.get(name) for name in ("HOME", "XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR")):
        own["ZIG_GLOBAL_CACHE_DIR"] = str(folder.resolve().parent / ".zig")
    return own


def _run(command: list[str], folder: Path, what: str) -> None:
    result = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )
    if result.returncode == 0:
        return
    overflow = _OVERFLOW.search(result.stderr)
    if overflow:
        memory, excess = overflow.group(1) or "SRAM", overflow.group(2) or "some"
        size = {"FLASH": "512 KiB of flash", "SRAM": "128 KiB of SRAM"}[memory]
        raise UserError(
            f"{folder}: the firmware exceeds the {size} by {excess} bytes; fewer weight bits or a "
            "smaller network, or an application without a stored sample"
        )
    raise UserError(f"{folder}: {what} failed: {result.stderr.strip()[-2000:]}")


@command_line
def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = Parser(prog="python -m synthesize.build", description=__doc__)
    parser.add_argument("project", help="folder of a generated C project")
    parser.add_argument("--cache", help="folder of cached objects")
    parser.add_argument("--baud", type=whole(), default=BAUD_RATES[0], help="rate of the console")
    parser.add_argument("--board", default="fthr", help=f"{' or '.join(BOARDS)} (default: fthr)")
    parser.add_argument(
        "--colour", action="store_true", help="of live-follow: tell people by their clothes too"
    )
    arguments = parser.parse_args(argv)
    path = build(
        arguments.project,
        arguments.cache,
        baud=arguments.baud,
        board=arguments.board,
        colour=arguments.colour,
    )
    say(str(path))
    return 0
