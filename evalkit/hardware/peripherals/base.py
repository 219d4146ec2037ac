"""What all peripherals of the microcontroller have in common.

A peripheral is a table of registers with named fields (``synthesize.chip.registers.Register``)
and functions for those registers that do something. Everything else is refused: an address without
a register, an access narrower than the register, a reserved or unmodelled bit that is changed, and
any access while the peripheral's clock is off.

Register names, offsets and bits: public MAX78000 SDK,
``Libraries/CMSIS/Device/Maxim/MAX78000/Include/max78000.svd`` and the ``*_regs.h`` files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from evalkit.hardware.faults import KitFault
from synthesize.chip.fields import (
    CLEARED_BY_0,
    CLEARED_BY_1,
    CLEARS_ITSELF,
    RESERVED,
    STATUS,
    STORED,
    UNMODELLED,
    Field,
    Register,
)

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

_SPECIAL = (CLEARED_BY_0, CLEARED_BY_1, CLEARS_ITSELF)


def whole(name: str, kind: str = "modelled", reset: int = 0, write: str = STORED) -> Register:
    """A register that is one 32-bit field."""
    return Register(name, (Field("value", 0, 32, kind, write=write),), reset)


def flags(
    name: str,
    bits: dict[str, int],
    kind: str = "modelled",
    reset: int = 0,
    write: str = STORED,
) -> Register:
    """A register of single bits."""
    return Register(name, tuple(Field(n, b, 1, kind, write=write) for n, b in bits.items()), reset)


class Peripheral:
    """One block of registers.

    Subclasses set ``REGISTERS`` (offset -> register). What writing a field does (stored, cleared by
    1 or by 0, clears itself) is declared on the field. For registers that do more they define, with
    NAME in lower case, ``read_NAME(self) -> int`` and ``stored_NAME(self, old, given)``, called
    after a write with what the register held and what was written, or ``write_NAME(self, value)``,
    which stores itself.

    Attributes:
        name: as in the SDK, e.g. ``UART0``.
        base: bus address.
        values: current value by register name.
    """

    REGISTERS: ClassVar[dict[int, Register]] = {}
    COUNTS_TIME: ClassVar[bool] = False
    """Its registers change with time alone, so that equal reads do not mean a waiting loop."""

    def __init__(self, machine: Machine, name: str, base: int) -> None:
        self.machine = machine
        self.name = name
        self.base = base
        self.values = {register.name: register.reset for register in self.REGISTERS.values()}
        self._fields = {
            (register.name, field.name): field
            for register in self.REGISTERS.values()
            for field in register.fields
        }
        self.clock_gate: Callable[[], str | None] | None = None
        self._readers: dict[int, Callable[[], int]] = {}
        self._writers: dict[int, Callable[[int], None]] = {}
        self._stored: dict[int, Callable[[int, int], None]] = {}
        # Summing up masks at every write would take longer than all the rest of it.
        self._masks = {
            offset: (
                register.mask_of(RESERVED, UNMODELLED),
                register.mask_of(STATUS),
                any(f.write in _SPECIAL for f in register.fields),
            )
            for offset, register in self.REGISTERS.items()
        }
        for offset, register in self.REGISTERS.items():
            reader = getattr(self, f"read_{register.name.lower()}", None)
            if reader is not None:
                self._readers[offset] = reader
            writer = getattr(self, f"write_{register.name.lower()}", None)
            if writer is not None:
                self._writers[offset] = writer
            stored = getattr(self, f"stored_{register.name.lower()}", None)
            if stored is not None:
                self._stored[offset] = stored

    def describe(self, offset: int) -> str:
        """``UART0.CTRL`` or the peripheral with an offset."""
        register = self.REGISTERS.get(offset & ~3)
        return f"{self.name}.{register.name}" if register else f"{self.name}+0x{offset:x}"

    def fault(self, offset: int, message: str) -> KitFault:
        """A fault at one of this peripheral's addresses."""
        return KitFault(f"{self.describe(offset)}: {message}", self.base + offset)

    def _check(self, offset: int, size: int) -> Register:
        register = self.REGISTERS.get(offset)
        if register is None:
            raise self.fault(offset, "no register is modelled at this address")
        if size != 4:
            raise self.fault(offset, f"access of {8 * size} bits; the register takes 32")
        if self.clock_gate is not None:
            gate = self.clock_gate()
            if gate:
                raise self.fault(offset, f"access while its clock is off ({gate})")
        return register

    def read(self, offset: int, size: int) -> int:
        """Bus read of ``size`` bytes."""
        register = self._check(offset, size)
        reader = self._readers.get(offset)
        return reader() if reader is not None else self.values[register.name]

    def write(self, offset: int, size: int, value: int) -> None:
        """Bus write of ``size`` bytes."""
        register = self._check(offset, size)
        fixed, status, special = self._masks[offset]
        if (value ^ register.reset) & fixed:
            wrong = register.misused(value)
            assert wrong is not None
            what = "reserved" if wrong.kind == RESERVED else "not modelled"
            raise self.fault(offset, f"0x{value:08x} changes {wrong.name}, which is {what}")
        given, old = value, self.values[register.name]
        if special:
            value = register.written(old, value)
        elif status:
            value = value & ~status | old & status
        writer = self._writers.get(offset)
        if writer is not None:
            writer(value)
            return
        self.values[register.name] = value
        stored = self._stored.get(offset)
        if stored is not None:
            stored(old, given)

    def next_change(self) -> int | None:
        """When a register will change although no event is planned for then; None: never.

        Asked when a program waits for a change (picoseconds since power-up).
        """
        return None

    def under_way(self) -> str | None:
        """What goes on here that a stopped clock would tear apart, e.g. ``UART0 sends``."""
        return None

    def field(self, register: str, field: str) -> int:
        """Current value of one field."""
        place = self._fields[register, field]
        return (self.values[register] & place.mask) >> place.lsb

    def part(self, register: str, field: str, value: int) -> int:
        """One field of a value for a register."""
        return self._fields[register, field].of(value)

    def set_field(self, register: str, field: str, value: int) -> None:
        """Change one field, as the hardware does."""
        place = self._fields[register, field]
        self.values[register] = self.values[register] & ~place.mask | value << place.lsb

    def reset(self) -> None:
        """Back to the state after power-up."""
        for register in self.REGISTERS.values():
            self.values[register.name] = register.reset

    def restart(self) -> None:
        """The whole chip is reset, and nothing that was planned will happen."""
        self.reset()
