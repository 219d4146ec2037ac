"""``python -m evalkit board-report PROJECT ...``: known answers and times of a board.

Each project (compiled with ``--application known-answer``, built) is flashed and run in turn. The
times of the chip's own timer are compared with the cycle model and written as one JSON file and
one page. Without ``--port`` the virtual kit stands in. Exit status 1 when an answer is wrong or a
time differs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from common.arguments import Parser, to_file, whole
from common.console import progress, say
from common.files import check_writable, write_file
from evalkit.host import board_report
from evalkit.host.flash import command, find_openocd, flash
from evalkit.host.serial.links import BAUD, KitLink, SerialLink


def main(given: list[str]) -> int:
    """Command line.

    Raises:
        UserError: a project is incomplete, no OpenOCD, no port, or a file cannot be written.
    """
    parser = Parser(prog="python -m evalkit board-report", description=__doc__)
    parser.add_argument("projects", nargs="+", type=Path, metavar="PROJECT", help="folders")
    parser.add_argument("-o", "--out", type=to_file, required=True, metavar="FILE.json")
    parser.add_argument("--port", help="the board's serial port (default: the virtual kit)")
    parser.add_argument("--baud", type=whole(), default=BAUD, help="rate of the programs' console")
    parser.add_argument("--openocd", help="OpenOCD program (default: openocd on the PATH)")
    parser.add_argument("--scripts", type=Path, help="folder of its scripts, if not the usual one")
    parser.add_argument("--note", default="", help="e.g. the board, or a power monitor's reading")
    options = parser.parse_args(given)
    projects = [board_report.expected(folder) for folder in options.projects]
    openocd = find_openocd(options.openocd) if options.port else ""
    check_writable(options.out)
    rows = []
    for project in progress(projects, title="networks", unit="network"):
        row = _on_board(project, options, openocd) if options.port else _on_kit(project)
        say(f"{row.network}: {row.verdict}")
        rows.append(row)
    board = f"board at {options.port}" if options.port else "virtual kit"
    write_file(options.out, board_report.as_json(rows, board, options.note))
    write_file(options.out.with_suffix(".html"), board_report.page(rows, board, options.note))
    say(f"{options.out}, {options.out.with_suffix('.html')}")
    return 0 if all(row.good for row in rows) else 1


def _on_kit(project: board_report.Expected) -> board_report.Row:
    return board_report.measure(project, KitLink(project.firmware), lambda: None)


def _on_board(
    project: board_report.Expected, options: argparse.Namespace, openocd: str
) -> board_report.Row:
    """Listen first: the program speaks once, as soon as it is flashed."""
    words = command(openocd, project.firmware, options.scripts, False, False)
    link = SerialLink(options.port, options.baud)
    try:
        return board_report.measure(project, link, lambda: flash(words))
    finally:
        link.close()
