"""Runs a command: ``python -m common.words [--lock FOLDER] COMMAND ...``, with no shell between.

An argument ``+NAME`` stands for the words of the environment variable NAME (``SET``, ``ARGS`` ...):
quotes group as they do in a shell, and nothing else in it has a meaning.

``--lock`` keeps a folder for the command and what it starts: whoever asks for it meanwhile is told
so. The lock is the kernel's, so that it goes when the last of these processes does.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from common.console import command_line
from common.errors import UserError

LOCK_NAME = ".lock"


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Become the command; returns only when it cannot be run."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--lock"]:
        lock(Path(given[1]))
        given = given[2:]
    command = words(given, os.environ)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise UserError(f"cannot run {command[0]}: {error.strerror or error}") from None


def words(given: Sequence[str], variables: os._Environ[str] | dict[str, str]) -> list[str]:
    """The arguments, with the words of a variable where ``+NAME`` stands.

    Raises:
        UserError: a quote in a variable is not closed.
    """
    found = []
    for argument in given:
        name = argument[1:]
        if not (argument.startswith("+") and name.isupper() and name.isidentifier()):
            found.append(argument)
            continue
        try:
            found += shlex.split(variables.get(name, ""))
        except ValueError:
            text = variables.get(name, "")
            raise UserError(f"{name} is {text}; a quote in it is not closed") from None
    return found


def lock(folder: Path) -> int:
    """Keep a folder until this process, and every child of it, has ended.

    Returns:
        The open file that holds the lock; children inherit it.

    Raises:
        UserError: somebody else keeps it, or it cannot be made.
    """
    path = folder / LOCK_NAME
    try:
        Path(os.path.realpath(folder)).mkdir(parents=True, exist_ok=True)  # a link may dangle
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(handle, 20).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise UserError(
            f"{folder} is in use by another make (process {owner}); wait until it has ended, or "
            "name another folder with BUILD="
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())
    os.set_inheritable(handle, True)
    return handle


if __name__ == "__main__":
    sys.exit(main())
