"""Reset of the chip by watchdog or software: the firmware starts again.

What a reset does here: the processor begins at the reset handler with interrupts off, at 60 MHz;
all peripherals are as after power-up, and what they were doing is lost; the accelerator is off and
has forgotten everything. What it does not touch: flash; the RTC, which keeps time; the flags with
which a watchdog says that it was the cause (WDTn.CTRL, ``rst_late`` and ``rst_early``); what is
around the chip. SRAM keeps its contents, as memory that stays powered does, but no document says so
of the MAX78000, and its boot loader may use some of it: firmware must not rely on either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.hardware.boot import boot
from evalkit.hardware.faults import ChipReset

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine


def restart(machine: Machine, reset: ChipReset) -> None:
    """Start the firmware again, at the same modelled time.

    Raises:
        ChipReset: the machine does not restart.
    """
    if not machine.restarts:
        raise reset
    machine.resets.append((machine.now, reset.cause))
    machine.clocks.forget()
    machine.reset_core()
    machine.accelerator.power_cycled()
    for peripheral in machine.peripherals.values():
        peripheral.restart()
    boot(machine)
    if machine.on_reset is not None:
        machine.on_reset(*machine.resets[-1])
