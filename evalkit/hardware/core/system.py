"""The Cortex-M4's own registers: SysTick, NVIC, system control, cycle counter.

Source: ARMv7-M Architecture Reference Manual, B3.2 to B3.4 and C1.8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.faults import ChipReset, KitFault
from evalkit.hardware.scheduler import Event

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

SYSTICK = 15
PENDSV = 14
SVCALL = 11
FIRST_IRQ = 16
IRQ_COUNT = 104
"""External interrupts of the MAX78000 (max78000.h)."""
PRIORITY_BITS = 3
_LOWEST = 256


class SysTick:
    """24-bit down counter at the CPU clock."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.control = 0
        self.reload = 0
        self._value = 0
        self._since = 0
        self._flag = False
        self._event: Event | None = None

    def clock_changed(self) -> None:
        """The count goes on; the next wrap comes at another time."""
        self._settle()
        self._plan()

    @property
    def period(self) -> int:
        """Picoseconds from one wrap to the next; those of the longest when it is off."""
        counts = self.reload if self.control & 1 and self.reload else 0xFF_FFFF
        return (counts + 1) * self.machine.clocks.cycle_time

    def read(self, offset: int) -> int:
        """CSR, RVR, CVR or CALIB."""
        if offset == 0x10:
            self._settle()
            value = self.control | int(self._flag) << 16
            self._flag = False
            return value
        if offset == 0x14:
            return self.reload
        if offset == 0x18:
            self._settle()
            return self._value
        return 0

    def write(self, offset: int, value: int) -> None:
        """CSR, RVR or CVR."""
        self._settle()
        if offset == 0x10:
            if not self.control & 1 and value & 1 and self._value == 0:
                self._value = self.reload
            self.control = value & 7
            if value & 1 and not value & 4:
                raise KitFault("SysTick with the external reference clock is not modelled")
        elif offset == 0x14:
            self.reload = value & 0xFF_FFFF
        elif offset == 0x18:
            self._value = self.reload if self.control & 1 else 0
            self._flag = False
        self._plan()

    def _settle(self) -> None:
        """Bring the counter up to date."""
        now = self.machine.cycles
        passed, self._since = now - self._since, now
        if not self.control & 1 or passed == 0:
            return
        if passed <= self._value:
            self._value -= passed
            return
        if self.reload == 0:
            self._value = 0
            return
        self._flag = True
        passed -= self._value + 1
        self._value = self.reload - passed % (self.reload + 1)

    def _plan(self) -> None:
        if self._event is not None:
            self._event.cancel()
            self._event = None
        if self.control & 3 == 3 and self.reload:
            cycles = self._value + 1
            self._event = self.machine.schedule(
                cycles * self.machine.clocks.cycle_time, self._wrapped
            )

    def _wrapped(self) -> None:
        self._settle()
        self.machine.nvic.pend(SYSTICK)
        self._plan()


class Nvic:
    """Pending, enabled and active exceptions, and their priorities.

    Numbers are exception numbers: 15 SysTick, 16 + n external interrupt n.
    """

    def __init__(self) -> None:
        self.pending: set[int] = set()
        self.enabled: set[int] = {SYSTICK, PENDSV, SVCALL}
        self.lines: set[int] = set()
        self.active: list[int] = []
        self.priority = [0] * (FIRST_IRQ + IRQ_COUNT)
        self.on_change: Callable[[], None] = lambda: None

    def pend(self, number: int) -> None:
        """Make an exception pending."""
        self.pending.add(number)
        self.on_change()

    def set_line(self, irq: int, level: bool) -> None:
        """Level of an external interrupt's request line."""
        number = FIRST_IRQ + irq
        if level:
            self.lines.add(number)
            if number not in self.active and number not in self.pending:
                self.pend(number)
        else:
            self.lines.discard(number)

    def ready(self) -> int | None:
        """The exception that would be taken now if interrupts are not masked."""
        if not self.pending:
            return None
        candidates = [n for n in self.pending if n in self.enabled]
        if not candidates:
            return None
        best = min(candidates, key=lambda n: (self.priority[n], n))
        current = min((self.priority[n] for n in self.active), default=_LOWEST)
        return best if self.priority[best] < current else None

    def enter(self, number: int) -> None:
        """The processor starts the handler."""
        self.pending.discard(number)
        self.active.append(number)

    def leave(self) -> None:
        """The processor returns from the innermost handler."""
        number = self.active.pop()
        if number in self.lines:
            self.pending.add(number)

    def read(self, offset: int) -> int | None:
        """Register at an offset from 0xE000E000, None when it is not of the NVIC."""
        kind, word = offset & 0xF80, (offset & 0x7F) // 4
        if 0x400 <= offset < 0x400 + IRQ_COUNT:
            first = FIRST_IRQ + (offset - 0x400)
            return sum(p << 8 * i for i, p in enumerate(self.priority[first : first + 4]))
        source: set[int] | list[int]
        if kind in (0x100, 0x180):
            source = self.enabled
        elif kind in (0x200, 0x280):
            source = self.pending
        elif kind == 0x300:
            source = self.active
        else:
            return None
        first = FIRST_IRQ + 32 * word
        return sum(1 << (n - first) for n in source if first <= n < first + 32)

    def write(self, offset: int, size: int, value: int) -> bool:
        """Write a register; False when it is not of the NVIC."""
        kind, word = offset & 0xF80, (offset & 0x7F) // 4
        if 0x400 <= offset < 0x400 + IRQ_COUNT:
            for i in range(size):
                self.set_priority(FIRST_IRQ + offset - 0x400 + i, value >> 8 * i & 0xFF)
            return True
        if kind not in (0x100, 0x180, 0x200, 0x280) or size != 4:
            return False
        chosen = {FIRST_IRQ + 32 * word + i for i in range(32) if value >> i & 1}
        wrong = {n for n in chosen if n >= FIRST_IRQ + IRQ_COUNT}
        if wrong and kind in (0x100, 0x200):
            raise KitFault(f"external interrupt {min(wrong) - FIRST_IRQ} does not exist")
        chosen -= wrong
        if kind == 0x100:
            self.enabled |= chosen
        elif kind == 0x180:
            self.enabled -= chosen
        elif kind == 0x200:
            self.pending |= chosen
        else:
            self.pending -= {n for n in chosen if n not in self.lines}
        return True

    def set_priority(self, number: int, value: int) -> None:
        """Only the upper bits of a priority exist."""
        self.priority[number] = value & (0xFF << (8 - PRIORITY_BITS)) & 0xFF


class SystemControl:
    """The private peripheral bus at 0xE0000000: everything above, and SCB, FPU, DWT."""

    PLAIN = (0xE000_ED08, 0xE000_ED10, 0xE000_ED14, 0xE000_ED24, 0xE000_ED28, 0xE000_ED2C,
             0xE000_ED34, 0xE000_ED38, 0xE000_ED88, 0xE000_EDFC, 0xE000_EF34, 0xE000_EF38,
             0xE000_EF3C, 0xE000_E008)  # fmt: skip
    """VTOR SCR CCR SHCSR CFSR HFSR MMFAR BFAR CPACR DEMCR FPCCR FPCAR FPDSCR ACTLR."""

    CONSTANT: ClassVar[dict[int, int]] = {
        0xE000_ED00: 0x410F_C241,
        0xE000_ED90: 0x0000_0800,
        0xE000_EF40: 0x1011_0021,
        0xE000_EF44: 0x1100_0011,
    }
    """CPUID of a Cortex-M4 r0p1, MPU_TYPE, MVFR0, MVFR1."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.systick = SysTick(machine)
        self.nvic = Nvic()
        self.values = dict.fromkeys(self.PLAIN, 0)
        self.values[0xE000_EF34] = 0xC000_0000
        self._dwt_control = 0
        self._dwt_base = 0

    @property
    def vector_table(self) -> int:
        """VTOR."""
        return self.values[0xE000_ED08]

    def read(self, address: int, size: int) -> int:
        """Bus read."""
        word = address & ~3
        if 0xE000_E010 <= word < 0xE000_E020:
            value: int | None = self.systick.read(word & 0xFFF)
        elif word in self.values:
            value = self.values[word]
        elif word in self.CONSTANT:
            value = self.CONSTANT[word]
        elif 0xE000_ED18 <= word < 0xE000_ED24:
            first = word - 0xE000_ED18 + 4
            value = sum(p << 8 * i for i, p in enumerate(self.nvic.priority[first : first + 4]))
        elif word == 0xE000_ED04:
            value = int(SYSTICK in self.nvic.pending) << 26 | (self.nvic.active or [0])[-1]
        elif word == 0xE000_ED0C:
            value = 0xFA05_0000
        elif word == 0xE000_1000:
            value = self._dwt_control | 0x4000_0000
        elif word == 0xE000_1004:
            value = self.machine.cycles - self._dwt_base & 0xFFFF_FFFF
        else:
            value = self.nvic.read(word - 0xE000_E000)
        if value is None:
            raise KitFault(f"core register 0x{address:08x} is not modelled", address)
        return value >> 8 * (address & 3) & (1 << 8 * size) - 1

    def write(self, address: int, size: int, value: int) -> None:
        """Bus write."""
        if 0xE000_ED18 <= address < 0xE000_ED24:
            for i in range(size):
                self.nvic.set_priority(address - 0xE000_ED18 + 4 + i, value >> 8 * i & 0xFF)
        elif size == 4 and 0xE000_E010 <= address < 0xE000_E020:
            self.systick.write(address & 0xFFF, value)
        elif size == 4 and address in (0xE000_ED28, 0xE000_ED2C):
            self.values[address] &= ~value
        elif size == 4 and address == 0xE000_ED10 and value & ~0x14:
            raise KitFault(f"SCR 0x{value:x}: only SLEEPDEEP and SEVONPEND are modelled", address)
        elif size == 4 and address in self.values:
            self.values[address] = value
        elif size == 4 and address == 0xE000_ED04:
            self._write_icsr(value)
        elif size == 4 and address == 0xE000_ED0C:
            self._write_aircr(value)
        elif size == 4 and address == 0xE000_1000:
            self._dwt_control = value & 1
        elif size == 4 and address == 0xE000_1004:
            self._dwt_base = self.machine.cycles - value
        elif not self.nvic.write(address - 0xE000_E000, size, value):
            raise KitFault(f"core register 0x{address:08x} is not modelled", address)

    def _write_icsr(self, value: int) -> None:
        if value >> 28 & 1:
            self.nvic.pend(PENDSV)
        if value >> 27 & 1:
            self.nvic.pending.discard(PENDSV)
        if value >> 26 & 1:
            self.nvic.pend(SYSTICK)
        if value >> 25 & 1:
            self.nvic.pending.discard(SYSTICK)

    def _write_aircr(self, value: int) -> None:
        if value >> 16 != 0x05FA:
            raise KitFault("AIRCR written without its key 0x05FA", 0xE000_ED0C)
        if value & 4:
            message = "the firmware resets the chip (AIRCR.SYSRESETREQ)"
            raise ChipReset("software", message, 0xE000_ED0C)
