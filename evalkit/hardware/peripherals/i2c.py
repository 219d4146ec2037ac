"""I2C controller, as the master of a bus."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.around.sccb import Device
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
    from evalkit.hardware.machine import Machine

FIFO_DEPTH = 8
"""Bytes in each direction (max78000.h, MXC_I2C_FIFO_DEPTH)."""

_FLAGS0 = {
    "done": 0, "irxm": 1, "gc_addr_match": 2, "addr_match": 3, "rx_thd": 4, "tx_thd": 5, "stop": 6,
    "addr_ack": 7, "arb_err": 8, "to_err": 9, "addr_nack_err": 10, "data_err": 11, "dnr_err": 12,
    "start_err": 13, "stop_err": 14, "tx_lockout": 15, "mami": 16, "rd_addr_match": 22,
    "wr_addr_match": 23,
}  # fmt: skip
_FLAGS1 = {"rx_ov": 0, "tx_un": 1, "start": 2}
_BITS_PER_BYTE = 9
_FIFO, _MSTCTRL = 0x2C, 0x30


_MASTER = Register(
    "MSTCTRL",
    (
        *(Field("start", 0), Field("restart", 1), Field("stop", 2)),
        Field("ex_addr_en", 7, 1, UNMODELLED),
    ),
)
_COMMANDS = _MASTER.mask("start", "restart", "stop")
_STATUS = flags(
    "STATUS",
    {"busy": 0, "rx_em": 1, "rx_full": 2, "tx_em": 3, "tx_full": 4, "mst_busy": 5},
    STATUS,
)


class I2c(Peripheral):
    """One I2C controller (i2c_regs.h, i2c_reva.c); slave mode and 10-bit addresses are refused.

    Bytes take nine clocks each. START reads as 1 until the STOP, as the driver expects that wants
    to know whether to start or to start again. RESTART and STOP act when the transmit FIFO is empty
    (and everything asked for has been read).

    Attributes:
        devices: who is on the bus; an address of nobody is not acknowledged.
    """

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: Register(
            "CTRL",
            (
                Field("en", 0),
                Field("mst_mode", 1),
                Field("gc_addr_en", 2, 1, INERT),
                Field("irxm_en", 3, 1, UNMODELLED),
                Field("irxm_ack", 4, 1, INERT),
                Field("scl_out", 6),
                Field("sda_out", 7),
                Field("scl", 8, 1, STATUS),
                Field("sda", 9, 1, STATUS),
                Field("bb_mode", 10),
                Field("read", 11, 1, STATUS),
                Field("clkstr_dis", 12, 1, INERT),
                Field("one_mst_mode", 13, 1, INERT),
                Field("hs_en", 15, 1, UNMODELLED),
            ),
        ),
        0x04: _STATUS,
        # The driver clears the flags with 0xffffff, bits without a flag included (i2c_reva.h).
        0x08: Register(
            "INTFL0",
            (
                *(Field(name, bit, write=CLEARED_BY_1) for name, bit in _FLAGS0.items()),
                Field("none", 17, 5, INERT, write=CLEARED_BY_1),
            ),
        ),
        0x0C: flags("INTEN0", _FLAGS0),
        0x10: flags("INTFL1", _FLAGS1, write=CLEARED_BY_1),
        0x14: flags("INTEN1", _FLAGS1),
        0x18: Register(
            "FIFOLEN",
            (Field("rx_depth", 0, 8, STATUS), Field("tx_depth", 8, 8, STATUS)),
            FIFO_DEPTH << 8 | FIFO_DEPTH,
        ),
        0x1C: Register(
            "RXCTRL0",
            (
                Field("dnr", 0, 1, INERT),
                Field("flush", 7, write=CLEARS_ITSELF),
                Field("thd_lvl", 8, 4),
            ),
        ),
        0x20: Register("RXCTRL1", (Field("cnt", 0, 8), Field("lvl", 8, 4, STATUS))),
        0x24: Register(
            "TXCTRL0",
            (
                Field("preload_mode", 0, 1, UNMODELLED),
                Field("tx_ready_mode", 1, 1, INERT),
                Field("flush_dis", 2, 4, INERT),
                Field("flush", 7, write=CLEARS_ITSELF),
                Field("thd_val", 8, 4),
            ),
        ),
        0x28: Register("TXCTRL1", (Field("preload_rdy", 0, 1, INERT), Field("lvl", 8, 4, STATUS))),
        _FIFO: Register("FIFO", (Field("data", 0, 8),)),
        _MSTCTRL: _MASTER,
        0x34: Register("CLKLO", (Field("lo", 0, 9),)),
        0x38: Register("CLKHI", (Field("hi", 0, 9),)),
        0x3C: Register("HSCLK", (Field("lo", 0, 8, INERT), Field("hi", 8, 8, INERT))),
        0x40: Register("TIMEOUT", (Field("scl_to_val", 0, 16, INERT),)),
        0x48: Register("DMA", (Field("tx_en", 0, 1, UNMODELLED), Field("rx_en", 1, 1, UNMODELLED))),
        0x4C: Register("SLAVE", (Field("addr", 0, 10, INERT), Field("ext_addr_en", 15, 1, INERT))),
    }

    def __init__(self, machine: Machine, name: str, base: int, irq: int) -> None:
        super().__init__(machine, name, base)
        self.irq = irq
        self.devices: list[Device] = []
        self._clear()

    def _clear(self) -> None:
        self._tx: deque[int] = deque()
        self._rx: deque[int] = deque()
        self._device: Device | None = None
        self._phase = "idle"
        self._to_read = 0
        self._busy = False
        self._generation = getattr(self, "_generation", 0) + 1

    def reset(self) -> None:
        """Back to the state after power-up; what is on the wires is lost."""
        super().reset()
        self._clear()
        self._update_flags()

    # ---- registers -----------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        """Bus read. CTRL can be read without a clock: max20303.c in the SDK does so."""
        return self.read_ctrl() if (offset, size) == (0, 4) else super().read(offset, size)

    def read_ctrl(self) -> int:
        """The levels of both wires: as driven in bit-bang mode, else high."""
        by_hand = self.field("CTRL", "bb_mode")
        for wire in ("scl", "sda"):
            self.set_field("CTRL", wire, self.field("CTRL", f"{wire}_out") if by_hand else 1)
        return self.values["CTRL"]

    def stored_ctrl(self, old: int, _given: int) -> None:
        """Switching it off empties both FIFOs."""
        if self.part("CTRL", "en", old) and not self.field("CTRL", "en"):
            self._clear()
        self._update_flags()

    def read_status(self) -> int:
        """Levels of the FIFOs, and whether the bus is in use."""
        tx, rx = len(self._tx), len(self._rx)
        busy = int(self._phase != "idle")
        return _STATUS.encode(
            busy=busy,
            rx_em=int(rx == 0),
            rx_full=int(rx == FIFO_DEPTH),
            tx_em=int(tx == 0),
            tx_full=int(tx == FIFO_DEPTH),
            mst_busy=busy,
        )

    def _flags_written(self, _old: int, _given: int) -> None:
        """Flags were cleared or enabled; thresholds that still hold come back."""
        self._update_flags()

    stored_intfl0 = stored_intfl1 = stored_inten0 = stored_inten1 = _flags_written

    def stored_rxctrl0(self, _old: int, given: int) -> None:
        """Threshold; the flush bit acts at once."""
        if self.part("RXCTRL0", "flush", given):
            self._rx.clear()
        self._update_flags()

    def stored_txctrl0(self, _old: int, given: int) -> None:
        """Threshold; the flush bit acts at once."""
        if self.part("TXCTRL0", "flush", given):
            self._tx.clear()
        self._update_flags()

    def read_rxctrl1(self) -> int:
        """Count, and level of the receive FIFO."""
        self.set_field("RXCTRL1", "lvl", len(self._rx))
        return self.values["RXCTRL1"]

    def read_txctrl1(self) -> int:
        """Level of the transmit FIFO."""
        self.set_field("TXCTRL1", "lvl", len(self._tx))
        return self.values["TXCTRL1"]

    def write_fifo(self, value: int) -> None:
        """A byte to send: an address after START, else data."""
        if not self.field("CTRL", "en"):
            raise self.fault(_FIFO, "written while the controller is off (CTRL.en is 0)")
        if len(self._tx) == FIFO_DEPTH:
            raise self.fault(_FIFO, "write to a full transmit FIFO (STATUS.tx_full is 1)")
        self._tx.append(value & 0xFF)
        self._update_flags()
        self._go_on()

    def read_fifo(self) -> int:
        """The next byte received; reading an empty FIFO is a fault."""
        if not self._rx:
            raise self.fault(_FIFO, "read from an empty receive FIFO (STATUS.rx_em is 1)")
        value = self._rx.popleft()
        self._update_flags()
        self._go_on()
        return value

    def write_mstctrl(self, value: int) -> None:
        """START, RESTART, STOP: the bits clear themselves when done."""
        wanted = value & _COMMANDS
        if wanted and not (self.field("CTRL", "en") and self.field("CTRL", "mst_mode")):
            raise self.fault(
                _MSTCTRL, "used while the controller is off or no master (CTRL.en, CTRL.mst_mode)"
            )
        self.values["MSTCTRL"] |= wanted
        self._go_on()

    def _update_flags(self) -> None:
        if len(self._tx) <= self.field("TXCTRL0", "thd_val"):
            self.set_field("INTFL0", "tx_thd", 1)
        if len(self._rx) >= max(1, self.field("RXCTRL0", "thd_lvl")):
            self.set_field("INTFL0", "rx_thd", 1)
        active = (
            self.values["INTFL0"] & self.values["INTEN0"]
            or self.values["INTFL1"] & self.values["INTEN1"]
        )
        self.machine.nvic.set_line(self.irq, bool(active))

    def under_way(self) -> str | None:
        """A transfer."""
        return f"{self.name} transfers" if self._phase != "idle" else None

    # ---- the bus -------------------------------------------------------------------------------

    def _after(self, clocks: int, action: str, value: int = 0) -> None:
        """Let ``_ACTION(value)`` happen after some clocks on the wire."""
        period = self.field("CLKLO", "lo") + self.field("CLKHI", "hi") + 2
        generation = self._generation
        self._busy = True

        def happens() -> None:
            if generation == self._generation:
                self._busy = False
                getattr(self, action)(value)
                self._update_flags()
                self._go_on()

        self.machine.clocks.peripheral.after(clocks * period, happens)

    def _go_on(self) -> None:
        """Begin what comes next on the wire, if anything."""
        if self._busy:
            return
        if self._phase in ("idle", "address"):
            if self._tx and (self._phase == "address" or self.field("MSTCTRL", "start")):
                self._phase = "address"
                self._after(_BITS_PER_BYTE + 1, "_addressed", self._tx.popleft())
            elif self.field("MSTCTRL", "stop"):
                self._after(1, "_stopped")
        elif self._phase == "read" and self._to_read:
            if len(self._rx) < FIFO_DEPTH:  # else the clock is stretched
                self._after(_BITS_PER_BYTE, "_received")
        elif self._phase == "write" and self._tx:
            self._after(_BITS_PER_BYTE, "_written", self._tx.popleft())
        elif self.field("MSTCTRL", "restart"):
            self._after(1, "_restarted")
        elif self.field("MSTCTRL", "stop"):
            self._after(1, "_stopped")

    def _addressed(self, value: int) -> None:
        self.set_field("INTFL1", "start", 1)
        found = (d for d in self.devices if d.address == value >> 1)
        self._device = next((d for d in found if d.begin(bool(value & 1))), None)
        if self._device is None:
            self.set_field("INTFL0", "addr_nack_err", 1)
            self._tx.clear()
            self._phase = "held"
        else:
            self.set_field("INTFL0", "addr_ack", 1)
            self._phase = "read" if value & 1 else "write"
            self._to_read = (self.field("RXCTRL1", "cnt") or 256) if value & 1 else 0

    def _written(self, value: int) -> None:
        assert self._device is not None
        if not self._device.write(value):
            self.set_field("INTFL0", "data_err", 1)
            self._tx.clear()
            self._phase = "held"

    def _received(self, _: int) -> None:
        assert self._device is not None
        self._rx.append(self._device.read())
        self._to_read -= 1
        if not self._to_read:
            self.set_field("INTFL0", "done", 1)
            self._phase = "held"

    def _restarted(self, _: int) -> None:
        self._release()
        self.set_field("MSTCTRL", "restart", 0)
        self._phase = "address"

    def _stopped(self, _: int) -> None:
        self._release()
        self.values["MSTCTRL"] = 0
        self.set_field("INTFL0", "stop", 1)
        self.set_field("INTFL0", "done", 1)
        self._phase = "idle"

    def _release(self) -> None:
        if self._device is not None:
            self._device.end()
            self._device = None
