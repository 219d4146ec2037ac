"""What every command says to somebody who gets something wrong: one sentence, status 2.

A table of commands, and the same mistakes made with each: no arguments, a file that is missing, a
folder in place of a file, an output that cannot be written.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from pose78.shipped import shipped

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
    """The exit status, whether the command returns it or argparse raises it."""
    try:
        return int(import_module(command.module).main([*command.first, *arguments]))
    except SystemExit as end:
        return int(end.code or 0)


def refused(said: str) -> None:
    """One sentence, the last line; before it there is usage at most."""
    lines = [line for line in said.splitlines() if not line.startswith(("[", "warning"))]
    assert "error: " in lines[-1]
    assert len([line for line in lines if "error: " in line]) == 1
    assert "Traceback" not in said


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


def said_by(module: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The refusal of a command."""
    assert call(Command("", module), arguments) == 2
    said = capsys.readouterr().err
    refused(said)
    return said


@pytest.mark.parametrize("size", ["-5", "0", "100000000"])
def test_a_size_that_is_none(size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [PEOPLE, "-o", str(tmp_path / "x.npy"), f"--size={size}"]
    assert f"--size is {size}; 1 to" in said_by("ai8x_models.preprocess", given, capsys)


def test_a_float_checkpoint_is_called_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {"a.op.weight": torch.full((4, 4, 3, 3), 0.3), "a.weight_bits": torch.zeros(1)}
    torch.save({"state_dict": state, "extras": {}}, tmp_path / "f.pth.tar")
    said = said_by("synthesize.__main__", ["show", str(tmp_path / "f.pth.tar")], capsys)
    assert "this is a float checkpoint" in said
    assert "weight_bits is 0" not in said


def test_integers_are_not_quantised_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = said_by("quantize.__main__", [LIFT, str(tmp_path / "o.pth.tar")], capsys)
    assert "holds integers already" in said
    assert not any(tmp_path.iterdir())


def test_text_as_checkpoint_gets_no_dangerous_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.pth.tar").write_text("just text\n")
    given = [str(tmp_path / "t.pth.tar"), str(tmp_path / "o.pth.tar")]
    said = said_by("quantize.__main__", given, capsys)
    assert "is no torch checkpoint of plain data" in said
    assert "weights_only" not in said


def test_lifting_a_picture_prints_none_of_its_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["lift", "sample", PEOPLE, "-o", str(tmp_path / "x.npy")]
    said = said_by("distill.__main__", given, capsys)
    assert "is no text; lifting starts from COCO keypoints" in said
    assert len(said) < 300


def test_a_folder_as_picture_names_the_command_for_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(tmp_path), "-o", str(tmp_path / "x.npy")]
    assert "pose78 predict" in said_by("ai8x_models.preprocess", given, capsys)


def test_a_picture_is_written_as_its_name_says(tmp_path: Path) -> None:
    from ai8x_models.overlay import write_picture
    from common.errors import UserError

    write_picture(tmp_path / "a.jpg", np.zeros((4, 4, 3), np.uint8))
    assert (tmp_path / "a.jpg").read_bytes()[:2] == b"\xff\xd8"
    write_picture(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"
    with pytest.raises(UserError, match="names no kind of picture"):
        write_picture(tmp_path / "a.txt", np.zeros((4, 4, 3), np.uint8))


def test_make_refuses_an_unknown_board_and_takes_a_name_with_a_dollar(tmp_path: Path) -> None:
    from tests.helpers.front_door import make

    done = make(tmp_path, "help", "BOARD=foo")
    assert done.returncode == 2
    assert "BOARD is 'foo'; it must be one of fthr evkit" in done.stderr
    shown = make(tmp_path, '--eval=shown: ; @echo "$$IMAGE"', "shown", "IMAGE=a$b c.png")
    assert shown.stdout == "a$b c.png\n", shown.stderr
