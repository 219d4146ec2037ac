"""Command lines: what a refusal looks like, and that faults of the program are not hidden."""

from __future__ import annotations

import io
import sys

import pytest

from common.console import command_line, progress
from common.errors import UserError


@command_line
def work(what: str) -> int | None:
    if what == "refuse":
        raise UserError("size is 3; it must be a multiple of 8")
    if what == "stop":
        raise KeyboardInterrupt
    if what == "fault":
        raise ZeroDivisionError
    return {"differ": 1}.get(what)


@pytest.mark.parametrize(
    ("what", "status", "said"),
    [
        ("well", 0, ""),
        ("differ", 1, ""),
        ("refuse", 2, "error: size is 3; it must be a multiple of 8\n"),
        ("stop", 130, "stopped\n"),
    ],
)
def test_the_status_says_how_it_ended(
    what: str, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert work(what) == status
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", said)


def test_a_fault_of_the_program_is_shown_whole() -> None:
    with pytest.raises(ZeroDivisionError):
        work("fault")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "shown"), [(io.StringIO(), False), (Terminal(), True)])
def test_progress_is_for_terminals(
    stream: io.StringIO, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress(range(3), title="layers")) == [0, 1, 2]
    assert ("layers" in stream.getvalue()) == shown
