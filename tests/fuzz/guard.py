"""Runs a reader on one file after the other in a process of its own, within limits.

A reader may return or raise UserError. Anything else is a finding: another exception, a crash, more
than ``MAX_MEGABYTES`` of memory beside what the process had, more than ``MAX_SECONDS``.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from distill.engine.machine import return_memory

MAX_MEGABYTES = 400
MAX_SECONDS = 5.0
"""Of processor time; a machine with other work takes longer by the clock."""

_ROOM = 8 << 30
"""Bytes of address space beside what is mapped: a bomb fails before the machine does."""

_PATIENCE = 300.0
"""Seconds by the clock, for readers that wait for something and take no processor time."""


@dataclass(frozen=True)
class Finding:
    """What a reader did with a file that it must not do."""

    content: bytes
    what: str


@dataclass(frozen=True)
class Tally:
    """How many files were read, how many of them refused, and what was found."""

    read: int
    refused: int
    findings: tuple[Finding, ...]


def judged(read: Callable[[Path], object], path: Path) -> str:
    """``read``, ``refused`` or what is wrong, of one file in this process."""
    _reset_peak()
    before, started = _status("VmRSS"), time.process_time()
    try:
        read(path)
        outcome = "read"
    except UserError as error:
        outcome = "refused" if 0 < len(str(error)) < 2000 else f"a message: {str(error)[:200]!r}"
    except BaseException:
        outcome = traceback.format_exc(limit=-6)
    seconds, megabytes = time.process_time() - started, (_status("VmHWM") - before) // 1024
    if megabytes > MAX_MEGABYTES:
        return f"{megabytes} MB of memory"
    if seconds > MAX_SECONDS:
        return f"{seconds:.1f} s of processor time"
    return outcome


def run(read: Callable[[Path], object], files: Iterator[bytes], folder: Path) -> Tally:
    """Read files (in a child process) until there are no more."""
    read_count = refused = 0
    findings: list[Finding] = []
    path = folder / "case"
    child: _Child | None = None
    for content in files:
        path.write_bytes(content)
        child = child or _Child(read, path)
        outcome = child.judge()
        if outcome == "read":
            read_count += 1
        elif outcome == "refused":
            refused += 1
        else:
            findings.append(Finding(content, outcome))
        if child.gone:
            child = None
    if child is not None:
        child.end()
    return Tally(read_count, refused, tuple(findings))


class _Child:
    """A process that judges the file at ``path`` each time it is told to."""

    def __init__(self, read: Callable[[Path], object], path: Path) -> None:
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # forking with threads: these wait and hold no lock
            self._process = os.fork()
        self.gone = False
        if self._process == 0:
            os.close(self._orders)
            os.close(self._answers)
            _serve(read, path, orders, answers)
        os.close(orders)
        os.close(answers)

    def judge(self) -> str:
        os.write(self._orders, b"x")
        ready, _, _ = select.select([self._answers], [], [], _PATIENCE)
        size = os.read(self._answers, 4) if ready else b""
        if len(size) == 4:
            return os.read(self._answers, int.from_bytes(size, "little")).decode()
        os.kill(self._process, signal.SIGKILL)
        status = self.end()
        return f"the process ended with status {status}" if ready else f"{_PATIENCE:g} s and no end"

    def end(self) -> int:
        """Wait for the process, which ends when nobody gives orders."""
        os.close(self._orders)
        os.close(self._answers)
        self.gone = True
        return os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])


def _serve(read: Callable[[Path], object], path: Path, orders: int, answers: int) -> None:
    status = 1
    # What the parent left to collect, or has freed and kept, must not be where a reader's memory
    # comes from while it is measured.
    gc.collect()
    gc.freeze()
    return_memory()
    try:
        room = _status("VmSize") * 1024 + _ROOM
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet):
            os.dup2(quiet.fileno(), 2)
            while os.read(orders, 1):
                answer = judged(read, path).encode()[-4000:]
                os.write(answers, len(answer).to_bytes(4, "little") + answer)
        status = 0
    finally:
        os._exit(status)


def _status(key: str) -> int:
    """A figure of this process in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise KeyError(key)


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")
