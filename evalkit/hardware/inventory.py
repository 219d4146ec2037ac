"""Which peripherals the chip has, where they are, and which clock gates stop them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from evalkit.hardware.boot import PERIPHERAL_BASE
from evalkit.hardware.peripherals.base import Peripheral
from evalkit.hardware.peripherals.dma import Dma
from evalkit.hardware.peripherals.flc import Flc
from evalkit.hardware.peripherals.gcfr import Gcfr
from evalkit.hardware.peripherals.gcr import Gcr
from evalkit.hardware.peripherals.gpio import Gpio
from evalkit.hardware.peripherals.i2c import I2c
from evalkit.hardware.peripherals.icc import Icc
from evalkit.hardware.peripherals.lpgcr import Lpgcr
from evalkit.hardware.peripherals.pcif import Pcif
from evalkit.hardware.peripherals.power import Fcr, Mcr, Pwrseq, Sir, Trimsir
from evalkit.hardware.peripherals.pt import PulseTrains
from evalkit.hardware.peripherals.rtc import Rtc
from evalkit.hardware.peripherals.simo import Simo
from evalkit.hardware.peripherals.spi import Spi
from evalkit.hardware.peripherals.timer import Timer
from evalkit.hardware.peripherals.uart import Uart
from evalkit.hardware.peripherals.wdt import Wdt
from evalkit.hardware.peripherals.wut import Wut

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

SLOT = 10
"""Peripherals are at multiples of 1 KiB."""


class Inventory:
    """The peripherals, each by its name and in ``peripherals``; a part of ``Machine``.

    ``slots`` says who answers, by offset from the peripherals' base address >> ``SLOT``.
    """

    def make_peripherals(self, machine: Machine) -> None:
        """Make and connect everything; ``machine`` is what they are parts of."""
        self.gcr = Gcr(machine, "GCR", 0x4000_0000)
        self.gcfr = Gcfr(machine, "GCFR", 0x4000_5800)
        self.lpgcr = Lpgcr(machine, "LPGCR", 0x4008_0000)
        self.dma = Dma(machine, "DMA", 0x4002_8000)
        self.uarts = (
            Uart(machine, "UART0", 0x4004_2000, 14),
            Uart(machine, "UART1", 0x4004_3000, 15),
            Uart(machine, "UART2", 0x4004_4000, 34),
            Uart(machine, "UART3", 0x4008_1400, 88, low_power=True),
        )
        self.timers = tuple(
            Timer(machine, f"TMR{i}", 0x4001_0000 + 0x1000 * i, 5 + i) for i in range(4)
        )
        self.gpios = (
            Gpio(machine, "GPIO0", 0x4000_8000, 24),
            Gpio(machine, "GPIO1", 0x4000_9000, 25),
            Gpio(machine, "GPIO2", 0x4008_0400, 26),
        )
        self.pcif = Pcif(machine, "PCIF", 0x4000_E000, 91)
        self.pt = PulseTrains(machine, "PT", 0x4003_C000, 59)
        self.i2cs = (
            I2c(machine, "I2C0", 0x4001_D000, 13),
            I2c(machine, "I2C1", 0x4001_E000, 36),
            I2c(machine, "I2C2", 0x4001_F000, 62),
        )
        self.spis = (Spi(machine, "SPI0", 0x400B_E000, 56), Spi(machine, "SPI1", 0x4004_6000, 16))
        self.peripherals: dict[str, Peripheral] = {
            p.name: p
            for p in (
                self.gcr,
                self.gcfr,
                self.dma,
                self.lpgcr,
                Icc(machine, "ICC0", 0x4002_A000),
                Icc(machine, "ICC1", 0x4002_A800),
                Simo(machine, "SIMO", 0x4000_4400),
                Sir(machine, "SIR", 0x4000_0400),
                Fcr(machine, "FCR", 0x4000_0800),
                Trimsir(machine, "TRIMSIR", 0x4000_5400),
                Pwrseq(machine, "PWRSEQ", 0x4000_6800),
                Mcr(machine, "MCR", 0x4000_6C00),
                Flc(machine, "FLC", 0x4002_9000),
                Rtc(machine, "RTC", 0x4000_6000),
                Wut(machine, "WUT", 0x4000_6400),
                Wdt(machine, "WDT0", 0x4000_3000, 1),
                Wdt(machine, "WDT1", 0x4008_0800, 57),
                *self.uarts,
                *self.timers,
                *self.gpios,
                self.pcif,
                self.pt,
                *self.i2cs,
                *self.spis,
            )
        }
        self._connect()

    def _connect(self) -> None:
        """Who answers at which address, and which clock gates stop whom."""
        self.slots: dict[int, Peripheral] = {}
        for peripheral in self.peripherals.values():
            first = peripheral.base - PERIPHERAL_BASE >> SLOT
            last = peripheral.base + max(peripheral.REGISTERS) - PERIPHERAL_BASE >> SLOT
            for slot in range(first, last + 1):
                self.slots[slot] = peripheral
        gated = (self.dma, *self.uarts[:3], *self.gpios[:2], self.pt, *self.i2cs, *self.spis)
        for peripheral in gated:
            peripheral.clock_gate = partial(self.gcr.gated, peripheral.name.lower())
        self.gpios[2].clock_gate = partial(self.lpgcr.gated, "gpio2")
        self.uarts[3].clock_gate = partial(self.lpgcr.gated, "uart3")
