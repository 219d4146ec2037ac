"""Direct memory access: memory to memory, UARTs in and out, SPI out, camera in.

A transfer to a UART moves up to ``CHUNK`` characters as one event, at the time the last of them is
on the line. One from a UART moves what has come whenever the program looks at a register of the
DMA or of the UART, and the rest as one event when it is complete. The count register and the memory
change at those moments.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.peripherals.base import Peripheral, flags
from synthesize.chip.fields import CLEARED_BY_1, INERT, STATUS, Field, Register

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine
    from evalkit.hardware.peripherals.uart import Uart

CHANNELS = 4
"""Channels in the register file (max78000.svd)."""
SDK_CHANNELS = 16
"""The SDK clears as many (MXC_DMA_CHANNELS in max78000.h); nothing is behind the others."""
FIRST_IRQS = (28, 29, 30, 31)
CHUNK = 32
"""Bytes moved as one event."""
_NAMES = {
    kind: tuple(f"{kind}{number}" for number in range(CHANNELS))
    for kind in ("CTRL", "STATUS", "CNT", "CNTRLD")
}
COPY_CYCLES_PER_WORD = 2
"""CPU clock cycles to read and write 32 bits; an estimate."""

MEMORY_TO_MEMORY = 0x00
UART_RECEIVE = {0x04: 0, 0x05: 1, 0x0E: 2}
UART_TRANSMIT = {0x24: 0, 0x25: 1, 0x2E: 2}
"""CTRL.request -> UART number."""
SPI_TRANSMIT = {0x2F: 0, 0x21: 1}
"""CTRL.request -> SPI number."""
CAMERA_RECEIVE = 0x0D
"""From the camera interface (camera.c in the SDK's Boards/MAX78000/Source)."""

_WORDS = 2
"""CTRL.srcwd and dstwd: 32 bits."""

_CTRL_FIELDS = (
    Field("en", 0),
    Field("rlden", 1),
    Field("pri", 2, 2, INERT),
    Field("request", 4, 6),
    Field("to_wait", 10, 1, INERT),
    Field("to_per", 11, 3, INERT),
    Field("to_clkdiv", 14, 2, INERT),
    Field("srcwd", 16, 2),
    Field("srcinc", 18),
    Field("dstwd", 20, 2),
    Field("dstinc", 22),
    Field("burst_size", 24, 5, INERT),
    Field("dis_ie", 30),
    Field("ctz_ie", 31),
)


def _channel_registers(number: int) -> dict[int, Register]:
    base = 0x100 + 0x20 * number
    return {
        base: Register(f"CTRL{number}", _CTRL_FIELDS),
        base + 0x04: Register(
            f"STATUS{number}",
            (
                Field("status", 0, 1, STATUS),
                Field("ipend", 1, 1, STATUS),
                Field("ctz_if", 2, write=CLEARED_BY_1),
                Field("rld_if", 3, write=CLEARED_BY_1),
                Field("bus_err", 4, write=CLEARED_BY_1),
                Field("to_if", 6, write=CLEARED_BY_1),
            ),
        ),
        base + 0x08: Register(f"SRC{number}", (Field("addr", 0, 32),)),
        base + 0x0C: Register(f"DST{number}", (Field("addr", 0, 32),)),
        base + 0x10: Register(f"CNT{number}", (Field("cnt", 0, 24),)),
        base + 0x14: Register(f"SRCRLD{number}", (Field("addr", 0, 31),)),
        base + 0x18: Register(f"DSTRLD{number}", (Field("addr", 0, 31),)),
        base + 0x1C: Register(f"CNTRLD{number}", (Field("cnt", 0, 24), Field("en", 31))),
    }


def _absent(offset: int) -> bool:
    return 0x100 + 0x20 * CHANNELS <= offset < 0x100 + 0x20 * SDK_CHANNELS


class Dma(Peripheral):
    """DMA controller (dma_regs.h, dma_reva.c)."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: flags("INTEN", {f"ch{n}": n for n in range(CHANNELS)}),
        0x04: flags("INTFL", {f"ch{n}": n for n in range(CHANNELS)}, STATUS),
        **{k: v for n in range(CHANNELS) for k, v in _channel_registers(n).items()},
    }

    def __init__(self, machine: Machine, name: str, base: int) -> None:
        super().__init__(machine, name, base)
        for number in range(CHANNELS):
            first = 0x100 + 0x20 * number
            self._stored[first] = partial(self._control_written, number)
            self._stored[first + 4] = partial(self._status_written, number)

    def reset(self) -> None:
        """All channels stop."""
        super().reset()
        self._update_irqs()

    # ---- registers -----------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        """Bus read; channels that do not exist read as zero."""
        self._settle()
        return 0 if _absent(offset) else super().read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Bus write; channels that do not exist may be written with zero only."""
        self._settle()
        if not _absent(offset):
            super().write(offset, size, value)
        elif value:
            raise self.fault(offset, f"only {CHANNELS} channels exist")

    def _settle(self) -> None:
        """The program looks: what UARTs have received by now has been moved."""
        for uart in self.machine.uarts:
            uart.settle()

    def read_intfl(self) -> int:
        """Channels that request an interrupt."""
        return sum(self._requests(n) << n for n in range(CHANNELS))

    def stored_inten(self, _old: int, _given: int) -> None:
        """Interrupt enable of each channel."""
        self._update_irqs()

    def _status_written(self, _number: int, _old: int, _given: int) -> None:
        """Flags were cleared."""
        self._update_irqs()

    def _get(self, number: int, register: str, field: str) -> int:
        return self.field(_NAMES[register][number], field)

    def _set(self, number: int, register: str, field: str, value: int) -> None:
        self.set_field(_NAMES[register][number], field, value)

    def _control_written(self, number: int, old: int, _given: int) -> None:
        enabled = self._get(number, "CTRL", "en")
        self._set(number, "STATUS", "status", enabled)
        if enabled and not self.part(f"CTRL{number}", "en", old):
            self._start(number)
        elif not enabled and self._request(number) in UART_RECEIVE:
            self._uart(self._request(number)).dma_changed()
        self._update_irqs()

    def _requests(self, number: int) -> bool:
        if not self._get(number, "STATUS", "ctz_if"):
            return False
        stopped = self._get(number, "CTRL", "dis_ie") and not self._get(number, "CTRL", "en")
        return bool(self._get(number, "CTRL", "ctz_ie") or stopped)

    def _update_irqs(self) -> None:
        enabled = self.values["INTEN"]
        for number in range(CHANNELS):
            level = bool(enabled >> number & 1) and self._requests(number)
            self.machine.nvic.set_line(FIRST_IRQS[number], level)

    # ---- transfers -----------------------------------------------------------------------------

    def _request(self, number: int) -> int:
        return self._get(number, "CTRL", "request")

    def _active(self, number: int) -> bool:
        return bool(self._get(number, "CTRL", "en") and self.values[_NAMES["CNT"][number]])

    def under_way(self) -> str | None:
        """Transfers that are not complete."""
        active = [n for n in range(CHANNELS) if self._active(n)]
        return f"DMA channel {active[0]} transfers" if active else None

    def _start(self, number: int) -> None:
        request = self._request(number)
        if request == MEMORY_TO_MEMORY:
            self._copy(number)
        elif request in UART_TRANSMIT:
            self._need_bytes(number, "dst", self._uart(request).base + 0x20)
            self._uart(request).dma_changed()
        elif request in UART_RECEIVE:
            self._need_bytes(number, "src", self._uart(request).base + 0x20)
            self._uart(request).dma_changed()
        elif request in SPI_TRANSMIT:
            if not self._get(number, "CTRL", "srcinc"):
                raise self.fault(0x100 + 0x20 * number, "a transfer to SPI increments src")
            self.machine.spis[SPI_TRANSMIT[request]].dma_changed()
        elif request == CAMERA_RECEIVE:
            self._need_words(number)
            self.machine.pcif.dma_changed()
        else:
            raise self.fault(0x100 + 0x20 * number, f"request 0x{request:x} is not modelled")

    def _uart(self, request: int) -> Uart:
        number = UART_TRANSMIT.get(request, UART_RECEIVE.get(request, 0))
        return self.machine.uarts[number]

    def _need_bytes(self, number: int, side: str, fifo: int) -> None:
        """A UART transfer is by bytes, between its FIFO and consecutive addresses."""
        increment = "dstinc" if side == "src" else "srcinc"
        offset = 0x100 + 0x20 * number
        if self._get(number, "CTRL", "srcwd") or self._get(number, "CTRL", "dstwd"):
            raise self.fault(offset, "a UART transfer wider than a byte is not modelled")
        if not self._get(number, "CTRL", increment):
            raise self.fault(offset, f"a UART transfer without {increment} is not modelled")
        if self.values[f"{side.upper()}{number}"] != fifo:
            raise self.fault(offset, f"{side} is not the FIFO of the UART that requests")

    def _need_words(self, number: int) -> None:
        """The camera's FIFO gives whole words to consecutive addresses."""
        offset = 0x100 + 0x20 * number
        if any(self._get(number, "CTRL", name) != _WORDS for name in ("srcwd", "dstwd")):
            raise self.fault(offset, "a camera transfer by other than 32 bits is not modelled")
        if self._get(number, "CTRL", "srcinc") or not self._get(number, "CTRL", "dstinc"):
            raise self.fault(offset, "a camera transfer increments dst and nothing else")

    def _copy(self, number: int) -> None:
        """Memory to memory, ``CHUNK`` bytes at a time; only with both sides incrementing."""
        if not all(self._get(number, "CTRL", name) for name in ("srcinc", "dstinc")):
            raise self.fault(0x100 + 0x20 * number, "a copy without increments is not modelled")
        count = min(CHUNK, self.values[_NAMES["CNT"][number]])
        cycles = -(-count // 4) * COPY_CYCLES_PER_WORD
        self.machine.clocks.core.after(cycles, lambda: self._copied(number, count))

    def _copied(self, number: int, count: int) -> None:
        if not self._active(number):
            return
        self._store(number, self._load(number, count))
        self._advance(number, count, count, count)
        if self._active(number):
            self._copy(number)

    def transmit_channel(self, uart: int) -> int | None:
        """The active channel that feeds a UART."""
        return self._channel(UART_TRANSMIT, uart)

    def receive_channel(self, uart: int) -> int | None:
        """The active channel that empties a UART."""
        return self._channel(UART_RECEIVE, uart)

    def spi_channel(self, spi: int) -> int | None:
        """The active channel that feeds an SPI controller."""
        return self._channel(SPI_TRANSMIT, spi)

    def camera_channel(self) -> int | None:
        """The active channel that empties the camera's FIFO."""
        return self._channel({CAMERA_RECEIVE: 0}, 0)

    def _channel(self, requests: dict[int, int], uart: int) -> int | None:
        for number in range(CHANNELS):
            if self._active(number) and requests.get(self._request(number)) == uart:
                return number
        return None

    def take(self, number: int) -> bytes:
        """Up to ``CHUNK`` bytes from a channel's memory side."""
        count = min(self.values[f"CNT{number}"], CHUNK)
        data = self._load(number, count)
        self._advance(number, count, source=count)
        return data

    def _load(self, number: int, count: int) -> bytes:
        address = self.values[f"SRC{number}"]
        if not self.machine.has_memory(address, count, writable=False):
            raise self.fault(0x108 + 0x20 * number, f"{count} bytes at 0x{address:08x}: no memory")
        return self.machine.cpu.read_memory(address, count)

    def _store(self, number: int, data: bytes) -> None:
        address = self.values[f"DST{number}"]
        if not self.machine.has_memory(address, len(data), writable=True):
            text = f"{len(data)} bytes at 0x{address:08x}: no memory that can be written"
            raise self.fault(0x10C + 0x20 * number, text)
        self.machine.cpu.uc.mem_write(address, data)

    def room(self, number: int) -> int:
        """How many bytes a channel can take before it completes or reloads."""
        return self.values[f"CNT{number}"]

    def put(self, number: int, data: bytes) -> None:
        """Bytes for a channel's memory side; at most ``room``."""
        self._store(number, data)
        self._advance(number, len(data), destination=len(data))

    def _advance(self, number: int, count: int, source: int = 0, destination: int = 0) -> None:
        values = self.values
        values[f"SRC{number}"] += source
        values[f"DST{number}"] += destination
        values[f"CNT{number}"] -= count
        if values[f"CNT{number}"]:
            return
        self._set(number, "STATUS", "ctz_if", 1)
        if self._get(number, "CTRL", "rlden") or self._get(number, "CNTRLD", "en"):
            values[f"SRC{number}"] = values[f"SRCRLD{number}"]
            values[f"DST{number}"] = values[f"DSTRLD{number}"]
            values[f"CNT{number}"] = self._get(number, "CNTRLD", "cnt")
            self._set(number, "CNTRLD", "en", 0)
            self._set(number, "CTRL", "rlden", 0)
            self._set(number, "STATUS", "rld_if", 1)
        else:
            self._set(number, "CTRL", "en", 0)
            self._set(number, "STATUS", "status", 0)
        self._update_irqs()
