"""Command lines: what a refusal looks like, and that faults of the program are not hidden."""

from __future__ import annotations

import io
import sys

import pytest

from common.console import command_line, progress, say
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


@command_line
def listing(arguments: list[str] | None = None) -> int | None:
    if arguments == ["list"]:
        error = UserError("two things:\n  one\n  two\x1b[2J")
        error.listed = True
        raise error
    raise UserError(f"{(arguments or [''])[0]} does not exist")


def test_a_name_in_a_refusal_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert listing(["a\nerror: b\x1b[1A"]) == 2
    assert capsys.readouterr().err == "error: a\\nerror: b\\x1b[1A does not exist\n"
    assert listing(["list"]) == 2
    assert capsys.readouterr().err == "error: two things:\n  one\n  two\\x1b[2J\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([""], "an argument is empty"),
        (["a", "--save", ""], "an argument behind --save is empty"),
        (["--save="], "what --save is given is empty"),
    ],
)
def test_empty_names_are_refused_before_they_mean_the_folder(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listing(given) == 2
    assert capsys.readouterr().err == f"error: {said}; name something, or leave it out\n"


def test_a_line_of_results_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\nb\x1b[2J.png: 2 people")
    assert capsys.readouterr().out == "a\\nb\\x1b[2J.png: 2 people\n"
