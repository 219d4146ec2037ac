"""No thread runs the emulator on while the interpreter ends and takes its memory away.

unicorn lets go of an emulator when Python ends, whoever runs it. A thread that is still in it then
reads memory that is gone: a segmentation fault, after a second Ctrl-C for example, which breaks off
the wait for the thread. So the end waits for it, for a while, and no thread enters again.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator

_WAIT_SECONDS = 20.0
_doors: weakref.WeakSet[Door] = weakref.WeakSet()
_leaving = threading.Event()


class Door:
    """Of one emulator: who is inside is asked to come out before the interpreter ends.

    Args:
        ask: have the emulator stop soon; called from another thread, again and again.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        self.ask = ask
        self.inside = False
        if not _doors:
            atexit.unregister(leave)
            # The last to be registered is the first to be called: before unicorn lets go.
            atexit.register(leave)
        _doors.add(self)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be inside during the block."""
        self.inside = True
        try:
            self.check()
            yield
        finally:
            self.inside = False

    def check(self) -> None:
        """Come back only if the interpreter goes on; for threads, which nothing waits for then."""
        if _leaving.is_set() and threading.current_thread() is not threading.main_thread():
            self.inside = False
            threading.Event().wait()


def leave() -> None:
    """Wait until no thread is inside any emulator."""
    _leaving.set()
    end = time.monotonic() + _WAIT_SECONDS
    for door in list(_doors):
        while door.inside and time.monotonic() < end:
            door.ask()
            time.sleep(0.005)
