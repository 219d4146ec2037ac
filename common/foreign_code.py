"""Code of somebody else's file: whatever it does is one sentence, and what it prints is set apart.

This does not shut anything in: the code may do what Python may.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from common.errors import UserError

_ENDS = ("_exit", "execv", "execve")
"""Of modules ``os`` and ``posix``; the other ``exec`` functions call the last two."""
_LONGEST = 200
"""Characters of its own words that are repeated."""


class _Aside(io.RawIOBase):
    """A stream that writes to another one, and leaves that open when it is closed."""

    def __init__(self, to: TextIO) -> None:
        self._to = to

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._to.fileno()

    def write(self, data: Any) -> int:
        text = bytes(data).decode("utf-8", "replace")
        self._to.write(text)
        return len(data)


@contextlib.contextmanager
def contained(where: str, file: Path | None = None) -> Iterator[None]:
    """Run somebody else's code: it does not end the program, and prints to standard error.

    Args:
        where: what the sentence begins with, as the file's or the network's name.
        file: whose line that fails is named.

    Raises:
        UserError: the code raises anything, ``SystemExit`` as well; Ctrl-C passes.
    """
    aside = io.TextIOWrapper(
        io.BufferedWriter(_Aside(sys.stderr)), "utf-8", "backslashreplace", line_buffering=True
    )
    try:
        with (
            contextlib.redirect_stdout(aside),
            contextlib.redirect_stderr(aside),
            _no_way_out(),
        ):
            yield
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UserError(f"{where}{_line(error, file)}: {reason(error)}") from None
    finally:
        with contextlib.suppress(ValueError, OSError):  # the code may have closed it
            aside.flush()


@contextlib.contextmanager
def _no_way_out() -> Iterator[None]:
    """Calls that end the program at once, with the exit status of success, are errors instead.

    A process that the code forks ends as it always does.
    """
    modules = [module for module in map(sys.modules.get, ("os", "posix")) if module is not None]
    own = [(module, name, getattr(module, name)) for module in modules for name in _ENDS]
    here = os.getpid()

    def guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def end(*given: Any, **named: Any) -> Any:
            if os.getpid() != here:
                return function(*given, **named)
            raise SystemExit(f"os.{name}() ends the whole program")

        return end

    for module, name, function in own:
        setattr(module, name, guarded(name, function))
    try:
        yield
    finally:
        for module, name, function in own:
            setattr(module, name, function)


def reason(error: BaseException) -> str:
    """What an error is and says, on one line."""
    try:
        words = " ".join(str(error).split())
    except Exception:  # its class is somebody else's as well
        words = ""
    return f"{type(error).__name__}: {words[:_LONGEST]}".rstrip(": ")


def _line(error: BaseException, file: Path | None) -> str:
    """`` line N`` of a file in which an error arose, if it did."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
    number = own[-1].lineno if own else None
    if isinstance(error, SyntaxError) and error.filename == str(file):
        number = error.lineno
    return f" line {number}" if number else ""
