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
from synthesize.chip.registers import RESERVED, STATUS, UNMODELLED, Field, Register

if TYPE_CHECKING:
    from evalkit.hardware.machine import Machine

READ_ONLY = "read only"
WRITE_ONLY = "write only"


def whole(name: str, field: str = "value", kind: str = "modelled", reset: int = 0) -> Register:
    """A register that is one 32-bit field."""
    return Register(name, (Field(field, 0, 32, kind),), reset)


def flags(name: str, bits: dict[str, int], kind: str = "modelled", reset: int = 0) -> Register:
    """A register of single bits."""
    return Register(name, tuple(Field(n, b, 1, kind) for n, b in bits.items()), reset)


class Peripheral:
    """One block of registers.

    Subclasses set ``REGISTERS`` (offset -> register) and define ``read_NAME(self) -> int`` and
    ``write_NAME(self, value)`` for registers that do more than remember (NAME in lower case).

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
            (register.name, field.name): (field.lsb, field.maximum)
            for register in self.REGISTERS.values()
            for field in register.fields
        }
        self.clock_gate: Callable[[], str | None] | None = None
        self._readers: dict[int, Callable[[], int]] = {}
        self._writers: dict[int, Callable[[int], None]] = {}
        # Summing up masks at every write would take longer than all the rest of it.
        self._masks = {
            offset: (register.mask_of(RESERVED, UNMODELLED), register.mask_of(STATUS))
            for offset, register in self.REGISTERS.items()
        }
        for offset, register in self.REGISTERS.items():
            reader = getattr(self, f"read_{register.name.lower()}", None)
            if reader is not None:
                self._readers[offset] = reader
            writer = getattr(self, f"write_{register.name.lower()}", None)
            if writer is not None:
                self._writers[offset] = writer

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
        fixed, status = self._masks[offset]
        if (value ^ register.reset) & fixed:
            wrong = register.misused(value)
            assert wrong is not None
            what = "reserved" if wrong.kind == RESERVED else "not modelled"
            raise self.fault(offset, f"0x{value:08x} changes {wrong.name}, which is {what}")
        value = (value & ~status) | (self.values[register.name] & status)
        writer = self._writers.get(offset)
        if writer is not None:
            writer(value)
        else:
            self.values[register.name] = value

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
        lsb, maximum = self._fields[register, field]
        return self.values[register] >> lsb & maximum

    def reset(self) -> None:
        """Back to the state after power-up."""
        for register in self.REGISTERS.values():
            self.values[register.name] = register.reset

    def restart(self) -> None:
        """The whole chip is reset, and nothing that was planned will happen."""
        self.reset()
