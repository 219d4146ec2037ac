"""Writes firmware into a board's flash with OpenOCD.

MAX78000 boards carry a CMSIS-DAP debug adapter (a MAX32625PICO). OpenOCD must know the chip: the
one in the vendor's SDK does, with ``target/max78000.cfg`` and the flash driver ``max32xxx`` (public
MAX78000 SDK, Tools/OpenOCD/scripts/target).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError

ELF_MAGIC = b"\x7fELF"
_SECONDS = 120.0
_TAIL_LINES = 6

HINTS = (
    (
        ("cmsis-dap device", "no cmsis-dap", "no device found"),
        "no debug adapter was found; plug the board's debug USB connector in (on Linux, install "
        "OpenOCD's udev rules too); a drive called MAINTENANCE instead of DAPLINK means that the "
        "adapter itself waits for firmware (docs/guide.md)",
    ),
    (
        ("can't find target/max78000", "can't find interface/cmsis-dap", "invalid command name"),
        "this OpenOCD does not know the MAX78000; install the vendor's (it comes with the MAX78000 "
        "SDK) and name its scripts folder with --scripts",
    ),
    (
        ("error connecting dp", "cannot read idr", "timed out", "examin", "not halted"),
        "the adapter answers but the chip does not: its firmware sleeps or the debug port is "
        "locked; try again with --under-reset, and if that fails see docs/guide.md",
    ),
)
"""What to say when OpenOCD's output holds one of the words; the first that fits."""


def command(
    openocd: str,
    firmware: Path,
    scripts: Path | None = None,
    under_reset: bool = False,
    mass_erase: bool = False,
) -> list[str]:
    """OpenOCD's command line.

    Args:
        openocd: the program.
        firmware: ELF file.
        scripts: folder of OpenOCD's scripts, where it is not the usual one.
        under_reset: hold the chip in reset while connecting, so that firmware which sleeps at once
            cannot get in the way.
        mass_erase: erase the whole flash first.
    """
    words = [openocd, *(("-s", str(scripts)) if scripts is not None else ())]
    words += ["-f", "interface/cmsis-dap.cfg", "-f", "target/max78000.cfg"]
    steps = ["reset_config srst_only connect_assert_srst"] if under_reset else []
    steps += ["init", "reset halt"]
    if mass_erase:
        steps.append("max32xxx mass_erase 0")
    steps.append(f"program {_quoted(firmware)} verify reset exit")
    for step in steps:
        words += ["-c", step]
    return words


def _quoted(path: Path) -> str:
    """A path as one word of OpenOCD's Tcl, whatever is in it."""
    text = str(path.resolve()).replace("\\", "/")
    if any(letter in text for letter in "{}\n"):
        raise UserError(f"{path}: OpenOCD cannot read a path with braces; move the file")
    return "{" + text + "}"


def find_openocd(given: str | None) -> str:
    """Path of the OpenOCD program; UserError when there is none."""
    found = shutil.which(given or "openocd")
    if found is None:
        name = given or "openocd"
        raise UserError(
            f"{name} was not found; install the OpenOCD that comes with the MAX78000 SDK (others "
            "may not know the chip) and put it on the PATH or name it with --openocd"
        )
    return found


def check_firmware(path: Path) -> None:
    """UserError unless it is an ELF file."""
    try:
        with path.open("rb") as file:
            begin = file.read(4)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    if begin != ELF_MAGIC:
        raise UserError(f"{path} is no ELF file; flash the firmware.elf that was built")


def explain(output: str) -> str:
    """One sentence on why OpenOCD failed."""
    low = output.lower()
    for words, hint in HINTS:
        if any(word in low for word in words):
            return hint
    last = [line.strip() for line in output.splitlines() if line.strip()]
    return last[-1] if last else "it said nothing"


def flash(words: Sequence[str]) -> None:
    """Run OpenOCD; UserError when it fails."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"OpenOCD did not finish within {_SECONDS:g} s; unplug the board and try again"
        ) from None
    except OSError as error:
        raise UserError(f"{words[0]} cannot be run: {error.strerror or error}") from None
    output = done.stdout.decode("utf-8", errors="replace")
    if done.returncode:
        tail = "\n".join(output.splitlines()[-_TAIL_LINES:])
        print(tail)
        raise UserError(f"OpenOCD failed: {explain(output)}")
