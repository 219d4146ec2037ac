"""Commands between make and the tools: words of variables, and a lock on a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from common.console import command_line
from common.errors import UserError
from common.words import words
from tests.helpers.places import REPOSITORY

ASK = [sys.executable, "-m", "common.words"]


def test_words_of_a_variable_take_its_place() -> None:
    given = ["cmd", "+SET", "+none", "x+SET", "+"]
    variables = {"SET": "a=1 'b c' \"d $HOME\" `id` $(id)"}
    found = words(given, variables)
    assert found == ["cmd", "a=1", "b c", "d $HOME", "`id`", "$(id)", "+none", "x+SET", "+"]
    assert words(["+ARGS"], {}) == []


def test_a_quote_that_is_not_closed_is_refused() -> None:
    with pytest.raises(UserError, match="ARGS is -k 'a; a quote"):
        words(["+ARGS"], {"ARGS": "-k 'a"})


def test_a_folder_is_kept_until_the_last_child_has_ended(tmp_path: Path) -> None:
    """Even when the process that asked for the lock is killed, what it started keeps it."""
    folder = tmp_path / "build"
    sleeper = "import sys; print('in', flush=True); sys.stdin.read()"
    inner = [sys.executable, "-c", sleeper]
    outer = f"import subprocess; subprocess.run({inner!r}, close_fds=False)"
    first = subprocess.Popen(
        [*ASK, "--lock", str(folder), sys.executable, "-c", outer],
        cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert first.stdin
    assert first.stdout
    assert first.stdout.readline() == b"in\n"
    second = [*ASK, "--lock", str(folder), "true"]

    def ask() -> subprocess.CompletedProcess[str]:
        return subprocess.run(second, cwd=REPOSITORY, capture_output=True, text=True)

    refused = ask()
    assert refused.returncode == 2
    assert refused.stderr == (
        f"error: {folder} is in use by another make (process {first.pid}); wait until it has "
        "ended, or name another folder with BUILD=\n"
    )
    first.kill()
    first.wait()
    assert ask().returncode == 2  # its child is still there
    first.stdin.close()
    first.stdout.read()  # until the child has ended
    first.stdout.close()
    assert ask().returncode == 0


def test_a_command_that_is_not_there_is_named() -> None:
    command = [*ASK, "no-such-command"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (
        2, "error: cannot run no-such-command: No such file or directory\n",
    )  # fmt: skip


def test_a_full_disk_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    @command_line
    def main() -> None:
        with open("/dev/full", "w") as file:
            file.write("x" * 100_000)

    assert main() == 2
    assert "error: cannot read or write" in capsys.readouterr().err


def test_output_that_finds_no_room_is_an_error() -> None:
    code = "from common.console import command_line as c\nexit(c(lambda: print(1))())"
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-c", code], cwd=REPOSITORY, stdout=full, stderr=subprocess.PIPE
        )
    assert result.returncode != 0
    assert b"No space left on device" in result.stderr
    assert b"Traceback" not in result.stderr


def test_a_reader_that_goes_away_is_no_fault() -> None:
    code = (
        "from common.console import command_line as c\nimport sys\n"
        "def work():\n    while True: print('x' * 1000)\nsys.exit(c(work)())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    assert process.stderr
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141
