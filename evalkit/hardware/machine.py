"""The MAX78000 as one machine: processor, memories, peripherals, accelerator, time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from evalkit.hardware import deep_sleep
from evalkit.hardware.accelerator import BASE as CNN_BASE
from evalkit.hardware.accelerator import SIZE as CNN_SIZE
from evalkit.hardware.accelerator import Accelerator
from evalkit.hardware.boot import (
    FLASH_BASE,
    FLASH_SIZE,
    PERIPHERAL_BASE,
    PERIPHERAL_SIZE,
    SRAM_BASE,
    SRAM_SIZE,
    SYSTEM_BASE,
    SYSTEM_SIZE,
    in_memory,
    in_sram,
    load,
)
from evalkit.hardware.clocks import Clocks
from evalkit.hardware.core.cpu import BREAKPOINT, CALL, RETURN, SLEEP, SLEEP_EVENT, SPIN, Cpu
from evalkit.hardware.core.leaving import Door
from evalkit.hardware.core.system import SVCALL, SystemControl
from evalkit.hardware.elf import Firmware
from evalkit.hardware.faults import ChipReset, KitFault
from evalkit.hardware.inventory import SLOT, Inventory
from evalkit.hardware.peripherals.gcr import IBRO_HZ, RESET_HZ
from evalkit.hardware.peripherals.uart import Uart
from evalkit.hardware.polling import Polling
from evalkit.hardware.restart import restart
from evalkit.hardware.scheduler import SECOND, Event
from evalkit.hardware.spans import Recorder
from synthesize.chip import registers

_SLEEPS = "asleep"
"""On the timeline; deep sleeps are called otherwise."""

IDLE = "idle"
"""The firmware sleeps and nothing can wake it."""
LIMIT = "limit"
WALL = "wall"
"""The host's time is over (``Machine.wall_end``)."""
STOPPED = "stopped"


@dataclass
class Machine(Inventory):
    """A MAX78000 with a firmware image in flash, just out of reset.

    Attributes:
        firmware: what runs.
        recorder: what went on when.
        on_uart: called with (UART, bytes) for characters sent.
        restarts: a reset by watchdog or software starts the firmware again (``restart.py``);
            otherwise it ends the run with a fault.
        resets: those so far: picoseconds since power-up and cause.
        on_reset: called with the same.
        wall_end: ``run`` comes back when the host's ``time.monotonic()`` has reached this. It is
            looked at whenever the emulator stops, so that no firmware can keep it busy.
    """

    firmware: Firmware
    recorder: Recorder = field(default_factory=Recorder)
    on_uart: Callable[[Uart, bytes], None] | None = None
    restarts: bool = True
    resets: list[tuple[int, str]] = field(default_factory=list)
    on_reset: Callable[[int, str], None] | None = None
    wall_end: float = math.inf

    def __post_init__(self) -> None:
        self.cpu = Cpu()
        self.clocks = Clocks(self.cpu, RESET_HZ, IBRO_HZ)
        self.clocks.core.listeners.append(lambda: self.system.systick.clock_changed())
        self.polling = Polling(self)
        self.until_time = 0
        self._stop_requested = False
        self._checked = False
        self._door = Door(self.interrupt)
        self.reset_core()
        self.make_peripherals(self)
        self.accelerator = Accelerator(self)
        self._map()
        load(self)

    def reset_core(self) -> None:
        """The processor's own peripherals as after power-up; awake."""
        self._waits: str | None = None
        self._asleep = _SLEEPS
        self.polling.forget()
        self.system = SystemControl(self)
        self.nvic = self.system.nvic
        self.nvic.on_change = self.interrupt_state_changed

    def _map(self) -> None:
        cpu = self.cpu
        cpu.map_memory(FLASH_BASE, FLASH_SIZE, writable=False)
        cpu.map_memory(SRAM_BASE, SRAM_SIZE, writable=True)
        cpu.map_device(PERIPHERAL_BASE, PERIPHERAL_SIZE, self._read, self._write)
        cpu.map_device(CNN_BASE, CNN_SIZE, self.accelerator.read, self.accelerator.write)
        cpu.map_device(SYSTEM_BASE, SYSTEM_SIZE, self._read_system, self._write_system)
        cpu.watch_alignment(PERIPHERAL_BASE, PERIPHERAL_SIZE)
        cpu.watch_alignment(SYSTEM_BASE, SYSTEM_SIZE)

    # ---- time ----------------------------------------------------------------------------------

    @property
    def cycles(self) -> int:
        """CPU clock cycles since power-up."""
        return self.cpu.cycles

    @property
    def now(self) -> int:
        """Picoseconds since power-up."""
        return self.clocks.get_now()

    def schedule(self, delay: int, action: Callable[[], None]) -> Event:
        """Plan something ``delay`` picoseconds from now."""
        return self.clocks.schedule_at(self.now + delay, action)

    def let_pass(self, until: int) -> None:
        """Let time pass up to a time, with what is planned, without executing anything."""
        self.clocks.skip_to(until)
        self.clocks.scheduler.run_due(self.now)
        self._set_deadline()

    # ---- bus -----------------------------------------------------------------------------------

    def _read(self, offset: int, size: int) -> int:
        address = PERIPHERAL_BASE + offset
        peripheral = self.slots.get(offset >> SLOT)
        if peripheral is None:
            raise KitFault(f"no peripheral is modelled at 0x{address:08x}", address)
        value = peripheral.read(address - peripheral.base, size)
        self.polling.note(address, value, peripheral)
        return value

    def _write(self, offset: int, size: int, value: int) -> None:
        address = PERIPHERAL_BASE + offset
        peripheral = self.slots.get(offset >> SLOT)
        if peripheral is None:
            raise KitFault(f"no peripheral is modelled at 0x{address:08x}", address)
        self.polling.forget()
        peripheral.write(address - peripheral.base, size, value)

    def _read_system(self, offset: int, size: int) -> int:
        value = self.system.read(SYSTEM_BASE + offset, size)
        self.polling.note(SYSTEM_BASE + offset, value, None)
        return value

    def _write_system(self, offset: int, size: int, value: int) -> None:
        self.polling.forget()
        self.system.write(SYSTEM_BASE + offset, size, value)
        self.interrupt_state_changed()

    # ---- services for peripherals --------------------------------------------------------------

    def program_counter(self) -> int:
        """Address of the current instruction."""
        return self.cpu.pc

    def reset_peripheral(self, name: str) -> bool:
        """Reset by name as in GCR.RST0; False when that is not modelled."""
        if name == "cnn":
            self.accelerator.power_cycled()
            return True
        peripheral = self.peripherals.get(name.upper())
        if peripheral is None:
            return False
        peripheral.reset()
        return True

    def has_memory(self, address: int, size: int, writable: bool) -> bool:
        """Whether all of it is SRAM, or flash when it is only read."""
        return in_sram(address, size) if writable else in_memory(address, size)

    def read_flash(self, offset: int, size: int) -> bytes:
        """Bytes of flash, counted from its beginning."""
        return self.cpu.read_memory(FLASH_BASE + offset, size)

    def write_flash(self, offset: int, data: bytes) -> None:
        """Erase or program flash."""
        self.cpu.write_memory(FLASH_BASE + offset, data)

    def cnn_power_changed(self) -> None:
        """GCFR was written."""
        self.accelerator.power_changed()

    def uart_output(self, uart: Uart, data: bytes) -> None:
        """Characters have left a UART."""
        if self.on_uart is not None:
            self.on_uart(uart, data)
        if self._checked:
            self.cpu.plan_earlier(self.cpu.cycles)

    def request_stop(self) -> None:
        """Come back from ``run`` after the current event."""
        self._stop_requested = True

    def interrupt(self) -> None:
        """Come back from ``run`` soon; from another thread, again and again until it has.

        Once may be too early: a ``run`` that begins forgets it.
        """
        self._stop_requested = True
        self.cpu.plan_earlier(0)

    # ---- running -------------------------------------------------------------------------------

    def run(self, until_time: int, check: Callable[[], bool] | None = None) -> str:
        """Execute.

        Args:
            until_time: come back at this time (picoseconds since power-up).
            check: asked between events; come back as soon as it is true.

        Returns:
            ``idle``, ``limit``, ``stopped`` or ``wall``.

        Raises:
            KitFault: with program counter; ``describe_fault`` adds the source line.
        """
        self._stop_requested = False
        self.until_time = until_time
        self._checked = check is not None
        with self._door.entered():
            while True:
                try:
                    return self._run(until_time, check)
                except ChipReset as reset:
                    restart(self, reset)
                except self.cpu.error as error:
                    raise self._stuck(f"the processor cannot go on: {error}") from error

    def _stuck(self, message: str) -> KitFault:
        fault = KitFault(message)
        fault.pc = self.cpu.pc
        return fault

    def _run(self, until_time: int, check: Callable[[], bool] | None) -> str:
        while True:
            self._door.check()
            self.clocks.scheduler.run_due(self.now)
            if self._stop_requested or (check is not None and check()):
                return STOPPED
            if self.now >= until_time:
                return LIMIT
            if time.monotonic() >= self.wall_end:
                return WALL
            # A pending interrupt ends a sleep even when it is masked.
            ready = self._waits is not None and self.nvic.ready() is not None
            if ready:
                self._wake_up()
            if self._take_interrupt() or (self._waits == SLEEP and ready):
                self._waits = None
            if self._waits is None:
                self._set_deadline()
                self._waits = self._handle(self.cpu.run())
            elif not self._wait(until_time):
                return IDLE

    def step(self) -> None:
        """Execute one instruction, after an interrupt has been taken if one is due.

        A sleeping processor wakes at the next event that ends its sleep; a step over WFI is that
        whole sleep. Raises KitFault as ``run``.
        """
        self._stop_requested = False
        self.until_time = self.now + SECOND
        try:
            self._step()
        except ChipReset as reset:
            restart(self, reset)

    def _step(self) -> None:
        self.clocks.scheduler.run_due(self.now)
        self._take_interrupt()
        self._waits = None
        waits = self._handle(self.cpu.step())
        while waits is not None and self.nvic.ready() is None:
            if not self._wait(self.now + SECOND):
                return
            self.clocks.scheduler.run_due(self.now)
        if waits is not None:
            self._wake_up()

    def _wake_up(self) -> None:
        """An interrupt ends a sleep, if it can end a deep one."""
        if self._asleep != _SLEEPS:
            deep_sleep.check_wake_up(self)
            self._asleep = _SLEEPS

    def jump(self, address: int) -> None:
        """Go on at another address, awake."""
        self._waits, self._asleep = None, _SLEEPS
        self.cpu.jump(address)

    def _wait(self, until_time: int) -> bool:
        """Let time pass to the next event; False when there is none."""
        upcoming = self.clocks.scheduler.next_time()
        if upcoming is None:
            self.accelerator.flush()
            return False
        start = self.now
        self.clocks.skip_to(min(upcoming, until_time))
        self.recorder.add("processor", self._asleep, start, self.now)
        return True

    def _set_deadline(self) -> None:
        upcoming = self.clocks.scheduler.next_time()
        end = self.until_time if upcoming is None else min(self.until_time, upcoming)
        self.cpu.plan(self.clocks.cycle_of(end))
        self.interrupt_state_changed()

    def interrupt_state_changed(self) -> None:
        """Look at interrupts after the current block, or when they are not masked any more."""
        if self.nvic.ready() is not None:
            self.cpu.attend()

    def _handle(self, reason: str) -> str | None:
        """React to the processor's stop; returns SLEEP or SPIN when it waits."""
        if reason == RETURN:
            if not self.nvic.active:
                raise self._stuck("return from an exception outside a handler")
            self.nvic.leave()
            self.cpu.leave_exception()
        elif reason == CALL:
            self.nvic.pend(SVCALL)
        elif reason in (SLEEP, SPIN):
            if reason == SLEEP and deep_sleep.wanted(self):
                self._asleep = f"in deep sleep ({deep_sleep.enter(self)})"
            return reason
        elif reason == SLEEP_EVENT:
            upcoming = self.clocks.scheduler.next_time()
            if upcoming is not None:
                self.clocks.skip_to(upcoming)
        elif reason == BREAKPOINT:
            self._stop_requested = True
        return None

    def _take_interrupt(self) -> bool:
        number = self.nvic.ready()
        if number is None or self.cpu.interrupts_masked:
            return False
        entry = self.system.vector_table + 4 * number
        if not in_memory(entry, 4):
            raise self._stuck(
                f"exception {number} finds no vector table: VTOR points to"
                f" 0x{self.system.vector_table:08x}, where there is no memory"
            )
        handler = int.from_bytes(self.cpu.read_memory(entry, 4), "little")
        if not handler & 1:
            raise self._stuck(f"exception {number} has no handler in the vector table")
        self.nvic.enter(number)
        self.cpu.enter_exception(handler)
        return True

    # ---- messages ------------------------------------------------------------------------------

    def describe_fault(self, fault: KitFault) -> str:
        """One sentence: register or address, what is wrong, program counter, source line."""
        text = fault.message
        if fault.address is not None and CNN_BASE <= fault.address < CNN_BASE + CNN_SIZE:
            name = registers.describe(fault.address) + (f".{fault.field}" if fault.field else "")
            text = f"{name} (0x{fault.address:08x}): {text}"
        elif fault.layer is not None:
            text = f"layer {fault.layer}: {text}"
        if fault.pc is not None:
            text += f", at pc 0x{fault.pc:08x}"
            where = [self.firmware.function_at(fault.pc), self.firmware.source_line(fault.pc)]
            known = [w for w in where if w]
            if known:
                text += f" ({', '.join(known)})"
        return text

    def snapshot(self) -> dict[str, Any]:
        """Processor registers, for messages and debuggers."""
        names = [f"R{i}" for i in range(13)] + ["SP", "LR", "PC", "XPSR"]
        return {name: self.cpu.register(name) for name in names}
