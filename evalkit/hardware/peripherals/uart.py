"""UART with its two FIFOs, at its baud rate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.peripherals.base import Peripheral, flags, whole
from evalkit.hardware.peripherals.dma import RECEIVE_CHUNK
from evalkit.hardware.peripherals.gcr import IBRO_HZ
from evalkit.hardware.scheduler import SECOND, Event
from synthesize.chip.registers import INERT, STATUS, UNMODELLED, Field, Register

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

FIFO_DEPTH = 8
"""Bytes in each direction (max78000.h, MXC_UART_FIFO_DEPTH)."""

_INTERRUPTS = {"rx_ferr": 0, "rx_par": 1, "cts_ev": 2, "rx_ov": 3, "rx_thd": 4, "tx_he": 6}
_OVERRUN = 1 << 3
_RX_THRESHOLD = 1 << 4
_TX_HALF_EMPTY = 1 << 6


@dataclass
class _Arrival:
    """Characters on the line from outside.

    since: when the first of them began (picoseconds since power-up).
    each: picoseconds for each.
    count: how many until the planned event.
    channel: the DMA channel they are for; without, they are taken in when the program looks.
    """

    since: int
    each: int
    count: int
    channel: int | None
    event: Event | None = None


class Uart(Peripheral):
    """One UART (uart_regs.h). A character takes its start, data and stop bits on the line.

    Attributes:
        sent: everything transmitted so far.
        low_power: UART3, whose clock source 0 is the IBRO instead of the peripheral clock.
    """

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: Register(
            "CTRL",
            (
                Field("rx_thd_val", 0, 4),
                Field("par_en", 4, 1, UNMODELLED),
                Field("par_eo", 5, 1, INERT),
                Field("par_md", 6, 1, INERT),
                Field("cts_dis", 7, 1, INERT),
                Field("tx_flush", 8),
                Field("rx_flush", 9),
                Field("char_size", 10, 2),
                Field("stopbits", 12),
                Field("hfc_en", 13, 1, UNMODELLED),
                Field("rtsdc", 14, 1, INERT),
                Field("bclken", 15),
                Field("bclksrc", 16, 2),
                Field("dpfe_en", 18, 1, UNMODELLED),
                Field("bclkrdy", 19, 1, STATUS),
                Field("ucagm", 20, 1, INERT),
                Field("fdm", 21, 1, UNMODELLED),
                Field("desm", 22, 1, UNMODELLED),
            ),
        ),
        0x04: whole("STATUS", kind=STATUS),
        0x08: flags("INT_EN", _INTERRUPTS),
        0x0C: whole("INT_FL"),
        0x10: Register("CLKDIV", (Field("clkdiv", 0, 20),)),
        0x14: Register("OSR", (Field("osr", 0, 3, INERT),)),
        0x18: whole("TXPEEK", kind=STATUS),
        0x1C: Register("PNR", (Field("cts", 0, 1, STATUS), Field("rts", 1, 1, INERT))),
        0x20: whole("FIFO"),
        0x30: Register(
            "DMA",
            (
                Field("tx_thd_val", 0, 4, INERT),
                Field("tx_en", 4),
                Field("rx_thd_val", 5, 4, INERT),
                Field("rx_en", 9),
            ),
        ),
        0x34: Register("WKEN", (Field("any", 0, 3, INERT),)),
        0x38: Register("WKFL", (Field("any", 0, 3, STATUS),)),
    }

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

    def reset(self) -> None:
        """Registers and FIFOs; bytes under way from outside are not lost."""
        self._settle()
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
        self._settle()
        return super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Bus write; what arrived before is taken in before."""
        self._settle()
        super().write(offset, size, value)

    def under_way(self) -> str | None:
        """Characters on the line or in the FIFOs' way out."""
        if self._line_busy or self._tx:
            return f"{self.name} sends"
        return f"{self.name} receives" if self._arriving is not None else None

    def character_time(self, offset: int) -> int:
        """Picoseconds on the line for one character."""
        divider = self.field("CLKDIV", "clkdiv")
        source = self.field("CTRL", "bclksrc")
        if not self.field("CTRL", "bclken"):
            raise self.fault(offset, "used while its baud clock is off (CTRL.bclken is 0)")
        if divider == 0:
            raise self.fault(offset, "used with CLKDIV 0")
        if source == 2:
            if not self.machine.gcr.ibro_on:
                raise self.fault(offset, "its baud clock, the IBRO, is off (GCR.CLKCTRL.ibro_en)")
            frequency = IBRO_HZ
        elif source == 0:
            frequency = IBRO_HZ if self.low_power else self.machine.cpu_hz // 2
        else:
            raise self.fault(offset, f"baud clock source {source} is not modelled")
        bits = 1 + 5 + self.field("CTRL", "char_size") + 1 + self.field("CTRL", "stopbits")
        return bits * divider * SECOND // frequency

    def write_ctrl(self, value: int) -> None:
        """Flush bits act at once; the baud clock is ready at once."""
        if value & 1 << 8:
            self._tx.clear()
        if value & 1 << 9:
            self._rx.clear()
        value &= ~(3 << 8 | 1 << 19)
        self.values["CTRL"] = value | (value >> 15 & 1) << 19
        self._replan()
        self._start_receiving()
        self._update_irq()

    def read_status(self) -> int:
        """Levels of the FIFOs and of the line."""
        tx, rx = len(self._tx), len(self._rx)
        value = (
            int(self._line_busy or tx > 0)
            | int(self._arriving is not None) << 1
            | int(rx == 0) << 4
            | int(rx == FIFO_DEPTH) << 5
            | int(tx == 0) << 6
            | int(tx == FIFO_DEPTH) << 7
            | min(rx, 15) << 8
            | min(tx, 15) << 12
        )
        return value

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
        duration = len(piece) * self.character_time(0x20)
        self.machine.schedule(duration, lambda: self._sent(piece, start))

    def _sent(self, piece: bytes, start: int) -> None:
        self._line_busy = False
        self.sent += piece
        self.machine.recorder.add(self.name, "send", start, self.machine.now)
        self.machine.uart_output(self, piece)
        if len(self._tx) == FIFO_DEPTH // 2:
            self._raise_flag(_TX_HALF_EMPTY)
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

    def write_dma(self, value: int) -> None:
        """Enable requests to the DMA."""
        self.values["DMA"] = value
        self.dma_changed()

    # ---- receiving -----------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Let the world outside send characters, one after the other."""
        self._incoming.extend(data)
        self._start_receiving()

    @property
    def unsent(self) -> int:
        """Characters from outside that have not arrived yet."""
        self._settle()
        return len(self._incoming)

    def next_change(self) -> int | None:
        """When the next character will have arrived."""
        arriving = self._arriving
        return None if arriving is None else arriving.since + arriving.each

    def _start_receiving(self) -> None:
        """Plan the next moment at which the program can notice that characters came."""
        if self._arriving is not None or not self._incoming or not self.field("CTRL", "bclken"):
            return
        channel = self._dma_channel("rx_en", self.machine.dma.receive_channel)
        if channel is None:
            count = self._until_noticed()
        else:
            count = min(RECEIVE_CHUNK, self.machine.dma.room(channel))
        each = self.character_time(0)
        arriving = _Arrival(self.machine.now, each, min(count, len(self._incoming)), channel)
        self._arriving = arriving
        arriving.event = self.machine.schedule(arriving.count * each, self._arrived)

    def _until_noticed(self) -> int:
        """How many characters it takes to reach the threshold of the FIFO, or to overrun it."""
        level = len(self._rx)
        threshold = max(1, self.field("CTRL", "rx_thd_val"))
        return threshold - level if level < threshold else FIFO_DEPTH + 1 - level

    def _settle(self) -> None:
        """Take in the characters that have arrived since an event; the program looks at them."""
        arriving = self._arriving
        if arriving is None or arriving.channel is not None:
            return
        count = min((self.machine.now - arriving.since) // arriving.each, arriving.count - 1)
        if count > 0:
            self._take(arriving, count)
            arriving.since += count * arriving.each
            arriving.count -= count

    def _replan(self) -> None:
        """A setting has changed: what is noticed may come earlier; the next character is on."""
        self._settle()
        arriving = self._arriving
        if arriving is None or arriving.channel is not None:
            return
        assert arriving.event is not None
        arriving.event.cancel()
        whole = self._dma_channel("rx_en", self.machine.dma.receive_channel) is None
        arriving.count = min(self._until_noticed() if whole else 1, len(self._incoming))
        ready = arriving.since + arriving.count * arriving.each
        arriving.event = self.machine.schedule(ready - self.machine.now, self._arrived)

    def _arrived(self) -> None:
        arriving, self._arriving = self._arriving, None
        assert arriving is not None
        self._take(arriving, arriving.count)
        self._start_receiving()

    def _take(self, arriving: _Arrival, count: int) -> None:
        """The next ``count`` characters have come."""
        duration = count * arriving.each
        self.machine.recorder.add(
            f"{self.name} in", "receive", arriving.since, arriving.since + duration
        )
        piece = bytes(self._incoming[:count])
        del self._incoming[:count]
        channel = self._dma_channel("rx_en", self.machine.dma.receive_channel)
        if channel is not None and self.machine.dma.room(channel) >= count:
            self.machine.dma.put(channel, piece)
        else:
            for byte in piece:
                self._take_in(byte)

    def _take_in(self, byte: int) -> None:
        if len(self._rx) == FIFO_DEPTH:
            self._raise_flag(_OVERRUN)
        else:
            self._rx.append(byte)
        if len(self._rx) >= max(1, self.field("CTRL", "rx_thd_val")):
            self._raise_flag(_RX_THRESHOLD)

    def read_fifo(self) -> int:
        """Next received character; reading an empty FIFO is a fault."""
        if not self._rx:
            raise self.fault(0x20, "read from an empty receive FIFO (STATUS.rx_em is 1)")
        return self._rx.popleft()

    def write_int_fl(self, value: int) -> None:
        """Flags are cleared by writing 1."""
        self.values["INT_FL"] &= ~value & 0xFF
        if len(self._rx) >= max(1, self.field("CTRL", "rx_thd_val")):
            self.values["INT_FL"] |= _RX_THRESHOLD
        self._replan()
        self._update_irq()

    def write_int_en(self, value: int) -> None:
        """Interrupt enables."""
        self.values["INT_EN"] = value
        self._update_irq()

    def _raise_flag(self, flag: int) -> None:
        self.values["INT_FL"] |= flag
        self._update_irq()

    def _update_irq(self) -> None:
        active = self.values["INT_FL"] & self.values["INT_EN"]
        self.machine.nvic.set_line(self.irq, bool(active))
