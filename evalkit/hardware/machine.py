"""The MAX78000 as one machine: processor, memories, peripherals, accelerator, time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from common.errors import UserError
from evalkit.hardware import deep_sleep
from evalkit.hardware.accelerator import BASE as CNN_BASE
from evalkit.hardware.accelerator import SIZE as CNN_SIZE
from evalkit.hardware.accelerator import Accelerator
from evalkit.hardware.core.cpu import BREAKPOINT, CALL, RETURN, SLEEP, SLEEP_EVENT, SPIN, Cpu
from evalkit.hardware.core.system import SVCALL, SystemControl
from evalkit.hardware.elf import Firmware
from evalkit.hardware.faults import ChipReset, KitFault
from evalkit.hardware.peripherals.base import Peripheral
from evalkit.hardware.peripherals.dma import Dma
from evalkit.hardware.peripherals.flc import Flc
from evalkit.hardware.peripherals.gcfr import Gcfr
from evalkit.hardware.peripherals.gcr import RESET_HZ, Gcr
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
from evalkit.hardware.restart import restart
from evalkit.hardware.scheduler import SECOND, Event, Scheduler
from evalkit.hardware.spans import Recorder
from synthesize.chip import registers

FLASH_BASE, FLASH_SIZE = 0x1000_0000, 512 * 1024
SRAM_BASE, SRAM_SIZE = 0x2000_0000, 128 * 1024
PERIPHERAL_BASE, PERIPHERAL_SIZE = 0x4000_0000, 0x20_0000
SYSTEM_BASE, SYSTEM_SIZE = 0xE000_0000, 0x10_0000
"""Memory map (max78000.h, ARMv7-M)."""

_MEMORIES = [(SRAM_BASE, SRAM_SIZE), (FLASH_BASE, FLASH_SIZE)]
_SLOT = 10
"""Peripherals are at multiples of 1 KiB."""

POLL_LIMIT = 3
"""So many further reads of a status register with one result and nothing between: time jumps on.
Interrupt handlers test two or three bits one after the other without waiting for anything."""
MOVING_LIMIT = 24
"""The same with changing results: a register that counts time."""
POLL_STEP = SECOND // 100_000
POLL_STEP_MAX = SECOND // 1000
"""How far time jumps when no event is known to end the wait: 1/400 of the time waited so
far, at least 10 microseconds, at most 1 millisecond or a sixteenth of SysTick's period."""

_SLEEPS = "asleep"
"""On the timeline; deep sleeps are called otherwise."""

IDLE = "idle"
"""The firmware sleeps and nothing can wake it."""
LIMIT = "limit"
STOPPED = "stopped"


@dataclass
class Machine:
    """A MAX78000 with a firmware image in flash, just out of reset.

    Attributes:
        firmware: what runs.
        recorder: what went on when.
        on_uart: called with (UART, bytes) for characters sent.
        restarts: a reset by watchdog or software starts the firmware again (``restart.py``);
            otherwise it ends the run with a fault.
        resets: those so far: picoseconds since power-up and cause.
        on_reset: called with the same.
    """

    firmware: Firmware
    recorder: Recorder = field(default_factory=Recorder)
    on_uart: Callable[[Uart, bytes], None] | None = None
    restarts: bool = True
    resets: list[tuple[int, str]] = field(default_factory=list)
    on_reset: Callable[[int, str], None] | None = None

    def __post_init__(self) -> None:
        self.cpu = Cpu()
        self.scheduler = Scheduler()
        self.cpu_hz = RESET_HZ
        self.cycle_time = SECOND // self.cpu_hz
        self._base_time = 0
        self._base_cycles = 0
        self._stop_requested = False
        self._until_time = 0
        self._checked = False
        self._same = 0
        self._moving = 0
        self._poll_start = 0
        self.reset_core()
        self._make_peripherals()
        self._connect_peripherals()
        self.accelerator = Accelerator(self)
        self._map()
        self._load()

    def reset_core(self) -> None:
        """The processor's own peripherals as after power-up; awake."""
        self._waits: str | None = None
        self._asleep = _SLEEPS
        self._last_poll: tuple[int, int] | None = None
        self.system = SystemControl(self)
        self.nvic = self.system.nvic
        self.nvic.on_change = self.interrupt_state_changed

    # ---- construction --------------------------------------------------------------------------

    def _make_peripherals(self) -> None:
        self.gcr = Gcr(self, "GCR", 0x4000_0000)
        self.gcfr = Gcfr(self, "GCFR", 0x4000_5800)
        self.lpgcr = Lpgcr(self, "LPGCR", 0x4008_0000)
        self.dma = Dma(self, "DMA", 0x4002_8000)
        self.uarts = (
            Uart(self, "UART0", 0x4004_2000, 14),
            Uart(self, "UART1", 0x4004_3000, 15),
            Uart(self, "UART2", 0x4004_4000, 34),
            Uart(self, "UART3", 0x4008_1400, 88, low_power=True),
        )
        self.timers = tuple(
            Timer(self, f"TMR{i}", 0x4001_0000 + 0x1000 * i, 5 + i) for i in range(4)
        )
        self.gpios = (
            Gpio(self, "GPIO0", 0x4000_8000, 24),
            Gpio(self, "GPIO1", 0x4000_9000, 25),
            Gpio(self, "GPIO2", 0x4008_0400, 26),
        )
        self.pcif = Pcif(self, "PCIF", 0x4000_E000, 91)
        self.pt = PulseTrains(self, "PT", 0x4003_C000, 59)
        self.i2cs = (
            I2c(self, "I2C0", 0x4001_D000, 13),
            I2c(self, "I2C1", 0x4001_E000, 36),
            I2c(self, "I2C2", 0x4001_F000, 62),
        )
        self.spis = (Spi(self, "SPI0", 0x400B_E000, 56), Spi(self, "SPI1", 0x4004_6000, 16))
        self.peripherals: dict[str, Peripheral] = {
            p.name: p
            for p in (
                self.gcr,
                self.gcfr,
                self.dma,
                self.lpgcr,
                Icc(self, "ICC0", 0x4002_A000),
                Icc(self, "ICC1", 0x4002_A800),
                Simo(self, "SIMO", 0x4000_4400),
                Sir(self, "SIR", 0x4000_0400),
                Fcr(self, "FCR", 0x4000_0800),
                Trimsir(self, "TRIMSIR", 0x4000_5400),
                Pwrseq(self, "PWRSEQ", 0x4000_6800),
                Mcr(self, "MCR", 0x4000_6C00),
                Flc(self, "FLC", 0x4002_9000),
                Rtc(self, "RTC", 0x4000_6000),
                Wut(self, "WUT", 0x4000_6400),
                Wdt(self, "WDT0", 0x4000_3000, 1),
                Wdt(self, "WDT1", 0x4008_0800, 57),
                *self.uarts,
                *self.timers,
                *self.gpios,
                self.pcif,
                self.pt,
                *self.i2cs,
                *self.spis,
            )
        }

    def _connect_peripherals(self) -> None:
        """Who answers at which address, and which clock gates stop whom."""
        self._slots: dict[int, Peripheral] = {}
        for peripheral in self.peripherals.values():
            first = peripheral.base - PERIPHERAL_BASE >> _SLOT
            last = peripheral.base + max(peripheral.REGISTERS) - PERIPHERAL_BASE >> _SLOT
            for slot in range(first, last + 1):
                self._slots[slot] = peripheral
        gated = (self.dma, *self.uarts[:3], *self.gpios[:2], self.pt, *self.i2cs, *self.spis)
        for peripheral in gated:
            peripheral.clock_gate = partial(self.gcr.gated, peripheral.name.lower())
        self.gpios[2].clock_gate = partial(self.lpgcr.gated, "gpio2")
        self.uarts[3].clock_gate = partial(self.lpgcr.gated, "uart3")

    def _map(self) -> None:
        cpu = self.cpu
        cpu.map_memory(FLASH_BASE, FLASH_SIZE, writable=False)
        cpu.map_memory(SRAM_BASE, SRAM_SIZE, writable=True)
        cpu.map_device(PERIPHERAL_BASE, PERIPHERAL_SIZE, self._read, self._write)
        cpu.map_device(CNN_BASE, CNN_SIZE, self.accelerator.read, self.accelerator.write)
        cpu.map_device(SYSTEM_BASE, SYSTEM_SIZE, self._read_system, self._write_system)

    def _load(self) -> None:
        for segment in self.firmware.segments:
            end = segment.address + len(segment.data)
            in_flash = segment.address >= FLASH_BASE and end <= FLASH_BASE + FLASH_SIZE
            in_sram = segment.address >= SRAM_BASE and end <= SRAM_BASE + SRAM_SIZE
            if not in_flash and not in_sram:
                raise UserError(
                    f"{self.firmware.path}: {len(segment.data)} bytes at 0x{segment.address:08x} "
                    "are outside flash (0x10000000, 512 KiB) and SRAM (0x20000000, 128 KiB); "
                    "link with the linker script of the MAX78000"
                )
            self.cpu.uc.mem_write(segment.address, segment.data)
        self.boot()

    def boot(self) -> None:
        """Let the processor begin where the vector table says.

        Raises:
            UserError: there is none.
        """
        vectors = self.cpu.read_memory(FLASH_BASE, 8)
        stack, entry = (int.from_bytes(vectors[i : i + 4], "little") for i in (0, 4))
        in_flash = FLASH_BASE <= entry < FLASH_BASE + FLASH_SIZE
        if not entry & 1 or not in_flash or not SRAM_BASE < stack <= SRAM_BASE + SRAM_SIZE:
            raise UserError(
                f"{self.firmware.path}: no vector table at 0x10000000 (stack 0x{stack:08x}, "
                f"reset handler 0x{entry:08x}); the first section of flash must be the vectors"
            )
        self.system.values[0xE000_ED08] = FLASH_BASE
        self.cpu.start(stack, entry)

    # ---- time ----------------------------------------------------------------------------------

    @property
    def cycles(self) -> int:
        """CPU clock cycles since power-up."""
        return self.cpu.cycles

    @property
    def now(self) -> int:
        """Picoseconds since power-up."""
        return self._base_time + (self.cpu.cycles - self._base_cycles) * self.cycle_time

    def time_of(self, cycle: int) -> int:
        """Picoseconds since power-up at a CPU cycle (exact since the last clock change)."""
        return self._base_time + (cycle - self._base_cycles) * self.cycle_time

    def schedule(self, delay: int, action: Callable[[], None]) -> Event:
        """Plan something ``delay`` picoseconds from now."""
        event = self.scheduler.at(self.now + max(delay, 0), action)
        self.cpu.plan_earlier(self._cycle_of(event.time))
        return event

    def _cycle_of(self, time: int) -> int:
        return self._base_cycles + -(-(time - self._base_time) // self.cycle_time)

    def _skip_to(self, time: int) -> None:
        """Let time pass without executing anything."""
        self.cpu.cycles = max(self.cpu.cycles, self._cycle_of(time))

    def set_cpu_clock(self, frequency: int) -> None:
        """Change the CPU clock from now on."""
        if frequency == self.cpu_hz:
            return
        self._base_time, self._base_cycles = self.now, self.cpu.cycles
        self.cpu_hz = frequency
        self.cycle_time = SECOND // frequency
        self.cpu.plan_earlier(0)

    # ---- bus -----------------------------------------------------------------------------------

    def _read(self, offset: int, size: int) -> int:
        peripheral = self._slots.get(offset >> _SLOT)
        address = PERIPHERAL_BASE + offset
        if peripheral is None:
            raise KitFault(f"no peripheral is modelled at 0x{address:08x}", address)
        value = peripheral.read(address - peripheral.base, size)
        self._note_poll(address, value, peripheral)
        return value

    def _write(self, offset: int, size: int, value: int) -> None:
        peripheral = self._slots.get(offset >> _SLOT)
        address = PERIPHERAL_BASE + offset
        if peripheral is None:
            raise KitFault(f"no peripheral is modelled at 0x{address:08x}", address)
        self._last_poll = None
        peripheral.write(address - peripheral.base, size, value)

    def _read_system(self, offset: int, size: int) -> int:
        value = self.system.read(SYSTEM_BASE + offset, size)
        self._note_poll(SYSTEM_BASE + offset, value, None)
        return value

    def _write_system(self, offset: int, size: int, value: int) -> None:
        self._last_poll = None
        self.system.write(SYSTEM_BASE + offset, size, value)
        self.interrupt_state_changed()

    def _note_poll(self, address: int, value: int, peripheral: Peripheral | None) -> None:
        """Notice a loop that waits for a register to change, and let time pass for it.

        Such a loop would go on reading the same value until the next event; counting its
        instructions one by one would take the emulator far longer than the chip. A register that
        is no peripheral's is one of the processor's, and counts time.
        """
        if self._last_poll == (address, value):
            self._same += 1
            if peripheral is None or peripheral.COUNTS_TIME:
                if self._same >= MOVING_LIMIT:
                    self._skip_poll(peripheral, step=True)
            elif self._same >= POLL_LIMIT:
                self._skip_poll(peripheral, step=self._same >= 1000)
            return
        moves = self._last_poll is not None and self._last_poll[0] == address
        self._last_poll = (address, value)
        self._same = 0
        self._moving = self._moving + 1 if moves else 0
        if not moves:
            self._poll_start = self.now
        if self._moving >= MOVING_LIMIT:
            self._skip_poll(peripheral, step=True)

    def _skip_poll(self, peripheral: Peripheral | None, step: bool) -> None:
        """Jump to the next event, or when nothing is planned or with ``step`` by a step."""
        times = [self._until_time, self.scheduler.next_time()]
        if peripheral is not None:
            times.append(peripheral.next_change())
        known = [t for t in times if t is not None]
        if step or len(known) == 1:
            length = min(POLL_STEP_MAX, max(POLL_STEP, (self.now - self._poll_start) // 400))
            length = min(length, max(self.system.systick.period // 16, POLL_STEP))
            known.append(self.now + length)
        self._skip_to(min(known))
        self.scheduler.run_due(self.now)
        self._set_deadline()

    # ---- services for peripherals --------------------------------------------------------------

    def note_activity(self) -> None:
        """The program does something else than wait."""
        self._last_poll = None

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
        places = [(SRAM_BASE, SRAM_SIZE)] if writable else _MEMORIES
        return any(base <= address and address + size <= base + length for base, length in places)

    def read_flash(self, offset: int, size: int) -> bytes:
        """Bytes of flash, counted from its beginning."""
        return self.cpu.read_memory(FLASH_BASE + offset, size)

    def write_flash(self, offset: int, data: bytes) -> None:
        """Erase or program flash."""
        self.cpu.write_memory(FLASH_BASE + offset, data)

    def cnn_power_changed(self) -> None:
        """GCFR was written: without power, or in reset, the accelerator forgets everything."""
        if self.gcfr.values["REG0"] != 0xF or self.gcfr.values["REG3"]:
            self.accelerator.power_cycled()

    def uart_output(self, uart: Uart, data: bytes) -> None:
        """Characters have left a UART."""
        if self.on_uart is not None:
            self.on_uart(uart, data)
        if self._checked:
            self.cpu.plan_earlier(self.cpu.cycles)

    def request_stop(self) -> None:
        """Come back from ``run`` after the current event."""
        self._stop_requested = True

    # ---- running -------------------------------------------------------------------------------

    def run(self, until_time: int, check: Callable[[], bool] | None = None) -> str:
        """Execute.

        Args:
            until_time: come back at this time (picoseconds since power-up).
            check: asked between events; come back as soon as it is true.

        Returns:
            ``idle``, ``limit`` or ``stopped``.

        Raises:
            KitFault: with program counter; ``describe_fault`` adds the source line.
        """
        self._stop_requested = False
        self._until_time = until_time
        self._checked = check is not None
        while True:
            try:
                return self._run(until_time, check)
            except ChipReset as reset:
                restart(self, reset)

    def _run(self, until_time: int, check: Callable[[], bool] | None) -> str:
        while True:
            self.scheduler.run_due(self.now)
            if self._stop_requested or (check is not None and check()):
                return STOPPED
            if self.now >= until_time:
                return LIMIT
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
        self._until_time = self.now + SECOND
        try:
            self._step()
        except ChipReset as reset:
            restart(self, reset)

    def _step(self) -> None:
        self.scheduler.run_due(self.now)
        self._take_interrupt()
        self._waits = None
        waits = self._handle(self.cpu.step())
        while waits is not None and self.nvic.ready() is None:
            if not self._wait(self.now + SECOND):
                return
            self.scheduler.run_due(self.now)
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
        upcoming = self.scheduler.next_time()
        if upcoming is None:
            self.accelerator.flush()
            return False
        start = self.now
        self._skip_to(min(upcoming, until_time))
        self.recorder.add("processor", self._asleep, start, self.now)
        return True

    def _set_deadline(self) -> None:
        upcoming = self.scheduler.next_time()
        end = self._until_time if upcoming is None else min(self._until_time, upcoming)
        self.cpu.plan(self._cycle_of(end))
        self.interrupt_state_changed()

    def interrupt_state_changed(self) -> None:
        """Look at interrupts after the current block, or when they are not masked any more."""
        if self.nvic.ready() is not None:
            self.cpu.attend()

    def _handle(self, reason: str) -> str | None:
        """React to the processor's stop; returns SLEEP or SPIN when it waits."""
        if reason == RETURN:
            if not self.nvic.active:
                fault = KitFault("return from an exception outside a handler")
                fault.pc = self.cpu.pc
                raise fault
            self.nvic.leave()
            self.cpu.leave_exception()
        elif reason == CALL:
            self.nvic.pend(SVCALL)
        elif reason in (SLEEP, SPIN):
            if reason == SLEEP and deep_sleep.wanted(self):
                self._asleep = f"in deep sleep ({deep_sleep.enter(self)})"
            return reason
        elif reason == SLEEP_EVENT:
            upcoming = self.scheduler.next_time()
            if upcoming is not None:
                self._skip_to(upcoming)
        elif reason == BREAKPOINT:
            self._stop_requested = True
        return None

    def _take_interrupt(self) -> bool:
        number = self.nvic.ready()
        if number is None or self.cpu.interrupts_masked:
            return False
        vector = self.cpu.read_memory(self.system.vector_table + 4 * number, 4)
        handler = int.from_bytes(vector, "little")
        if not handler & 1:
            raise KitFault(f"exception {number} has no handler in the vector table")
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
