"""Time and the events in it.

Time is an integer number of picoseconds since power-up, so that clocks of 100 MHz, 50 MHz, 60 MHz
and 7.3728 MHz live side by side and a run is the same every time.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

SECOND = 10**12
"""Picoseconds."""


class Event:
    """Something that will happen; ``cancel`` it if it must not."""

    __slots__ = ("action", "time")

    def __init__(self, time: int, action: Callable[[], None]) -> None:
        self.time = time
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Make it not happen."""
        self.action = None


class Scheduler:
    """Queue of events in the order of their time, and then of their planning."""

    def __init__(self) -> None:
        self._queue: list[tuple[int, int, Event]] = []
        self._count = itertools.count()

    def at(self, time: int, action: Callable[[], None]) -> Event:
        """Plan ``action`` for a time in picoseconds."""
        event = Event(time, action)
        heapq.heappush(self._queue, (time, next(self._count), event))
        return event

    def clear(self) -> None:
        """Nothing planned so far will happen."""
        for _, _, event in self._queue:
            event.cancel()
        self._queue.clear()

    def next_time(self) -> int | None:
        """Time of the earliest event, None when nothing is planned."""
        while self._queue and self._queue[0][2].action is None:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def run_due(self, now: int) -> None:
        """Let everything planned for ``now`` or before happen."""
        while self._queue and self._queue[0][0] <= now:
            _, _, event = heapq.heappop(self._queue)
            if event.action is not None:
                action, event.action = event.action, None
                action()
