"""The frame that an exception leaves on the stack (ARMv7-M Architecture Reference Manual, B1.5)."""

from __future__ import annotations

import struct
from collections.abc import Callable

from evalkit.hardware.boot import in_sram
from evalkit.hardware.core.binding import Binding
from evalkit.hardware.faults import KitFault

_EXC_RETURN = 0xFFFF_FFE1
_IT_STATE = 0x0600_FC00
"""Of XPSR: how many of the next instructions are conditional, and on what."""
_CORE = ("R0", "R1", "R2", "R3", "R12", "LR", "XPSR")
_FLOATING = (*(f"S{i}" for i in range(16)), "FPSCR")


class Frames:
    """Pushes and pops frames.

    Args:
        binding: to the emulator.
        number: the emulator's number of a register by its name.
    """

    def __init__(self, binding: Binding, number: Callable[[str], int]) -> None:
        self._binding = binding
        self._core = [number(name) for name in _CORE]
        self._floating = [number(name) for name in _FLOATING]
        self._tail = [number(name) for name in ("SP", "PC")]
        self._sp, self._lr, self._xpsr = (number(name) for name in ("SP", "LR", "XPSR"))

    def push(self, pc: int, floating: bool) -> None:
        """Save what the handler of an exception may change, and set LR to the way back.

        Args:
            pc: where the interrupted program goes on.
            floating: save the floating-point registers too.

        Raises:
            KitFault: there is no memory where the stack is.
        """
        binding = self._binding
        words = binding.read_all(self._core)
        status = words[6]
        words[6:] = [pc, status & ~0x3FF | 1 << 24]
        if floating:
            words += [*binding.read_all(self._floating), 0]
        stack = binding.read(self._sp)
        frame = (stack - 4 * len(words)) & ~7
        if frame != stack - 4 * len(words):
            words[7] |= 1 << 9  # the frame was aligned to 8 bytes
        what = "the registers of an exception cannot be saved"
        _need_stack(frame, 4 * len(words), what, pc)
        binding.uc.mem_write(frame, struct.pack(f"<{len(words)}I", *words))
        binding.write(self._sp, frame)
        self.leave_it_block()  # what is left of it is the interrupted code's (B1.5.6)
        binding.write(self._lr, _EXC_RETURN | (0 if floating else 0x10) | 8)

    def leave_it_block(self) -> None:
        """Let no instruction be conditional that is not so by an IT instruction to come."""
        status = self._binding.read(self._xpsr)
        if status & _IT_STATE:
            self._binding.write(self._xpsr, status & ~_IT_STATE)

    def pop(self, way_back: int) -> tuple[int, bool]:
        """Restore what ``push`` saved.

        Args:
            way_back: the EXC_RETURN value that the handler has jumped to.

        Returns:
            where the interrupted program goes on, and whether floating-point registers were saved.

        Raises:
            KitFault: there is no memory where the stack is.
        """
        binding = self._binding
        floating = not way_back & 0x10
        frame = binding.read(self._sp)
        count = 26 if floating else 8
        _need_stack(frame, 4 * count, "an exception returns", way_back)
        words = struct.unpack(f"<{count}I", binding.read_memory(frame, 4 * count))
        padding = 4 if words[7] >> 9 & 1 else 0
        binding.write_all(self._core, [*words[:6], words[7] & ~(1 << 9 | 0x1FF)])
        if floating:
            binding.write_all(self._floating, words[8:25])
        binding.write_all(self._tail, (frame + 4 * count + padding, words[6] | 1))
        return words[6] & ~1, floating


def _need_stack(frame: int, size: int, what: str, pc: int) -> None:
    if frame & 3 or not in_sram(frame, size):
        fault = KitFault(
            f"{what}: the stack would be at 0x{frame & 0xFFFF_FFFF:08x}, where there is no RAM"
        )
        fault.pc = pc
        raise fault
