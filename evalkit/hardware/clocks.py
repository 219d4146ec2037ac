"""Clocks whose frequency may change, and what is counted and planned in their ticks.

A peripheral counts ticks of the clock it runs on and plans what it does in such ticks. When the
clock changes, what has been counted stays, and what is planned moves: it comes when the ticks that
are left have passed at the new rate. Nobody has to remember to tell a running peripheral.

Counts are integers in units of 1 / ``SECOND`` of a tick, so that nothing is lost at a change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from evalkit.hardware.scheduler import SECOND, Event, Scheduler

if TYPE_CHECKING:
    from evalkit.hardware.core.cpu import Cpu

TICK = SECOND
"""One tick, in the unit of ``Clock.count``."""


class ClockEvent:
    """Something planned at a count of a clock; ``cancel`` it if it must not happen."""

    __slots__ = ("_clock", "_event", "action", "at")

    def __init__(self, clock: Clock, at: int, action: Callable[[], None]) -> None:
        self.at = at
        self.action = action
        self._clock = clock
        self._event: Event | None = None

    def cancel(self) -> None:
        """Make it not happen."""
        if self._event is not None:
            self._event.cancel()
            self._event = None
        self._clock.planned.pop(self, None)

    def plan(self) -> None:
        """Put it where it belongs at the clock's present rate."""
        if self._event is not None:
            self._event.cancel()
        self._event = self._clock.schedule(self._clock.time_of(self.at), self._happens)

    def _happens(self) -> None:
        self._event = None
        self._clock.planned.pop(self, None)
        self.action()


class Clock:
    """A clock.

    Args:
        frequency: in Hz, more than 0.
        now: returns picoseconds since power-up.
        schedule: plans an action at such a time.

    Attributes:
        frequency: at present.
        listeners: called after the frequency has changed.
        planned: events to come, in the order of their planning.
    """

    def __init__(
        self,
        frequency: int,
        now: Callable[[], int],
        schedule: Callable[[int, Callable[[], None]], Event],
    ) -> None:
        self.frequency = frequency
        self.schedule = schedule
        self.listeners: list[Callable[[], None]] = []
        self.planned: dict[ClockEvent, None] = {}
        self._now = now
        self._since = self._counted = 0

    def count(self) -> int:
        """How far the clock has come, in units of 1 / ``TICK`` of a tick."""
        return self._counted + (self._now() - self._since) * self.frequency

    def ticks_since(self, count: int) -> int:
        """Whole ticks since the clock stood at a count."""
        return (self.count() - count) // TICK

    def time_of(self, count: int) -> int:
        """Picoseconds since power-up when the clock stands at a count, at the present rate."""
        return self._since - (self._counted - count) // self.frequency

    def after(self, ticks: int, action: Callable[[], None]) -> ClockEvent:
        """Plan an action when so many ticks from now have passed."""
        return self.at(self.count() + ticks * TICK, action)

    def at(self, count: int, action: Callable[[], None]) -> ClockEvent:
        """Plan an action at a count; one that has passed is now."""
        event = ClockEvent(self, count, action)
        self.planned[event] = None
        event.plan()
        return event

    def set_frequency(self, frequency: int) -> None:
        """Go on at another rate from now on."""
        if frequency == self.frequency:
            return
        self._counted, self._since = self.count(), self._now()
        self.frequency = frequency
        for event in list(self.planned):
            event.plan()
        for listener in self.listeners:
            listener()

    def forget(self) -> None:
        """Nothing planned so far will happen."""
        for event in list(self.planned):
            event.cancel()


class Clocks:
    """Time, as the processor's cycles make it, and the clocks that peripherals run on.

    Args:
        cpu: the processor; its clock is counted in ``cpu.cycles``.
        core_hz, ibro_hz: frequencies after power-up.

    Attributes:
        cycle_time: picoseconds of one of the processor's cycles.
        core: the processor's clock.
        peripheral: half of it.
        cnn: the accelerator's.
        ibro: the 7.3728 MHz oscillator.
    """

    def __init__(self, cpu: Cpu, core_hz: int, ibro_hz: int) -> None:
        self.scheduler = Scheduler()
        self._cpu = cpu
        self._base_time = self._base_cycles = 0
        self.cycle_time = SECOND // core_hz
        self.core, self.peripheral, self.cnn, self.ibro = (
            Clock(hz, self.get_now, self.schedule_at)
            for hz in (core_hz, core_hz // 2, core_hz // 2, ibro_hz)
        )

    def set_core(self, frequency: int) -> None:
        """Change the processor's clock, and the peripheral clock with it, from now on."""
        if frequency == self.core.frequency:
            return
        self._base_time, self._base_cycles = self.get_now(), self._cpu.cycles
        self.cycle_time = SECOND // frequency
        self.core.set_frequency(frequency)
        self.peripheral.set_frequency(max(1, frequency // 2))
        self._cpu.plan_earlier(0)

    def get_now(self) -> int:
        """Picoseconds since power-up."""
        return self._base_time + (self._cpu.cycles - self._base_cycles) * self.cycle_time

    def time_of(self, cycle: int) -> int:
        """Picoseconds since power-up at a cycle of the processor, since the last change."""
        return self._base_time + (cycle - self._base_cycles) * self.cycle_time

    def cycle_of(self, time: int) -> int:
        """The first of the processor's cycles at or after a time."""
        return self._base_cycles + -(-(time - self._base_time) // self.cycle_time)

    def schedule_at(self, time: int, action: Callable[[], None]) -> Event:
        """Plan something for a time; for now when that has passed."""
        event = self.scheduler.at(max(time, self.get_now()), action)
        self._cpu.plan_earlier(self.cycle_of(event.time))
        return event

    def skip_to(self, time: int) -> None:
        """Let time pass without executing anything."""
        self._cpu.cycles = max(self._cpu.cycles, self.cycle_of(time))

    def forget(self) -> None:
        """Nothing planned so far will happen."""
        self.scheduler.clear()
        for clock in (self.core, self.peripheral, self.cnn, self.ibro):
            clock.forget()
