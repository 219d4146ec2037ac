"""Pulse trains: bit patterns and square waves on pins, for instance the camera's input clock."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.clocks import ClockEvent
from evalkit.hardware.peripherals.base import Peripheral, flags
from synthesize.chip.fields import CLEARED_BY_1, UNMODELLED, Field, Register

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

CHANNELS = 4
_BITS = {f"pt{n}": n for n in range(CHANNELS)}
_SQUARE_WAVE = 1
_ALTERNATING = (0x5555_5555, 0xAAAA_AAAA)


def _channel(number: int) -> dict[int, Register]:
    base = 0x20 + 0x20 * number
    return {
        base: Register(f"RATE_LENGTH{number}", (Field("rate", 0, 27), Field("mode", 27, 5))),
        base + 0x4: Register(f"TRAIN{number}", (Field("bits", 0, 32),)),
        base + 0x8: Register(f"LOOP{number}", (Field("count", 0, 16), Field("delay", 16, 12))),
        base + 0xC: Register(
            f"RESTART{number}",
            (
                Field("pt_x_select", 0, 5, UNMODELLED),
                Field("on_pt_x_loop_exit", 7, 1, UNMODELLED),
                Field("pt_y_select", 8, 5, UNMODELLED),
                Field("on_pt_y_loop_exit", 15, 1, UNMODELLED),
            ),
        ),
    }


class PulseTrains(Peripheral):
    """The pulse train engine (ptg_regs.h, pt_regs.h).

    A channel puts out one bit of its train for every ``rate`` clocks of the peripheral clock; in
    square-wave mode it toggles as often. (An OV7692 was seen to get 7.5 MHz from a MAX78002 whose
    SDK sets rate 4 at a peripheral clock of 60 MHz: analogdevicesinc/msdk, report 981.)

    Attributes:
        listeners: called whenever an output starts, stops or changes.
    """

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: flags("ENABLE", _BITS),
        0x04: flags("RESYNC", _BITS, UNMODELLED),
        0x08: flags("INTFL", _BITS, write=CLEARED_BY_1),
        0x0C: flags("INTEN", _BITS),
        0x10: flags("SAFE_EN", _BITS),
        0x14: flags("SAFE_DIS", _BITS),
        **{k: v for n in range(CHANNELS) for k, v in _channel(n).items()},
    }

    def __init__(self, machine: Machine, name: str, base: int, irq: int) -> None:
        super().__init__(machine, name, base)
        self.irq = irq
        self.listeners: list[Callable[[], None]] = []
        self._ends: dict[int, ClockEvent] = {}
        machine.clocks.peripheral.listeners.append(self._clock_changed)

    def reset(self) -> None:
        """All outputs stop."""
        super().reset()
        for event in self._ends.values():
            event.cancel()
        self._ends.clear()
        self._changed()

    def write_enable(self, value: int) -> None:
        """Start and stop channels."""
        started = value & ~self.values["ENABLE"]
        stopped = self.values["ENABLE"] & ~value
        self.values["ENABLE"] = value
        for number in range(CHANNELS):
            if stopped >> number & 1 and number in self._ends:
                self._ends.pop(number).cancel()
            if started >> number & 1:
                self._start(number)
        if started or stopped:
            self._changed()

    def write_safe_en(self, value: int) -> None:
        """Start the channels whose bits are 1."""
        self.write_enable(self.values["ENABLE"] | value)

    def write_safe_dis(self, value: int) -> None:
        """Stop the channels whose bits are 1."""
        self.write_enable(self.values["ENABLE"] & ~value)

    def stored_intfl(self, _old: int, _given: int) -> None:
        """Flags were cleared."""
        self._update_irq()

    def stored_inten(self, _old: int, _given: int) -> None:
        """Interrupt enables."""
        self._update_irq()

    def _start(self, number: int) -> None:
        rate = self.field(f"RATE_LENGTH{number}", "rate")
        if rate == 0:
            raise self.fault(0, f"pulse train {number} is started with rate 0")
        mode = self.field(f"RATE_LENGTH{number}", "mode")
        loops = self.field(f"LOOP{number}", "count")
        if mode == _SQUARE_WAVE or loops == 0:
            return
        bits = (mode or 32) + self.field(f"LOOP{number}", "delay")
        clock = self.machine.clocks.peripheral
        self._ends[number] = clock.after(loops * bits * rate, partial(self._ended, number))

    def _ended(self, number: int) -> None:
        del self._ends[number]
        self.set_field("ENABLE", f"pt{number}", 0)
        self.set_field("INTFL", f"pt{number}", 1)
        self._update_irq()
        self._changed()

    def under_way(self) -> str | None:
        """A train."""
        return f"{self.name} puts out pulses" if self.values["ENABLE"] else None

    def _update_irq(self) -> None:
        active = self.values["INTFL"] & self.values["INTEN"]
        self.machine.nvic.set_line(self.irq, bool(active))

    def _changed(self) -> None:
        for listener in self.listeners:
            listener()

    def _clock_changed(self) -> None:
        """Whoever gets a clock from here must know."""
        if self.values["ENABLE"]:
            self._changed()

    def frequency(self, number: int) -> float:
        """Hertz of the regular clock that a channel puts out; 0.0 when it puts out none."""
        if not self.values["ENABLE"] >> number & 1:
            return 0.0
        mode = self.field(f"RATE_LENGTH{number}", "mode")
        clock_like = mode == 0 and self.values[f"TRAIN{number}"] in _ALTERNATING
        if mode != _SQUARE_WAVE and not clock_like:
            return 0.0
        return self.machine.clocks.peripheral.frequency / (
            2 * self.field(f"RATE_LENGTH{number}", "rate")
        )
