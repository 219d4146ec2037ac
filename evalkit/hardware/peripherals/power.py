"""Power sequencer, miscellaneous control and trim registers: values are remembered.

Sources: pwrseq_regs.h, mcr_regs.h, trimsir_regs.h, fcr_regs.h, sir_regs.h of the public SDK.
"""

from __future__ import annotations

from typing import ClassVar

from evalkit.hardware.peripherals.base import Peripheral, whole
from synthesize.chip.fields import CLEARED_BY_1, INERT, STATUS, Field, Register


def _plain(*names: str) -> dict[int, Register]:
    return {4 * i: whole(name, kind=INERT) for i, name in enumerate(names)}


class Pwrseq(Peripheral):
    """PWRSEQ: which pins end a deep sleep, and which have (``deep_sleep.py``)."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: whole("LPCN", kind=INERT),
        **{
            4 + 8 * port: whole(f"LPWKST{port}", kind=INERT, write=CLEARED_BY_1)
            for port in range(4)
        },
        **{8 + 8 * port: whole(f"LPWKEN{port}", kind=INERT) for port in range(4)},
        0x30: whole("LPPWST", kind=INERT, write=CLEARED_BY_1),
        0x34: whole("LPPWEN", kind=INERT),
        0x48: whole("GP0", kind=INERT),
        0x4C: whole("GP1", kind=INERT),
    }


class Mcr(Peripheral):
    """MCR: memory check bits, oscillator outputs, port 3."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        **_plain("ECCEN", "IPO_MTRIM", "OUTEN", "CMP_CTRL"),
        0x10: Register(
            "CTRL",
            (
                Field("inert_0", 0, 3, INERT),
                Field("ertco_en", 3),
                Field("inert_4", 4, 28, INERT),
            ),
        ),
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
