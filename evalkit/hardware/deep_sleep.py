"""Deep sleep: WFI with SCR.SLEEPDEEP set and a mode in GCR.PM.

Modelled are LPM, UPM and STANDBY with memory kept and with RTC, wake-up timer and pins as sources
of wake-up (lp_ai85.c, gcr_regs.h, pwrseq_regs.h of the public SDK; MAX78000 User Guide, operating
modes). In LPM the processor's own clock stops, and the DMA cannot reach the processor's memory; in
the others the clocks of all peripherals stop but those of RTC and wake-up timer. What is under way
at that moment would be torn apart; the kit refuses to guess how and stops the program, as it does
when an interrupt comes that is not enabled to end a deep sleep. BACKUP and POWERDOWN lose the
memory and end in a reset: they end the run (see ``Gcr.write_pm``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.hardware.core.system import FIRST_IRQ
from evalkit.hardware.faults import KitFault
from evalkit.hardware.peripherals import wut

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

MODES = {2: "STANDBY", 8: "LPM", 9: "UPM"}
"""GCR.PM.mode."""
_RTC_IRQ = 3
_SLEEPDEEP = 1 << 2


def wanted(machine: Machine) -> bool:
    """Whether the next WFI is a deep sleep."""
    return bool(machine.system.values[0xE000_ED10] & _SLEEPDEEP)


def enter(machine: Machine) -> str:
    """Check that nothing is under way; returns the name of the mode.

    Raises:
        KitFault: no mode is selected, or the clock of something that runs would stop.
    """
    mode = machine.gcr.field("PM", "mode")
    if mode not in MODES:
        raise _fault(machine, f"deep sleep (SCR.SLEEPDEEP) while GCR.PM.mode is {mode}")
    running = _stopped_by(machine, MODES[mode])
    if running:
        raise _fault(
            machine,
            f"deep sleep ({MODES[mode]}) while {running[0]}: its clock stops, and what becomes of"
            " that is not modelled; stop it before",
        )
    return MODES[mode]


def _stopped_by(machine: Machine, mode: str) -> list[str]:
    """What is under way and would stop."""
    stopped = [machine.dma] if mode == "LPM" else list(machine.peripherals.values())
    running = [reason for p in stopped if (reason := p.under_way())]
    if machine.system.systick.control & 1:
        running.append("SysTick counts")
    if machine.accelerator.cnn.running and mode != "LPM":
        running.append("the accelerator runs")
    return running


def check_wake_up(machine: Machine) -> None:
    """An interrupt ends the deep sleep.

    Raises:
        KitFault: it is not enabled to do that.
    """
    number = machine.nvic.ready()
    assert number is not None
    irq = number - FIRST_IRQ
    sources = {_RTC_IRQ: "rtc_we", wut.IRQ: "wut_we"}
    sources |= {gpio.irq: "gpio_we" for gpio in machine.gpios if gpio.irq is not None}
    field = sources.get(irq)
    if field is None:
        raise _fault(
            machine, f"interrupt {irq} comes in deep sleep; only RTC, WUT and GPIO can there"
        )
    if not machine.gcr.field("PM", field):
        raise _fault(
            machine,
            f"interrupt {irq} comes in deep sleep but is not enabled to end it (GCR.PM.{field} is"
            " 0)",
        )
    for port, gpio in enumerate(machine.gpios):
        if gpio.irq == irq:
            _note_pins(machine, port, gpio.values["INTFL"])


def _note_pins(machine: Machine, port: int, flags: int) -> None:
    """Wake-up status of the pins; at least one of them must be enabled."""
    pwrseq = machine.peripherals["PWRSEQ"]
    woken = flags & pwrseq.values[f"LPWKEN{port}"]
    if not woken:
        raise _fault(
            machine,
            f"a pin of GPIO{port} changes in deep sleep but is not enabled to end it"
            f" (PWRSEQ.LPWKEN{port})",
        )
    pwrseq.values[f"LPWKST{port}"] |= woken


def _fault(machine: Machine, message: str) -> KitFault:
    fault = KitFault(message)
    fault.pc = machine.cpu.pc
    return fault
