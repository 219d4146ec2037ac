"""Which picture comes next: played, held, step by step, chosen, or dropped on the page.

A player stands between a camera and whoever looks at its pictures (a feed's thread); the page's
buttons reach it from other threads. What cannot be read is named and left out. A single picture
that was dropped is looked at at once and then held, so that it stays to be seen; a video that was
dropped is played once, then the player says so and holds, and going on means the camera again.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common.errors import UserError
from evalkit.host.stream.pictures import Camera, Photographs, Picture

MOST_NAMES = 500
"""Pictures of a folder that are offered one by one."""


class Gate:
    """Held or open, and a number of steps to take although it is held; thread-safe.

    Attributes:
        told: called with the state (plain data) whenever it changes, from any thread.
        takes: whether pictures may be dropped.
    """

    def __init__(self) -> None:
        self.takes = False
        self.told: Callable[[dict[str, Any]], None] = lambda state: None
        self.held = False
        self.ended = ""
        self._steps = 0
        self._changed = threading.Condition()

    def hold(self) -> None:
        """Stop after the picture that is being looked at."""
        with self._changed:
            self.held, self._steps = True, 0
        self.tell()

    def play(self) -> None:
        """Go on, from the beginning if it has ended."""
        with self._changed:
            self.held, self.ended = False, ""
            self._changed.notify_all()
        self.tell()

    def step(self) -> None:
        """Hold, but look at one more picture."""
        with self._changed:
            self.held, self.ended = True, ""
            self._steps += 1
            self._changed.notify_all()
        self.tell()

    def open(self, seconds: float) -> bool:
        """Whether the next picture may come; waits so long for it. Takes a step if it must."""
        with self._changed:
            self._changed.wait_for(self._may, seconds)
            if not self._may():
                return False
            if self.held:
                self._steps -= 1
            return True

    def shows(self) -> bool:
        """Whether a picture that came by itself is to be shown; takes a step if it must."""
        with self._changed:
            if self.held and not self._steps:
                return False
            self._steps -= self.held
            return True

    def _may(self) -> bool:
        return not self.held or self._steps > 0

    def state(self) -> dict[str, Any]:
        """What the page shows: held, ended (a sentence or nothing), takes (whether pictures may be
        dropped), names (of a folder's pictures) and at (the one that is shown, or -1)."""
        return {
            "held": self.held, "ended": self.ended, "takes": self.takes, "names": [], "at": -1,
        }  # fmt: skip

    def tell(self) -> None:
        """Say how things stand."""
        self.told(self.state())


class Player(Gate):
    """The pictures of a camera, and those that are dropped.

    Args:
        camera: None waits for what is dropped.
        repeat: begin again at its end, rather than say so and hold.
        last: return None for ever at the end instead of holding.
        log: gets a sentence about every picture that cannot be read.
    """

    def __init__(
        self,
        camera: Camera | None,
        repeat: bool = True,
        last: bool = False,
        log: Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__()
        self.takes = True
        self._camera, self._repeat, self._last, self._log = camera, repeat, last, log
        self._dropped: deque[Picture] = deque(maxlen=4)
        self._guest: tuple[str, Iterator[Picture]] | None = None
        self._own: Iterator[Picture] | None = None
        self._broken = 0
        self._at = -1
        self.over = False

    @property
    def names(self) -> list[str]:
        """Names of the pictures that can be chosen."""
        files = self._camera.files if isinstance(self._camera, Photographs) else []
        return [file.name for file in files[:MOST_NAMES]]

    def file(self, number: int) -> Path | None:
        """One of those pictures."""
        files = self._camera.files if isinstance(self._camera, Photographs) else []
        return files[number] if number < len(self.names) else None

    def state(self) -> dict[str, Any]:
        """See :class:`Gate`."""
        return {**super().state(), "names": self.names, "at": self._at}

    def go(self, number: int) -> None:
        """Look at one picture of a folder, and hold."""
        camera = self._camera
        if isinstance(camera, Photographs) and 0 <= number < len(camera.files):
            with self._changed:
                self._own = camera.pictures(self._repeat, number)
                self._at, self._guest = number - 1, None
            self.step()

    def drop(self, picture: Picture, hold: bool = True) -> None:
        """Look at a picture next; ``hold``: and then at no other."""
        with self._changed:
            self._dropped.append(picture)
            self.held, self.ended = self.held or hold, ""
            self._changed.notify_all()
        self.tell()

    def visit(self, camera: Camera) -> None:
        """Play something else once, beginning now."""
        with self._changed:
            self._guest = (camera.name, camera.pictures(False))
        self.play()

    def _may(self) -> bool:
        waits = self._camera is None and self._guest is None
        return bool(self._dropped) or (super()._may() and not waits)

    def next(self, seconds: float = 0.2) -> Picture | None:
        """The next picture; None when none comes within so many seconds, or ``over``.

        Raises:
            UserError: nothing of the camera can be read.
        """
        with self._changed:
            if self._dropped:
                return self._dropped.popleft()
        if self.over or not self.open(seconds):
            return None
        with self._changed:
            if self._dropped:
                return self._dropped.popleft()
            return self._from_guest() if self._guest else self._from_camera()

    def _from_guest(self) -> Picture | None:
        assert self._guest is not None
        name, pictures = self._guest
        with contextlib.suppress(UserError):
            picture = next(pictures, None)
            if picture is not None:
                return picture
        self._guest = None
        self._end(f"{name} has ended")
        return None

    def _from_camera(self) -> Picture | None:
        assert self._camera is not None
        if self._own is None:
            self._own, self._at = self._camera.pictures(self._repeat), -1
        try:
            picture = next(self._own, None)
        except UserError as error:
            self._leave_out(error)
            return None
        if picture is None:
            self._own = None
            if self._last:
                self.over = True
            else:
                self._end(f"{self._camera.name} has ended")
            return None
        self._broken = 0
        names = self.names
        if names:
            self._at = (self._at + 1) % len(self._camera.files)  # type: ignore[attr-defined]
            self.tell()
        return picture

    def _leave_out(self, error: UserError) -> None:
        """Go on behind a picture that cannot be read, unless there is nothing else."""
        files = self._camera.files if isinstance(self._camera, Photographs) else []
        self._broken += 1
        if self._broken >= len(files):
            raise error
        self._log(f"left out: {error}")
        self._at = (self._at + 1) % len(files)
        assert isinstance(self._camera, Photographs)
        rest = self._at + 1 < len(files) or self._repeat
        self._own = self._camera.pictures(self._repeat, self._at + 1) if rest else iter(())
        with self._changed:
            self._steps += self.held  # the step is not taken yet

    def _end(self, sentence: str) -> None:
        with self._changed:
            self.held, self.ended, self._steps = True, sentence, 0
        self.tell()
