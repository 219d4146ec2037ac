"""The few functions of the emulator that are called often, without the binding's detours.

The binding of unicorn wraps every callback in two more Python functions and looks up the kind of
every register it reads; on a run with tens of thousands of register accesses that is a third of the
time. ``Direct`` talks to the emulator's C functions where the binding has its usual inside
(unicorn 2.1), else ``Binding`` does the same by the documented way. Which one is used changes
nothing but the speed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

from evalkit.hardware.faults import KitFault

AccessHook = Callable[[int, int], None]
"""Called with address and size in bytes of an access before it is made."""
BlockHook = Callable[[Any, int, int], None]
"""Called with something, address and size in bytes of a block of instructions before the block is
executed. It must not raise anything, but give it to ``failed``."""
ReadHook = Callable[[int, int], int]
"""Called with offset and size in bytes of a read; returns the value."""
WriteHook = Callable[[int, int, int], None]
"""Called with offset, size in bytes and value of a write."""

_FUNCTIONS = (
    *("uc_emu_start", "uc_hook_add", "uc_mmio_map", "uc_mem_read", "uc_reg_read", "uc_reg_write"),
    *("uc_reg_read_batch", "uc_reg_write_batch"),
)


class Binding:
    """By the documented functions of the binding.

    Args:
        uc: the emulator.
        on_fault: called with what a function behind a device address raises.
    """

    def __init__(self, uc: Any, on_fault: Callable[[KitFault], None]) -> None:
        self.uc = uc
        self.on_fault = on_fault
        self._raised: BaseException | None = None

    def hook_blocks(self, kind: int, hook: BlockHook) -> None:
        """Call ``hook`` before every block."""

        def on_block(uc: Any, address: int, size: int, _data: Any) -> None:
            hook(uc, address, size)

        self.uc.hook_add(kind, on_block)

    def hook_accesses(self, kind: int, hook: AccessHook, begin: int, end: int) -> None:
        """Call ``hook`` before every access to ``begin`` .. ``end``."""

        def on_access(
            _uc: Any, _kind: int, address: int, size: int, _value: int, _data: Any
        ) -> None:
            hook(address, size)

        self.uc.hook_add(kind, on_access, None, begin, end)

    def failed(self, error: BaseException) -> None:
        """A callback failed: the emulator stops, and ``start`` raises the error."""
        self._raised = self._raised or error
        self.uc.emu_stop()

    def map_device(self, base: int, size: int, read: ReadHook, write: WriteHook) -> None:
        """Registers: every access calls a function."""
        on_read, on_write = self._callbacks_of(read, write)
        self.uc.mmio_map(base, size, on_read, None, on_write, None)

    def _callbacks_of(
        self, read: ReadHook, write: WriteHook
    ) -> tuple[Callable[[Any, int, int, Any], int], Callable[[Any, int, int, int, Any], None]]:
        """What the emulator calls for a read and for a write; neither raises anything."""

        def on_read(_uc: Any, offset: int, length: int, _data: Any) -> int:
            try:
                return read(offset, length)
            except KitFault as fault:
                self.on_fault(fault)
            except BaseException as error:
                self.failed(error)
            return 0

        def on_write(_uc: Any, offset: int, length: int, value: int, _data: Any) -> None:
            try:
                write(offset, length, value)
            except KitFault as fault:
                self.on_fault(fault)
            except BaseException as error:
                self.failed(error)

        return on_read, on_write

    def start(self, address: int, until: int, count: int) -> None:
        """Execute from an address on, at most ``count`` instructions (0: any number).

        Raises the emulator's exception, or what a callback raised.
        """
        self._raised = None
        try:
            self.uc.emu_start(address, until, count=count)
        finally:
            if self._raised is not None:
                raise self._raised

    def read(self, register: int) -> int:
        """Value of a register."""
        return int(self.uc.reg_read(register))

    def write(self, register: int, value: int) -> None:
        """Set a register."""
        self.uc.reg_write(register, value)

    def read_memory(self, address: int, size: int) -> bytes:
        """Bytes of memory; raises the emulator's exception where there is none."""
        return bytes(self.uc.mem_read(address, size))

    def read_all(self, registers: Sequence[int]) -> list[int]:
        """Values of several registers."""
        return list(self.uc.reg_read_batch(registers))

    def write_all(self, registers: Sequence[int], values: Sequence[int]) -> None:
        """Set several registers."""
        self.uc.reg_write_batch(list(zip(registers, values, strict=True)))


class Direct(Binding):
    """By the emulator's C functions; raises AttributeError or ImportError where that cannot be."""

    def __init__(self, uc: Any, on_fault: Callable[[KitFault], None]) -> None:
        super().__init__(uc, on_fault)
        from unicorn import UcError
        from unicorn.unicorn_py3.unicorn import MMIO_READ_CFUNC, MMIO_WRITE_CFUNC, uclib

        # The emulator gives a block hook a pointer as well. It comes in a register that a function
        # of three arguments does not look at, and need not be made a number for every block.
        block_hook = ctypes.CFUNCTYPE(None, ctypes.c_size_t, ctypes.c_uint64, ctypes.c_uint32)
        self._access_hook = ctypes.CFUNCTYPE(
            None, ctypes.c_size_t, ctypes.c_int, ctypes.c_uint64, ctypes.c_int
        )
        self._kinds = block_hook, MMIO_READ_CFUNC, MMIO_WRITE_CFUNC
        # Python's lock is kept while the emulator runs: almost all of its time it spends in
        # callbacks, which need it, and which give it to other threads like any Python code.
        self._library: Any = ctypes.PyDLL(uclib._name)
        for name in _FUNCTIONS:
            getattr(self._library, name).argtypes = getattr(uclib, name).argtypes
        self._error: type[Exception] = UcError
        self._handle = uc._uch
        self._value = ctypes.c_uint64()
        self._buffer = ctypes.create_string_buffer(128)
        self._where = ctypes.byref(self._value)
        self._read, self._write = self._library.uc_reg_read, self._library.uc_reg_write
        self._batches: dict[tuple[int, ...], tuple[Any, Any, Any]] = {}
        # The emulator holds no references to what it calls.
        self._callbacks: list[Any] = []

    def hook_blocks(self, kind: int, hook: BlockHook) -> None:
        """Call ``hook`` before every block."""
        self._hook(kind, self._kinds[0](hook), 1, 0)  # everywhere

    def hook_accesses(self, kind: int, hook: AccessHook, begin: int, end: int) -> None:
        """Call ``hook`` before every access to ``begin`` .. ``end``."""

        def on_access(_handle: int, _kind: int, address: int, size: int) -> None:
            try:
                hook(address, size)
            except BaseException as error:
                self.failed(error)

        self._hook(kind, self._access_hook(on_access), begin, end)

    def _hook(self, kind: int, callback: Any, begin: int, end: int) -> None:
        number = ctypes.c_size_t()
        span = ctypes.c_uint64(begin), ctypes.c_uint64(end)
        status = self._library.uc_hook_add(
            self._handle, ctypes.byref(number), kind, callback, None, *span
        )
        if status != 0:
            raise RuntimeError(f"uc_hook_add answered {status}")
        self._callbacks.append(callback)

    def start(self, address: int, until: int, count: int) -> None:
        """Execute, as ``Binding.start``."""
        self._raised = self.uc._hook_exception = None
        status = self._library.uc_emu_start(self._handle, address, until, 0, count)
        raised = self._raised or self.uc._hook_exception
        if raised is not None:
            raise raised
        if status != 0:
            raise self._error(status)

    def map_device(self, base: int, size: int, read: ReadHook, write: WriteHook) -> None:
        """Registers: every access calls a function."""
        on_read, on_write = self._callbacks_of(read, write)
        callbacks = self._kinds[1](on_read), self._kinds[2](on_write)
        status = self._library.uc_mmio_map(
            self._handle, base, size, callbacks[0], None, callbacks[1], None
        )
        if status != 0:
            raise RuntimeError(f"uc_mmio_map answered {status}")
        self._callbacks += callbacks

    def read(self, register: int) -> int:
        """Value of a register."""
        self._value.value = 0
        self._read(self._handle, register, self._where)
        return self._value.value

    def read_memory(self, address: int, size: int) -> bytes:
        """Bytes of memory; raises the emulator's exception where there is none."""
        if size <= len(self._buffer):
            status = self._library.uc_mem_read(self._handle, address, self._buffer, size)
            if status == 0:
                return self._buffer.raw[:size]
        return super().read_memory(address, size)

    def write(self, register: int, value: int) -> None:
        """Set a register."""
        self._value.value = value
        self._write(self._handle, register, self._where)

    def _batch(self, registers: Sequence[int]) -> tuple[Any, Any, Any]:
        """Register numbers, pointers to values, values, as the C functions take them."""
        key = tuple(registers)
        if key not in self._batches:
            count = len(key)
            values = (ctypes.c_uint64 * count)()
            step = ctypes.sizeof(ctypes.c_uint64)
            places = (ctypes.c_void_p * count)(
                *(ctypes.addressof(values) + step * i for i in range(count))
            )
            self._batches[key] = ((ctypes.c_int * count)(*key), places, values)
        return self._batches[key]

    def read_all(self, registers: Sequence[int]) -> list[int]:
        """Values of several registers."""
        numbers, places, values = self._batch(registers)
        self._library.uc_reg_read_batch(self._handle, numbers, places, len(values))
        return list(values)

    def write_all(self, registers: Sequence[int], new: Sequence[int]) -> None:
        """Set several registers."""
        numbers, places, values = self._batch(registers)
        values[:] = new
        self._library.uc_reg_write_batch(self._handle, numbers, places, len(values))


def bind(uc: Any, on_fault: Callable[[KitFault], None]) -> Binding:
    """The fast way where it exists, else the documented one."""
    try:
        return Direct(uc, on_fault)
    except (ImportError, AttributeError):
        return Binding(uc, on_fault)
