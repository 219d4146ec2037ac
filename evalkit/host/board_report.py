"""Known-answer firmware of several networks on a board, in turn: its own times beside the model's.

A project is a folder that the compiler wrote with ``--application known-answer`` and that has been
built: ``report.json`` holds what the cycle model expects, ``firmware.elf`` what is flashed. The
board's timer counts from the start of the accelerator to its interrupt in ticks of 20 ns, which
are the accelerator's cycles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from common.errors import UserError
from evalkit.host.serial.links import Link
from evalkit.wire import protocol
from synthesize.chip import limits

PATIENCE_S = 60.0
"""So long a program may take from reset to its end frame, by the link's clock."""
TOLERANCE = 0.02
TOLERANCE_CYCLES = 500
"""A time agrees with the model within 2 % and 10 us: published times of chips lie within 1.5 % of
it, and the interrupt's way into the timer is counted as well (``docs/measured.md``)."""

FORMAT = 1


@dataclass(frozen=True)
class Expected:
    """What a project says about itself."""

    network: str
    checksum: int
    cycles: int
    macs: int
    firmware: Path


@dataclass(frozen=True)
class Row:
    """One network on the board.

    measured_cycles: None when the board gave no time.
    verdict: ``agrees``, ``differs``, or what went wrong.
    """

    network: str
    checksum: str
    known_answer: bool
    model_cycles: int
    measured_cycles: int | None
    deviation: float | None
    verdict: str

    @property
    def good(self) -> bool:
        """Whether the answer is right and the time is the model's."""
        return self.known_answer and self.verdict == AGREES


AGREES = "agrees"


def expected(folder: Path) -> Expected:
    """Read a project.

    Raises:
        UserError: a file is missing or is not what it should be.
    """
    firmware, report = folder / "firmware.elf", folder / "report.json"
    for path in (report, firmware):
        if not path.is_file():
            raise UserError(
                f"{path}: no such file; compile with --application known-answer and build it"
            )
    try:
        facts = json.loads(report.read_text(encoding="utf-8"))
        checksum, cycles, macs = int(facts["checksum"], 16), int(facts["cycles"]), facts["macs"]
        return Expected(str(facts["name"]), checksum, cycles, int(macs), firmware)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{report}: not a report of the compiler ({error})") from error


def measure(
    wanted: Expected, link: Link, begin: Callable[[], None], patience: float = PATIENCE_S
) -> Row:
    """Let the board run one program and listen.

    Args:
        wanted: the project.
        link: its console, open before the program starts.
        begin: starts the program (flashes it).
    """
    begin()
    parser, end = protocol.Parser(), link.clock() + patience
    hello: protocol.Hello | None = None
    while link.clock() < end:
        for frame in parser.feed(link.read(0.25)):
            if frame.type == protocol.HELLO:
                hello = protocol.parse_hello(frame.payload)
            elif frame.type == protocol.END and hello is not None:
                return _judged(wanted, hello, protocol.parse_end(frame.payload))
    return _row(wanted, False, None, "no answer" if hello is None else "no end")


def _judged(wanted: Expected, hello: protocol.Hello, end: protocol.End) -> Row:
    if hello.checksum != wanted.checksum:
        return _row(wanted, False, None, f"the board runs another network ({hello.network})")
    cycles = end.ticks or None
    if end.status != 0 or cycles is None:
        return _row(wanted, False, cycles, "the known answer was not met")
    near = abs(cycles - wanted.cycles) <= TOLERANCE * wanted.cycles + TOLERANCE_CYCLES
    return _row(wanted, True, cycles, AGREES if near else "differs")


def _row(wanted: Expected, met: bool, cycles: int | None, verdict: str) -> Row:
    deviation = None if cycles is None else round(cycles / wanted.cycles - 1, 5)
    checksum = f"{wanted.checksum:08x}"
    return Row(wanted.network, checksum, met, wanted.cycles, cycles, deviation, verdict)


def as_json(rows: Sequence[Row], board: str, note: str) -> str:
    """The report as text for machines."""
    facts: dict[str, Any] = {
        "format": FORMAT,
        "board": board,
        "note": note,
        "clock_hz": limits.CNN_CLOCK_HZ,
        "tolerance": {"share": TOLERANCE, "cycles": TOLERANCE_CYCLES},
        "good": all(row.good for row in rows),
        "networks": [asdict(row) for row in rows],
    }
    return json.dumps(facts, indent=1) + "\n"


def page(rows: Sequence[Row], board: str, note: str) -> str:
    """The report as a page of its own."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    text = resources.files("evalkit.host").joinpath("board_report.html").read_text("utf-8")
    return environment.from_string(text).render(
        rows=rows,
        board=board,
        note=note,
        good=sum(row.good for row in rows),
        microseconds=lambda cycles: f"{cycles / limits.CNN_CLOCK_HZ * 1e6:,.1f}",
        percent=lambda share: f"{100 * share:+.2f} %",
        tolerance=f"{TOLERANCE:.0%} and {TOLERANCE_CYCLES / limits.CNN_CLOCK_HZ * 1e6:.0f} us",
    )
