"""Global control: clocks, resets, clock gates of the peripherals."""

from __future__ import annotations

from typing import ClassVar

from evalkit.hardware.faults import ChipReset
from evalkit.hardware.peripherals.base import Peripheral, flags, whole
from synthesize.chip.registers import INERT, STATUS, UNMODELLED, Field, Register

OSCILLATOR_HZ = {0: 60_000_000, 3: 8_000, 4: 100_000_000, 5: 7_372_800, 6: 32_768}
"""Frequency by CLKCTRL.SYSCLK_SEL (system_max78000.h): ISO, INRO, IPO, IBRO, ERTCO."""

IBRO_HZ = OSCILLATOR_HZ[5]
RESET_HZ = OSCILLATOR_HZ[0]
"""The processor's clock after a reset."""

_RESETS0 = {
    "dma": 0, "wdt0": 1, "gpio0": 2, "gpio1": 3, "tmr0": 5, "tmr1": 6, "tmr2": 7, "tmr3": 8,
    "uart0": 11, "uart1": 12, "spi1": 13, "i2c0": 16, "rtc": 17, "smphr": 22, "trng": 24,
    "cnn": 25, "adc": 26, "uart2": 28, "soft": 29, "periph": 30, "sys": 31,
}  # fmt: skip
_GATES0 = {
    "gpio0": 0, "gpio1": 1, "dma": 5, "spi1": 6, "uart0": 9, "uart1": 10, "i2c0": 13,
    "tmr0": 15, "tmr1": 16, "tmr2": 17, "tmr3": 18, "adc": 23, "cnn": 25, "i2c1": 28, "pt": 29,
}  # fmt: skip
_RESETS1 = {
    "i2c1": 0, "pt": 1, "owm": 7, "crc": 9, "aes": 10, "spi0": 11, "smphr": 16, "i2s": 19,
    "i2c2": 20, "dvs": 24, "simo": 25, "cpu1": 31,
}  # fmt: skip
_GATES1 = {
    "uart2": 1, "trng": 2, "smphr": 9, "owm": 13, "crc": 14, "aes": 15, "spi0": 16, "pcif": 18,
    "i2s": 23, "i2c2": 24, "wdt0": 27, "cpu1": 31,
}  # fmt: skip


_GATES = {
    name: (register, 1 << bit, f"GCR.{register}.{name} is 1")
    for register, names in (("PCLKDIS0", _GATES0), ("PCLKDIS1", _GATES1))
    for name, bit in names.items()
}
"""Register, bit, and what to say where it is set."""


class Gcr(Peripheral):
    """GCR. Oscillators are ready as soon as they are enabled."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: Register(
            "SYSCTRL",
            (
                Field("bstapen", 1, 1, INERT),
                Field("flash_page_flip", 4, 1, UNMODELLED),
                Field("icc0_flush", 6, 1, INERT),
                Field("romdone", 12, 1, INERT),
                Field("cchk", 13, 1, UNMODELLED),
                Field("swd_dis", 14, 1, UNMODELLED),
                Field("chkres", 15, 1, STATUS),
                Field("ovr", 16, 2, INERT),
            ),
        ),
        0x04: flags("RST0", _RESETS0),
        0x08: Register(
            "CLKCTRL",
            (
                Field("inert_0", 0, 6, INERT),
                Field("sysclk_div", 6, 3),
                Field("sysclk_sel", 9, 3),
                Field("sysclk_rdy", 13, 1, STATUS),
                Field("ertco_en", 17),
                Field("iso_en", 18),
                Field("ipo_en", 19),
                Field("ibro_en", 20),
                Field("ibro_vs", 21, 1, INERT),
                Field("ertco_rdy", 25, 1, STATUS),
                Field("iso_rdy", 26, 1, STATUS),
                Field("ipo_rdy", 27, 1, STATUS),
                Field("ibro_rdy", 28, 1, STATUS),
                Field("inro_rdy", 29, 1, STATUS),
            ),
            reset=0x2404_2008,  # ISO selected and ready; INRO always on
        ),
        0x0C: Register(
            "PM",
            (
                Field("mode", 0, 4),
                Field("gpio_we", 4, 1, INERT),
                Field("rtc_we", 5, 1, INERT),
                Field("wut_we", 7, 1, INERT),
                Field("aincomp_we", 9, 1, INERT),
                Field("iso_pd", 15, 1, INERT),
                Field("ipo_pd", 16, 1, INERT),
                Field("ibro_pd", 17, 1, INERT),
            ),
        ),
        0x18: Register(
            "PCLKDIV",
            (
                Field("inert_0", 0, 10, INERT),
                Field("adcfrq", 10, 3, INERT),
                Field("cnnclkdiv", 14, 3),
                Field("cnnclksel", 17, 2),
            ),
            reset=1,
        ),
        0x24: flags("PCLKDIS0", _GATES0, reset=sum(1 << b for b in _GATES0.values())),
        0x28: Register(
            "MEMCTRL", (Field("fws", 0, 3, INERT), Field("sysram0ecc", 16, 1, INERT)), 5
        ),
        0x44: flags("RST1", _RESETS1),
        0x48: flags("PCLKDIS1", _GATES1, reset=sum(1 << b for b in _GATES1.values())),
        0x50: whole("REVISION", kind=STATUS, reset=0xA1),
    }

    def write_rst0(self, value: int) -> None:
        """Reset peripherals; the bits clear themselves at once."""
        self._reset_named(value, "RST0")

    def write_rst1(self, value: int) -> None:
        """Reset peripherals; the bits clear themselves at once."""
        self._reset_named(value, "RST1")

    def _reset_named(self, value: int, register: str) -> None:
        for name in _RESETS0 if register == "RST0" else _RESETS1:
            if not self.part(register, name, value):
                continue
            if name == "sys":
                raise ChipReset(
                    "software", "the firmware resets the chip (GCR.RST0.sys)", self.base
                )
            if not self.machine.reset_peripheral(name):
                raise self.fault(0, f"{register}: resetting {name} is not modelled")

    def write_clkctrl(self, value: int) -> None:
        """Enabled oscillators are ready at once; switch the system clock."""
        self.values["CLKCTRL"] = value
        for name in ("ertco", "iso", "ipo", "ibro"):
            self.set_field("CLKCTRL", f"{name}_rdy", self.field("CLKCTRL", f"{name}_en"))
        select = self.field("CLKCTRL", "sysclk_sel")
        enabled = {0: "iso_en", 4: "ipo_en", 5: "ibro_en", 6: "ertco_en"}.get(select)
        if select not in OSCILLATOR_HZ:
            raise self.fault(8, f"system clock source {select} is not modelled")
        if enabled and not self.field("CLKCTRL", enabled):
            raise self.fault(
                8, f"the system clock is switched to an oscillator that is off ({enabled})"
            )
        self.machine.clocks.set_core(OSCILLATOR_HZ[select] >> self.field("CLKCTRL", "sysclk_div"))
        self.machine.clocks.cnn.set_frequency(self.cnn_hz())

    def stored_pclkdiv(self, _old: int, _given: int) -> None:
        """The accelerator's clock."""
        self.machine.clocks.cnn.set_frequency(self.cnn_hz())

    def restart(self) -> None:
        """As after power-up, at the clock of then."""
        super().restart()
        self.machine.clocks.set_core(RESET_HZ)
        self.machine.clocks.cnn.set_frequency(self.cnn_hz())

    def write_pm(self, value: int) -> None:
        """Power mode and sources of wake-up; the modes that lose the memory begin at once."""
        mode = self.part("PM", "mode", value)
        lost = {4: "BACKUP", 10: "POWERDOWN"}.get(mode)
        if lost is not None:
            raise self.fault(
                0x0C,
                f"the firmware enters {lost}: the chip loses its memory and starts from reset when"
                " it wakes, which is not modelled",
            )
        if mode not in (0, 1, 2, 8, 9):
            raise self.fault(0x0C, f"mode {mode} does not exist")
        self.values["PM"] = value

    @property
    def ertco_on(self) -> bool:
        """Whether the 32.768 kHz oscillator runs; either of two bits keeps it on."""
        kept = self.machine.peripherals["MCR"].field("CTRL", "ertco_en")
        return bool(self.field("CLKCTRL", "ertco_en") or kept)

    @property
    def ibro_on(self) -> bool:
        """Whether the 7.3728 MHz oscillator runs."""
        return bool(self.field("CLKCTRL", "ibro_en"))

    def gated(self, name: str) -> str | None:
        """Text of the clock gate that holds a peripheral off, None when its clock runs."""
        gate = _GATES.get(name)
        if gate is None:
            return None
        register, bit, text = gate
        return text if self.values[register] & bit else None

    def cnn_hz(self) -> int:
        """Clock of the CNN accelerator."""
        divider = {0: 2, 1: 4, 2: 8, 3: 16, 4: 1}.get(self.field("PCLKDIV", "cnnclkdiv"), 1)
        if self.field("PCLKDIV", "cnnclksel") == 1:
            return OSCILLATOR_HZ[0] // divider
        return max(1, self.machine.clocks.core.frequency // 2 // divider)
