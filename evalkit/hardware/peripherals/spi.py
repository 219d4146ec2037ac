"""SPI controller, as the master of one to four devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from evalkit.hardware.peripherals.base import Peripheral, flags
from synthesize.chip.fields import (
    CLEARED_BY_1,
    CLEARS_ITSELF,
    INERT,
    STATUS,
    UNMODELLED,
    Field,
    Register,
)

if TYPE_CHECKING:
    from evalkit.hardware.faults import KitFault
    from evalkit.hardware.machine import Machine

FIFO_DEPTH = 32
"""Bytes in each direction (max78000.h, MXC_SPI_FIFO_DEPTH)."""

_FLAGS = {
    "tx_thd": 0, "tx_em": 1, "rx_thd": 2, "rx_full": 3, "ssa": 4, "ssd": 5, "fault": 8, "abort": 9,
    "mst_done": 11, "tx_ov": 12, "tx_un": 13, "rx_ov": 14, "rx_un": 15,
}  # fmt: skip
_FIFO, _CTRL0, _CTRL2, _DMA = 0x00, 0x04, 0x0C, 0x1C
_CHANGING = (_DMA, 0x20, 0x30)
"""Registers that change by themselves: levels of the FIFOs, flags, busy."""


class SpiDevice(Protocol):
    """Something that is selected and exchanges characters."""

    def exchange(self, value: int, bits: int) -> int:
        """One character in, one out."""


class Spi(Peripheral):
    """One SPI controller (spi_regs.h, spi_reva.c) with one data line in each direction.

    Characters that are in the FIFO together go out as one event, at the time the last of them is on
    the wire. Slave mode, two or four data lines and three-wire mode are refused.

    Attributes:
        devices: by number of the select line; characters for nobody are lost, and 0 comes back.
    """

    REGISTERS: ClassVar[dict[int, Register]] = {
        _FIFO: Register("FIFO", (Field("data", 0, 32),)),
        _CTRL0: Register(
            "CTRL0",
            (
                Field("en", 0),
                Field("mst_mode", 1),
                Field("ss_io", 4, 1, INERT),
                Field("start", 5, write=CLEARS_ITSELF),
                Field("ss_ctrl", 8),
                Field("ss_active", 16, 4),
            ),
        ),
        0x08: Register("CTRL1", (Field("tx_num_char", 0, 16), Field("rx_num_char", 16, 16))),
        _CTRL2: Register(
            "CTRL2",
            (
                Field("clkpha", 0, 1, INERT),
                Field("clkpol", 1, 1, INERT),
                Field("numbits", 8, 4),
                Field("data_width", 12, 2, UNMODELLED),
                Field("three_wire", 15, 1, UNMODELLED),
                Field("ss_pol", 16, 4, INERT),
            ),
        ),
        0x10: Register(
            "SSTIME",
            (Field("pre", 0, 8, INERT), Field("post", 8, 8, INERT), Field("inact", 16, 8, INERT)),
        ),
        0x14: Register("CLKCTRL", (Field("lo", 0, 8), Field("hi", 8, 8), Field("clkdiv", 16, 4))),
        _DMA: Register(
            "DMA",
            (
                Field("tx_thd_val", 0, 6),
                Field("tx_fifo_en", 6),
                Field("tx_flush", 7, write=CLEARS_ITSELF),
                Field("tx_lvl", 8, 6, STATUS),
                Field("dma_tx_en", 15),
                Field("rx_thd_val", 16, 6),
                Field("rx_fifo_en", 22),
                Field("rx_flush", 23, write=CLEARS_ITSELF),
                Field("rx_lvl", 24, 6, STATUS),
                Field("dma_rx_en", 31, 1, UNMODELLED),
            ),
        ),
        0x20: flags("INTFL", _FLAGS, write=CLEARED_BY_1),
        0x24: flags("INTEN", _FLAGS),
        0x28: Register("WKFL", (Field("any", 0, 4, STATUS),)),
        0x2C: Register("WKEN", (Field("any", 0, 4, INERT),)),
        0x30: Register("STAT", (Field("busy", 0, 1, STATUS),)),
    }

    def __init__(self, machine: Machine, name: str, base: int, irq: int) -> None:
        super().__init__(machine, name, base)
        self.irq = irq
        self.devices: dict[int, SpiDevice] = {}
        self._tx = bytearray()
        self._rx = bytearray()
        self._left = 0
        self._to_receive = 0
        self._under_way = False
        self._transfer = 0
        self._level = False

    def reset(self) -> None:
        """Back to the state after power-up; a transfer is lost."""
        super().reset()
        self._tx.clear()
        self._rx.clear()
        self._abort()
        self._update_flags()

    # ---- registers -----------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        """The FIFO takes and gives 8, 16 or 32 bits at a time."""
        if offset != _FIFO:
            if offset not in _CHANGING:
                # Looked at twice in a row by the driver, and no sign that it waits.
                self.machine.polling.forget()
            return super().read(offset, size)
        self.machine.polling.forget()
        self._check(offset, 4)
        if len(self._rx) < size:
            raise self._fifo_fault(f"{size} bytes are read, but the FIFO holds {len(self._rx)}")
        value = int.from_bytes(self._rx[:size], "little")
        del self._rx[:size]
        self._update_flags()
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        """See ``read``."""
        if offset != _FIFO:
            super().write(offset, size, value)
            return
        self._check(offset, 4)
        if not self.field("DMA", "tx_fifo_en"):
            raise self._fifo_fault("written while the FIFO is off (DMA.tx_fifo_en is 0)")
        if len(self._tx) + size > FIFO_DEPTH:
            raise self._fifo_fault(f"{size} bytes are written to a FIFO with {len(self._tx)} of 32")
        self._tx += value.to_bytes(size, "little")
        self._go_on()
        self._update_flags()

    def _fifo_fault(self, message: str) -> KitFault:
        return self.fault(_FIFO, message)

    def stored_ctrl0(self, _old: int, given: int) -> None:
        """START begins a transfer; switching off ends one."""
        if not self.field("CTRL0", "en"):
            self._abort()
        if self.part("CTRL0", "start", given):
            self._start()
        self._update_flags()

    def stored_ctrl2(self, old: int, _given: int) -> None:
        """Format; not during a transfer."""
        if self._left and self.part("CTRL2", "numbits", old) != self.field("CTRL2", "numbits"):
            raise self.fault(_CTRL2, "numbits is changed during a transfer")

    def read_dma(self) -> int:
        """With the levels of both FIFOs."""
        self.set_field("DMA", "tx_lvl", len(self._tx))
        self.set_field("DMA", "rx_lvl", len(self._rx))
        return self.values["DMA"]

    def stored_dma(self, _old: int, given: int) -> None:
        """Thresholds and enables; flush bits act at once."""
        if self.part("DMA", "tx_flush", given):
            self._tx.clear()
        if self.part("DMA", "rx_flush", given):
            self._rx.clear()
        self._go_on()
        self._update_flags()

    def read_stat(self) -> int:
        """Busy while characters are left."""
        return int(self._left > 0)

    def stored_intfl(self, _old: int, _given: int) -> None:
        """Flags were cleared; levels that still hold come back."""
        self._update_flags()

    def stored_inten(self, _old: int, _given: int) -> None:
        """Interrupt enables."""
        self._update_flags()

    def _update_flags(self) -> None:
        for flag, holds in (
            ("tx_thd", len(self._tx) <= self.field("DMA", "tx_thd_val")),
            ("tx_em", not self._tx),
            ("rx_thd", len(self._rx) > self.field("DMA", "rx_thd_val")),
            ("rx_full", len(self._rx) == FIFO_DEPTH),
        ):
            if holds:
                self.set_field("INTFL", flag, 1)
        level = bool(self.values["INTFL"] & self.values["INTEN"])
        if level != self._level:
            self._level = level
            self.machine.nvic.set_line(self.irq, level)

    def under_way(self) -> str | None:
        """A transfer."""
        return f"{self.name} transfers" if self._left else None

    # ---- transfers -----------------------------------------------------------------------------

    @property
    def _bits(self) -> int:
        return self.field("CTRL2", "numbits") or 16

    def _abort(self) -> None:
        self._left = self._to_receive = 0
        self._under_way = False
        self._transfer += 1

    def _start(self) -> None:
        if not self.field("CTRL0", "en") or not self.field("CTRL0", "mst_mode"):
            raise self.fault(_CTRL0, "start while the controller is off or no master (en, mst)")
        if self._left:
            raise self.fault(_CTRL0, "start while a transfer is under way (STAT.busy is 1)")
        if not self.field("CTRL0", "ss_active"):
            raise self.fault(_CTRL0, "start without a device selected (ss_active is 0)")
        sends = self.field("CTRL1", "tx_num_char") if self.field("DMA", "tx_fifo_en") else 0
        receives = self.field("CTRL1", "rx_num_char") if self.field("DMA", "rx_fifo_en") else 0
        if not sends:
            raise self.fault(_CTRL0, "start without characters to send (CTRL1.tx_num_char is 0)")
        self._left, self._to_receive = sends, receives
        self._go_on()

    def _bit_ticks(self) -> int:
        """Ticks of the peripheral clock for one bit."""
        high, low = self.field("CLKCTRL", "hi"), self.field("CLKCTRL", "lo")
        if not high or not low:
            raise self.fault(0x14, "a transfer with hi or lo 0 is not modelled")
        return high + low << self.field("CLKCTRL", "clkdiv")

    def dma_changed(self) -> None:
        """A DMA channel for this controller was started."""
        self._go_on()
        self._update_flags()

    def _go_on(self) -> None:
        """Put the characters that are there on the wire."""
        if not self._left or self._under_way:
            return
        size = 2 if self._bits > 8 else 1
        if len(self._tx) < size and self.field("DMA", "dma_tx_en"):
            channel = self.machine.dma.spi_channel(self.machine.spis.index(self))
            if channel is not None:
                self._tx += self.machine.dma.take(channel)
        count = min(len(self._tx) // size, self._left)
        if not count:
            return
        self._under_way = True
        transfer = self._transfer
        ticks = count * self._bits * self._bit_ticks()

        def sent() -> None:
            if transfer == self._transfer:
                self._sent(count, size)

        self.machine.clocks.peripheral.after(ticks, sent)

    def _sent(self, count: int, size: int) -> None:
        self._under_way = False
        chosen = self.field("CTRL0", "ss_active")
        devices = [device for line, device in self.devices.items() if chosen >> line & 1]
        mask = (1 << self._bits) - 1
        for i in range(0, count * size, size):
            value = int.from_bytes(self._tx[i : i + size], "little") & mask
            answer = 0
            for device in devices:
                answer |= device.exchange(value, self._bits)
            self._receive(answer, size)
        del self._tx[: count * size]
        self._left -= count
        if not self._left:
            self.set_field("INTFL", "mst_done", 1)
        self._update_flags()
        self._go_on()

    def _receive(self, value: int, size: int) -> None:
        if not self._to_receive:
            return
        self._to_receive -= 1
        if len(self._rx) + size > FIFO_DEPTH:
            self.set_field("INTFL", "rx_ov", 1)
        else:
            self._rx += value.to_bytes(size, "little")
