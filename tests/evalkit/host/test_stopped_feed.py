"""Whoever ends a program waits for the thread that runs the emulator, or memory is torn away."""

from __future__ import annotations

import _thread
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from evalkit.host.serial.links import KitLink
from evalkit.host.stream.feed import Feed, LiveFeed, Options
from evalkit.host.viewer.board import Board
from tests.helpers.raw_firmware import elf, thumb

FOR_EVER = thumb(0x3001, 0xE7FD)  # adds r0, #1; b .-2: it computes, and never says a word


class Slow(Feed):
    """Needs a moment to stop."""

    done = False

    def _run(self) -> None:
        self._stop.wait()
        time.sleep(0.3)
        self.done = True


def interrupted_after(seconds: float) -> None:
    timer = threading.Timer(seconds, _thread.interrupt_main)
    timer.daemon = True
    timer.start()


@pytest.mark.parametrize("again", [False, True])
def test_an_interrupted_wait_still_knows_that_the_thread_runs(again: bool) -> None:
    feed = Slow(Board())
    feed.start()
    for _ in range(2 if again else 1):
        interrupted_after(0.3)
        with pytest.raises(KeyboardInterrupt):
            feed.wait()
    assert not feed.done
    feed.stop()
    assert feed.done


def test_a_run_that_is_interrupted_ends_the_thread() -> None:
    feed = Slow(Board())
    interrupted_after(0.3)
    with pytest.raises(KeyboardInterrupt):
        feed.run()
    assert feed.done


def test_a_feed_that_never_began_is_stopped_at_once() -> None:
    feed = Slow(Board())
    begin = time.monotonic()
    feed.wait()
    feed.stop()
    assert time.monotonic() - begin < 1


def test_a_kit_that_computes_for_ever_is_stopped(tmp_path: Path) -> None:
    pytest.importorskip("unicorn", reason="the kit extra is not installed")
    image = elf(FOR_EVER, tmp_path / "firmware.elf")
    board = Board()
    feed = LiveFeed(board, lambda: KitLink(image), Options())
    feed.start()
    time.sleep(1)
    feed.stop(60)
    assert feed._ended.is_set()
    feed.check()


LEAVES = """
import sys, threading, time
from pathlib import Path
from evalkit.kit import Kit
kit = Kit(Path(sys.argv[1]))
threading.Thread(target=lambda: kit.run_until(None, 1e9, 1e9), daemon=True).start()
time.sleep(1)
"""


def test_the_interpreter_ends_when_nobody_is_in_the_emulator(tmp_path: Path) -> None:
    """Also where nobody waits for the thread; without that it is a segmentation fault."""
    pytest.importorskip("unicorn", reason="the kit extra is not installed")
    image = elf(FOR_EVER, tmp_path / "firmware.elf")
    for _ in range(3):
        ended = subprocess.run([sys.executable, "-c", LEAVES, str(image)], capture_output=True)
        assert ended.returncode == 0, ended.stderr
