"""A recording as a source of events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from common.errors import UserError
from evalkit.host.stream.feed import DONE, GONE, LIVE, RETRY_SECONDS, Feed, Listener
from evalkit.host.stream.recording import read_recording
from evalkit.host.stream.shots import Shot
from evalkit.wire import protocol

_REPLAY_GAP_SECONDS = 1.0
_REPLAY_LOOK_SECONDS = 0.2


class ReplayFeed(Feed):
    """A recording, at the pace it was made, again and again unless ``repeat`` is False."""

    def __init__(self, listener: Listener, path: Path, repeat: bool = True) -> None:
        super().__init__(listener)
        self._path = path
        self._repeat = repeat
        self._who: protocol.Hello | None = None

    def _run(self) -> None:
        said = ""
        while not self._stop.is_set():
            try:
                self._play(read_recording(self._path))
            except UserError as error:
                if not self._repeat:
                    raise
                self.listener.status(GONE, str(error))
                if str(error) != said:
                    said = str(error)
                    self.listener.log(said)
            if not self._repeat:
                break
            self._stop.wait(RETRY_SECONDS)
        self.listener.status(DONE, "finished")

    def _play(self, entries: Iterator[protocol.Hello | Shot]) -> None:
        last: float | None = None
        count = 0
        for entry in entries:
            if isinstance(entry, protocol.Hello):
                if entry != self._who:  # not again at every turn
                    self._who = entry
                    self.listener.hello(entry, f"recording {self._path.name}")
                self.listener.status(LIVE, f"{self._path.name} was made of network {entry.network}")
                continue
            gap = 0.0 if last is None else entry.seconds - last
            last = entry.seconds
            if self._repeat and self._stop.wait(min(max(gap, 0.0), _REPLAY_GAP_SECONDS)):
                return
            while not self.player.open(_REPLAY_LOOK_SECONDS):
                if self._stop.is_set():
                    return
            count += 1
            self.listener.shot(entry)
        if not count:
            raise UserError(f"{self._path} holds no pictures; record some with --record")
