"""Command line of the virtual kit: ``python -m evalkit COMMAND ...``.

Each command is a module of ``evalkit.commands`` with ``main(arguments: list[str]) -> int``; it is
imported only when asked for, so that a replay needs no emulator.
"""

from __future__ import annotations

import sys
from importlib import import_module

from common.console import command_line
from common.errors import UserError

COMMANDS = {
    "run": "run a firmware ELF on the virtual board",
    "replay": "replay a recorded list of bus accesses",
    "bench": "measure how fast the virtual board is",
    "view": "watch a board, the virtual board or a recording in the browser",
    "export": "keypoints of a camera's pictures or of a recording as COCO JSON",
    "maps": "output maps of a folder of pictures as NumPy arrays",
    "flash": "write a firmware ELF into a board with OpenOCD",
    "board-report": "known answers and times of a board, or of the virtual one",
    "compare": "find where two layer dumps part",
}


def usage() -> str:
    """What the commands are."""
    lines = [f"  {name:12} {text}" for name, text in COMMANDS.items()]
    return "\n".join(["usage: python -m evalkit COMMAND [options]", "", "commands:", *lines])


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] in ("-h", "--help"):
        print(usage())
        return 0 if given else 2
    if given[0] not in COMMANDS:
        raise UserError(f"unknown command {given[0]!r} (known: {', '.join(COMMANDS)})")
    module = given[0].replace("-", "_")
    return int(import_module(f"evalkit.commands.{module}").main(given[1:]))


if __name__ == "__main__":
    sys.exit(main())
