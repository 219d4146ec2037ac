"""Small C programs for the virtual board, built with the stand-alone start-up of the project."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from synthesize.write import elf as build
from synthesize.write import project as emit

BOARD_SUPPORT = (
    "platform.c",
    "platform.h",
    "max78000_registers.h",
    "console.c",
    "console.h",
    "crc32.c",
    "crc32.h",
)
_NETWORK = '#define NETWORK_NAME "none"\n'


def build_program(folder: Path, source: str, cache: Path | None = None) -> Path:
    """Compile ``source`` as main.c with the board support; returns the ELF image.

    Console and frame functions are there, the accelerator's driver is not.
    """
    pytest.importorskip("unicorn", reason="the kit extra is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*BOARD_SUPPORT, "frame.c", "frame.h"):
        shutil.copyfile(emit.TEMPLATES / "common" / name, folder / name)
    shutil.copytree(emit.TEMPLATES / "standalone", folder / "standalone", dirs_exist_ok=True)
    (folder / "network.h").write_text(_NETWORK, encoding="ascii")
    (folder / "main.c").write_text(source, encoding="ascii")
    return build.build(folder, cache=cache or folder.parent / "objects")
