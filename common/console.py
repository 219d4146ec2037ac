"""What every command line does alike: refusals in one sentence, progress on a terminal."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ParamSpec, Protocol, TextIO

from common.errors import UserError
from common.texts import console, one_line

Given = ParamSpec("Given")

_called: list[str] = []
"""What this program was called by, where that is not how its module says; see ``call_as``."""
REFUSED = 2
UNREAD = 141  # 128 + SIGPIPE
_NO_PLACE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EEXIST, errno.ENOENT),
)
"""Errors of writing that a user can mend: no room, no right, no place of that name."""
STOPPED = 130  # what a shell says of a program that was stopped with Ctrl-C: 128 + SIGINT


def command_line(work: Callable[Given, int | None]) -> Callable[Given, int]:
    """Decorate a ``main``: it returns the exit status whatever happens to the user's input.

    None counts as 0. A :class:`~common.errors.UserError` becomes ``error: <sentence>`` on standard
    error and status 2, and so does a full disk or a place that cannot be written; Ctrl-C becomes a
    line and status 130. Anything else is a fault of the program and passes. Letters that standard
    output does not have are escaped there, as they are on standard error.
    """

    @functools.wraps(work)
    def guarded(*arguments: Given.args, **named: Given.kwargs) -> int:
        try:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="backslashreplace")
            _refuse_empty(arguments[0] if arguments and arguments[0] is not None else sys.argv[1:])
            status = work(*arguments, **named) or 0
            sys.stdout.flush()
            return status
        except UserError as error:
            text = console(str(error)) if error.listed else one_line(str(error))
            print(f"error: {text}", file=sys.stderr)
            return REFUSED
        except BrokenPipeError:  # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return UNREAD
        except OSError as error:
            if error.errno not in _NO_PLACE:
                raise
            name = error.filename or "the output"
            print(
                f"error: cannot read or write {one_line(str(name))}: {error.strerror}",
                file=sys.stderr,
            )
            return REFUSED
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return STOPPED

    return guarded


def _refuse_empty(arguments: Any) -> None:
    """No file, name or number is empty; a shell's variable that is not set is.

    Raises:
        UserError: an argument, or what an option is given behind ``=``, is empty.
    """
    before = ""
    for argument in arguments if isinstance(arguments, (list, tuple)) else ():
        option, sign, value = str(argument).partition("=")
        if sign and option.startswith("--") and not value:
            raise UserError(f"what {option} is given is empty; name something, or leave it out")
        if argument == "":
            where = f" behind {before}" if before else ""
            raise UserError(f"an argument{where} is empty; name something, or leave it out")
        before = str(argument)


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line of results; what does not print in it, as in names of files, is escaped.

    A bar that is shown meanwhile is not disturbed.
    """
    out = file or sys.stdout
    note(one_line(text), out)
    out.flush()


class Bar(Protocol):
    """What is asked of a bar; ``n`` is how far it is."""

    n: Any

    def __iter__(self) -> Iterator[Any]: ...

    def __enter__(self) -> Bar: ...

    def __exit__(self, *_: Any) -> Any: ...

    def update(self, n: float = 1) -> Any:
        """Move on."""

    def set_postfix(self, **values: Any) -> Any:
        """Say something behind it."""

    def set_postfix_str(self, s: str = "") -> Any:
        """The same in a word."""

    def write(self, s: str, file: TextIO | None = None) -> Any:
        """Print a line without disturbing it."""

    def close(self) -> Any:
        """Take it away."""


class _Unseen:
    """The bar of a log file."""

    n = 0

    def __init__(self, items: Iterable[Any] | None) -> None:
        self._items = () if items is None else items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __enter__(self) -> _Unseen:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def update(self, n: float = 1) -> None:
        pass

    def set_postfix(self, **values: Any) -> None:
        pass

    def set_postfix_str(self, s: str = "") -> None:
        pass

    def write(self, s: str, file: TextIO | None = None) -> None:
        print(s, file=file)

    def close(self) -> None:
        pass


def progress(
    items: Iterable[Any] | None = None, *, title: str, total: int | None = None, unit: str = "it"
) -> Bar:
    """A bar that goes when the work is done, on terminals only: log files stay readable.

    Iterate over it, or use it as a context and call ``update``.
    """
    if not sys.stderr.isatty():
        return _Unseen(items)
    from tqdm import tqdm  # it takes as long to load as a few pictures to be looked at

    return tqdm(items, desc=one_line(title), total=total, unit=unit, leave=False)


@contextlib.contextmanager
def call_as(name: str) -> Iterator[None]:
    """Within the block, parsers that ask :func:`program` speak of themselves by this name."""
    _called.append(name)
    try:
        yield
    finally:
        _called.pop()


def program(usual: str) -> str:
    """The ``prog`` of a parser: its usual name, unless another command stands in front of it."""
    return _called[-1] if _called else usual


def note(text: str, file: TextIO | None = None) -> None:
    """A line, on standard error unless said otherwise, that does not disturb a bar."""
    if "tqdm" not in sys.modules:
        print(text, file=file or sys.stderr)
        return
    from tqdm import tqdm

    tqdm.write(text, file=file or sys.stderr)


@contextlib.contextmanager
def stages(title: str, count: int) -> Iterator[Callable[[str], None]]:
    """A bar over work that has no loop: call what it gives with the name of each stage in turn."""
    with progress(title=title, total=count, unit="stage") as bar:
        begun = 0

        def begin(name: str) -> None:
            nonlocal begun
            bar.update(1 if begun else 0)
            bar.set_postfix_str(name)
            begun += 1

        yield begin
