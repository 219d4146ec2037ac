"""What every command says to somebody who gets something wrong: one sentence, status 2.

A table of commands, and the same mistakes made with each: no arguments, a file that is missing, a
folder in place of a file, an output that cannot be written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from pose78.shipped import shipped
from tests.helpers import refusals
from tests.helpers.refusals import refused

PEOPLE = str(Path(__file__).resolve().parents[2] / "docs" / "images" / "people.png")
LIFT = str(shipped()["lift"])


@dataclass(frozen=True)
class Command:
    """A command of the table.

    reads: its arguments, ``IN`` standing for the file that is wrong and ``OUT`` for an output.
    writes: arguments that are right but for ``OUT``; empty when it writes nothing.
    alone: whether it says something else than a refusal without arguments.
    """

    name: str
    module: str
    first: tuple[str, ...] = ()
    reads: str = ""
    writes: str = ""
    suffix: str = ""
    alone: bool = False


def front(verb: str, reads: str = "", writes: str = "", suffix: str = "", alone: bool = False):
    return Command(f"pose78 {verb}", "pose78.__main__", (verb,), reads, writes, suffix, alone)


COMMANDS = (
    front("predict", "IN", f"{PEOPLE} --json OUT"),
    front("predict", f"{PEOPLE} --model IN", f"{PEOPLE} --csv OUT"),
    front("predict", "IN", f"{PEOPLE} --save OUT", ".mp4"),
    front("check", "IN", suffix=".py"),
    front("check", "IN", suffix=".yaml"),
    front("check", "IN", suffix=".onnx"),
    front("check", "IN", suffix=".pth.tar"),
    front("check", "IN"),
    front("compile", "IN --out OUT", f"{LIFT} --quiet --out OUT"),
    front("report", "IN", "lift -o OUT"),
    front("quantize", "IN OUT"),
    front("train", "--config IN", alone=True),
    front("label"),
    front("eval"),
    front("doctor", alone=True),
    front("run", "IN"),
    front("flash", "IN"),
    front("view", "--replay IN", alone=True),
    front("export", "--replay IN -o OUT"),
    Command("sample", "ai8x_models.preprocess", (), "IN -o OUT", f"{PEOPLE} -o OUT"),
    Command("show", "ai8x_models.show", (), "IN --maps IN --report IN -o OUT"),
    Command("build", "synthesize.build", (), "IN"),
    Command("show graph", "synthesize.__main__", ("show",), "IN"),
    Command("synthesize check", "synthesize.__main__", ("check",), "IN"),
    Command("bits", "quantize.__main__", ("bits",), "IN --images IN --out OUT"),
    Command("equalize", "quantize.__main__", ("equalize",), "IN OUT --images IN"),
    Command("lift sample", "distill.__main__", ("lift", "sample"), "IN -o OUT"),
    Command("export onnx", "distill.__main__", ("pose", "export"), "IN OUT"),
    Command("data speed", "distill.people.bench", alone=True),
)


def call(command: Command, arguments: list[str]) -> int:
    """The exit status."""
    return refusals.call(command.module, [*command.first, *arguments])


def named(command: Command, text: str, **paths: Path) -> list[str]:
    return [str(paths.get(word, word)) for word in text.split()]


def cases(*needs: str) -> list:
    """The commands that have what a mistake needs."""
    chosen = [c for c in COMMANDS if all(getattr(c, need) for need in needs)]
    return [pytest.param(c, id=f"{c.name} {c.reads} {c.suffix}".strip()) for c in chosen]


@pytest.mark.parametrize("command", cases())
def test_help(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(command, ["-h"]) == 0
    assert "usage: " in capsys.readouterr().out


@pytest.mark.parametrize("command", [c for c in COMMANDS if not c.alone], ids=lambda c: c.name)
def test_no_arguments(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(command, []) == 2
    refused(capsys.readouterr().err)


@pytest.mark.parametrize("command", cases("reads"))
def test_a_missing_file(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, out = tmp_path / f"missing{command.suffix}", tmp_path / "out"
    assert call(command, named(command, command.reads, IN=wrong, OUT=out)) == 2
    refused(capsys.readouterr().err)
    assert not out.exists()


@pytest.mark.parametrize("command", cases("reads"))
def test_a_folder_in_place_of_a_file(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, out = tmp_path / f"folder{command.suffix}", tmp_path / "out"
    wrong.mkdir()
    assert call(command, named(command, command.reads, IN=wrong, OUT=out)) == 2
    refused(capsys.readouterr().err)
    assert not out.exists()


@pytest.mark.parametrize("command", cases("reads"))
def test_an_empty_name(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [a if a != "IN" else "" for a in named(command, command.reads, OUT=tmp_path / "out")]
    assert call(command, given) == 2
    said = capsys.readouterr().err
    refused(said)
    assert "is empty" in said
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("command", cases("writes"))
def test_an_output_that_cannot_be_written(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "below"
    assert call(command, named(command, command.writes, OUT=out)) == 2
    said = capsys.readouterr().err
    refused(said)
    assert "cannot write" in said
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
