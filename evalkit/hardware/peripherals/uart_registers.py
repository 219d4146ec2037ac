"""The registers of a UART (uart_regs.h)."""

from __future__ import annotations

from functools import cache

from evalkit.hardware.peripherals.base import flags, whole
from synthesize.chip.fields import (
    CLEARED_BY_1,
    CLEARS_ITSELF,
    INERT,
    STATUS,
    UNMODELLED,
    Field,
    Register,
)

FIFO_DEPTH = 8
"""Bytes in each direction (max78000.h, MXC_UART_FIFO_DEPTH)."""

_INTERRUPTS = {"rx_ferr": 0, "rx_par": 1, "cts_ev": 2, "rx_ov": 3, "rx_thd": 4, "tx_he": 6}
STATUS_REGISTER = Register(
    "STATUS",
    tuple(
        Field(name, lsb, width, STATUS)
        for name, lsb, width in (
            *(("tx_busy", 0, 1), ("rx_busy", 1, 1), ("rx_em", 4, 1), ("rx_full", 5, 1)),
            *(("tx_em", 6, 1), ("tx_full", 7, 1), ("rx_lvl", 8, 4), ("tx_lvl", 12, 4)),
        )
    ),
)


@cache
def levels(sends: bool, receives: bool, rx: int, tx: int) -> int:
    """STATUS for characters on the line and so many in the FIFOs."""
    return STATUS_REGISTER.encode(
        tx_busy=int(sends),
        rx_busy=int(receives),
        rx_em=int(rx == 0),
        rx_full=int(rx == FIFO_DEPTH),
        tx_em=int(tx == 0),
        tx_full=int(tx == FIFO_DEPTH),
        rx_lvl=rx,
        tx_lvl=tx,
    )


REGISTERS = {
    0x00: Register(
        "CTRL",
        (
            Field("rx_thd_val", 0, 4),
            Field("par_en", 4, 1, UNMODELLED),
            Field("par_eo", 5, 1, INERT),
            Field("par_md", 6, 1, INERT),
            Field("cts_dis", 7, 1, INERT),
            Field("tx_flush", 8, write=CLEARS_ITSELF),
            Field("rx_flush", 9, write=CLEARS_ITSELF),
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
    0x04: STATUS_REGISTER,
    0x08: flags("INT_EN", _INTERRUPTS),
    0x0C: Register(
        "INT_FL",
        (
            *(Field(name, bit, write=CLEARED_BY_1) for name, bit in _INTERRUPTS.items()),
            # Drivers clear all bits, those without a flag included.
            Field("none_5", 5, 1, INERT, write=CLEARED_BY_1),
            Field("none_7", 7, 25, INERT, write=CLEARED_BY_1),
        ),
    ),
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
