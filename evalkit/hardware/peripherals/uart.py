"""UART with its two FIFOs, at its baud rate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.clocks import TICK, Clock, ClockEvent
from evalkit.hardware.peripherals.base import Peripheral
from evalkit.hardware.peripherals.uart_registers import FIFO_DEPTH, REGISTERS, levels
from synthesize.chip.fields import Register

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

_IBRO = 2
"""CTRL.bclksrc."""


@dataclass
class _Arrival:
    """Characters on the line from outside.

    clock: the baud clock they come at.
    since: where it stood when the first of them began.
    each: what it counts for each.
    count: how many until the planned event.
    channel: the DMA channel they are for, if any.
    """

    clock: Clock
    since: int
    each: int
    count: int
    channel: int | None
    event: ClockEvent | None = None


class Uart(Peripheral):
    """One UART (uart_regs.h). A character takes its start, data and stop bits on the line.

    Attributes:
        sent: everything transmitted so far.
        low_power: UART3, whose clock source 0 is the IBRO instead of the peripheral clock.
    """

    REGISTERS: ClassVar[dict[int, Register]] = REGISTERS

    def __init__(
        self, machine: Machine, name: str, base: int, irq: int, low_power: bool = False
    ) -> None:
        super().__init__(machine, name, base)
        self.irq = irq
        self.low_power = low_power
        self.sent = bytearray()
        self._tx: deque[int] = deque()
        self._rx: deque[int] = deque()
        self._line_busy = False
        self._incoming = bytearray()
        self._arriving: _Arrival | None = None
        self._quiet_until = 0  # no character comes before this cycle of the processor
        self._input_row = f"{name} in"
        machine.clocks.core.listeners.append(self._clock_changed)

    def reset(self) -> None:
        """Registers and FIFOs; bytes under way from outside are not lost."""
        self.settle()
        super().reset()
        self._tx.clear()
        self._rx.clear()
        self._update_irq()

    def restart(self) -> None:
        """What is being sent is lost; what comes from outside waits for the clock."""
        self._line_busy, self._arriving = False, None
        self.reset()

    def read(self, offset: int, size: int) -> int:
        """Bus read; the program sees what has arrived by now."""
        self.settle()
        return super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Bus write; what arrived before is taken in before."""
        self.settle()
        super().write(offset, size, value)

    def under_way(self) -> str | None:
        """Characters on the line or in the FIFOs' way out."""
        if self._line_busy or self._tx:
            return f"{self.name} sends"
        return f"{self.name} receives" if self._arriving is not None else None

    def character(self, offset: int) -> tuple[Clock, int]:
        """The baud clock, and how many of its ticks a character takes on the line."""
        divider, source = self.field("CLKDIV", "clkdiv"), self.field("CTRL", "bclksrc")
        if not self.field("CTRL", "bclken"):
            raise self.fault(offset, "used while its baud clock is off (CTRL.bclken is 0)")
        if divider == 0:
            raise self.fault(offset, "used with CLKDIV 0")
        clocks = self.machine.clocks
        if source == _IBRO:
            if not self.machine.gcr.ibro_on:
                raise self.fault(offset, "its baud clock, the IBRO, is off (GCR.CLKCTRL.ibro_en)")
            clock = clocks.ibro
        elif source == 0:
            clock = clocks.ibro if self.low_power else clocks.peripheral
        else:
            raise self.fault(offset, f"baud clock source {source} is not modelled")
        bits = 1 + 5 + self.field("CTRL", "char_size") + 1 + self.field("CTRL", "stopbits")
        return clock, bits * divider

    def stored_ctrl(self, _old: int, given: int) -> None:
        """Flush bits act at once; the baud clock is ready at once."""
        if self.part("CTRL", "tx_flush", given):
            self._tx.clear()
        if self.part("CTRL", "rx_flush", given):
            self._rx.clear()
        self.set_field("CTRL", "bclkrdy", self.field("CTRL", "bclken"))
        self._replan()
        self._start_receiving()
        self._update_irq()

    def read_status(self) -> int:
        """Levels of the FIFOs and of the line."""
        tx, rx = len(self._tx), len(self._rx)
        return levels(self._line_busy or tx > 0, self._arriving is not None, rx, tx)

    # ---- sending -------------------------------------------------------------------------------

    def write_fifo(self, value: int) -> None:
        """Send a character; one too many is lost on the chip, so it is a fault here."""
        if len(self._tx) == FIFO_DEPTH:
            raise self.fault(0x20, "write to a full transmit FIFO (STATUS.tx_full is 1)")
        self._tx.append(value & 0xFF)
        self._start_sending()

    def _start_sending(self) -> None:
        """Put the next characters on the line: one from the FIFO, else a piece from the DMA."""
        if self._line_busy:
            return
        if self._tx:
            piece = bytes((self._tx.popleft(),))
        else:
            channel = self._dma_channel("tx_en", self.machine.dma.transmit_channel)
            if channel is None:
                return
            piece = self.machine.dma.take(channel)
        self._line_busy = True
        start = self.machine.now
        clock, ticks = self.character(0x20)
        clock.after(len(piece) * ticks, lambda: self._sent(piece, start))

    def _sent(self, piece: bytes, start: int) -> None:
        self._line_busy = False
        self.sent += piece
        self.machine.recorder.add(self.name, "send", start, self.machine.now)
        self.machine.uart_output(self, piece)
        if len(self._tx) == FIFO_DEPTH // 2:
            self._raise_flag("tx_he")
        self._start_sending()

    def _dma_channel(self, enable: str, find: Callable[[int], int | None]) -> int | None:
        if not self.field("DMA", enable):
            return None
        return find(self.machine.uarts.index(self))

    def dma_changed(self) -> None:
        """A DMA channel or its enable bit was set."""
        self._replan()
        channel = self._dma_channel("rx_en", self.machine.dma.receive_channel)
        while channel is not None and self._rx:
            self.machine.dma.put(channel, bytes((self._rx.popleft(),)))
            channel = self._dma_channel("rx_en", self.machine.dma.receive_channel)
        self._start_sending()
        self._start_receiving()

    def stored_dma(self, _old: int, _given: int) -> None:
        """Enable requests to the DMA."""
        self.dma_changed()

    # ---- receiving -----------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Let the world outside send characters, one after the other."""
        self._incoming.extend(data)
        self._start_receiving()

    @property
    def unsent(self) -> int:
        """Characters from outside that have not arrived yet."""
        self.settle()
        return len(self._incoming)

    def next_change(self) -> int | None:
        """When the next character will have arrived."""
        arriving = self._arriving
        if arriving is None:
            return None
        return arriving.clock.time_of(arriving.since + arriving.each)

    def _start_receiving(self) -> None:
        """Plan the next moment at which the program can notice that characters came."""
        if self._arriving is not None or not self._incoming or not self.field("CTRL", "bclken"):
            return
        channel = self._dma_channel("rx_en", self.machine.dma.receive_channel)
        if channel is None:
            count = self._until_noticed()
        else:
            count = self.machine.dma.room(channel)
        clock, ticks = self.character(0)
        count = min(count, len(self._incoming))
        arriving = _Arrival(clock, clock.count(), ticks * TICK, count, channel)
        self._arriving = arriving
        self._plan_arrival(arriving)

    def _plan_arrival(self, arriving: _Arrival) -> None:
        if arriving.event is not None:
            arriving.event.cancel()
        end = arriving.since + arriving.count * arriving.each
        arriving.event = arriving.clock.at(end, self._arrived)
        self._note_next(arriving)

    def _until_noticed(self) -> int:
        """How many characters it takes to reach the threshold of the FIFO, or to overrun it."""
        level = len(self._rx)
        threshold = max(1, self.field("CTRL", "rx_thd_val"))
        return threshold - level if level < threshold else FIFO_DEPTH + 1 - level

    def settle(self) -> None:
        """Take in the characters that have arrived since an event; the program looks at them."""
        arriving = self._arriving
        if arriving is None or self.machine.cpu.cycles < self._quiet_until:
            return
        passed = (arriving.clock.count() - arriving.since) // arriving.each
        count = min(passed, arriving.count - 1)
        if count > 0:
            self._take(arriving, count)
            arriving.since += count * arriving.each
            arriving.count -= count
        self._note_next(arriving)

    def _note_next(self, arriving: _Arrival) -> None:
        """Until when there is nothing to take in, however often the program looks."""
        time = arriving.clock.time_of(arriving.since + arriving.each)
        self._quiet_until = self.machine.clocks.cycle_of(time)

    def _clock_changed(self) -> None:
        self._quiet_until = 0

    def _replan(self) -> None:
        """A setting has changed: what is noticed may come earlier; the next character is on."""
        self.settle()
        arriving = self._arriving
        if arriving is None:
            return
        channel = self._dma_channel("rx_en", self.machine.dma.receive_channel)
        if channel is not None and channel == arriving.channel:
            return
        arriving.channel = None
        wanted = self._until_noticed() if channel is None else 1
        arriving.count = min(wanted, len(self._incoming))
        self._plan_arrival(arriving)

    def _arrived(self) -> None:
        arriving, self._arriving = self._arriving, None
        assert arriving is not None
        self._take(arriving, arriving.count)
        self._start_receiving()

    def _take(self, arriving: _Arrival, count: int) -> None:
        """The next ``count`` characters have come."""
        begin = arriving.clock.time_of(arriving.since)
        end = arriving.clock.time_of(arriving.since + count * arriving.each)
        self.machine.recorder.add(self._input_row, "receive", begin, end)
        piece = bytes(self._incoming[:count])
        del self._incoming[:count]
        channel = self._dma_channel("rx_en", self.machine.dma.receive_channel)
        if channel is not None and self.machine.dma.room(channel) >= count:
            self.machine.dma.put(channel, piece)
        else:
            self._take_in(piece)

    def _take_in(self, piece: bytes) -> None:
        """Characters for the FIFO, which loses those that it has no room for."""
        room = FIFO_DEPTH - len(self._rx)
        self._rx.extend(piece[:room])
        if len(piece) > room:
            self._raise_flag("rx_ov")
        if len(self._rx) >= max(1, self.field("CTRL", "rx_thd_val")):
            self._raise_flag("rx_thd")

    def read_fifo(self) -> int:
        """Next received character; reading an empty FIFO is a fault."""
        if not self._rx:
            raise self.fault(0x20, "read from an empty receive FIFO (STATUS.rx_em is 1)")
        return self._rx.popleft()

    def stored_int_fl(self, _old: int, _given: int) -> None:
        """Flags were cleared; one that still holds comes back."""
        if len(self._rx) >= max(1, self.field("CTRL", "rx_thd_val")):
            self.set_field("INT_FL", "rx_thd", 1)
        self._replan()
        self._update_irq()

    def stored_int_en(self, _old: int, _given: int) -> None:
        """Interrupt enables."""
        self._update_irq()

    def _raise_flag(self, flag: str) -> None:
        self.set_field("INT_FL", flag, 1)
        self._update_irq()

    def _update_irq(self) -> None:
        active = self.values["INT_FL"] & self.values["INT_EN"]
        self.machine.nvic.set_line(self.irq, bool(active))
