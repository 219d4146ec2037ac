"""Power sequencer, miscellaneous control and trim registers: values are remembered.

Sources: pwrseq_regs.h, mcr_regs.h, trimsir_regs.h, fcr_regs.h, sir_regs.h of the public SDK.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.peripherals.base import Peripheral, whole
from synthesize.chip.registers import INERT, STATUS, Field, Register

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine


def _plain(*names: str) -> dict[int, Register]:
    return {4 * i: whole(name, kind=INERT) for i, name in enumerate(names)}


class Pwrseq(Peripheral):
    """PWRSEQ: which pins end a deep sleep, and which have (``deep_sleep.py``)."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        **_plain(
            "LPCN", "LPWKST0", "LPWKEN0", "LPWKST1", "LPWKEN1", "LPWKST2", "LPWKEN2", "LPWKST3",
            "LPWKEN3",
        ),
        0x30: whole("LPPWST", kind=INERT),
        0x34: whole("LPPWEN", kind=INERT),
        0x48: whole("GP0", kind=INERT),
        0x4C: whole("GP1", kind=INERT),
    }  # fmt: skip

    def __init__(self, machine: Machine, name: str, base: int) -> None:
        super().__init__(machine, name, base)
        for offset, register in self.REGISTERS.items():
            if register.name.startswith("LPWKST") or register.name == "LPPWST":
                self._writers[offset] = partial(self._clear, register.name)

    def _clear(self, register: str, value: int) -> None:
        """Wake-up status is cleared by writing 1."""
        self.values[register] &= ~value


class Mcr(Peripheral):
    """MCR: memory check bits, oscillator outputs, port 3."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        **_plain("ECCEN", "IPO_MTRIM", "OUTEN", "CMP_CTRL", "CTRL"),
        0x20: Register(
            "GPIO3_CTRL",
            (
                Field("p30", 0, 3, INERT),
                Field("p30_in", 3, 1, STATUS),
                Field("p31", 4, 3, INERT),
                Field("p31_in", 7, 1, STATUS),
            ),
            0x88,
        ),
    }


class Trimsir(Peripheral):
    """TRIMSIR: trim values."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x08: whole("RTC", kind=INERT),
        0x34: whole("SIMO", kind=STATUS),
        0x3C: whole("IPOLO", kind=STATUS),
        0x40: whole("CTRL", kind=INERT),
        0x44: whole("INRO", kind=INERT),
    }


class Fcr(Peripheral):
    """FCR: glitch filters, clock calibration, second core's boot address."""

    REGISTERS: ClassVar[dict[int, Register]] = _plain(
        "FCTRL0", "AUTOCAL0", "AUTOCAL1", "AUTOCAL2", "URVBOOTADDR", "URVCTRL"
    )


class Sir(Peripheral):
    """SIR: start-up status; everything was in order."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x000: whole("SISTAT", kind=STATUS, reset=1),
        0x004: whole("ADDR", kind=STATUS),
        0x100: whole("FSTAT", kind=STATUS, reset=0x85),
        0x104: whole("SFSTAT", kind=STATUS, reset=0x5),
    }
