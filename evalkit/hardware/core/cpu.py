"""Cortex-M4 on the ``unicorn`` emulator: running, interrupts, sleep, and the clock cycles.

unicorn executes instructions and knows nothing of the exception model, so entering and leaving
handlers is done here (ARMv7-M Architecture Reference Manual, B1.5). Cycles are counted for each
basic block when it starts, with the estimate of ``timing.py``; events and interrupts are taken
between blocks.
"""

from __future__ import annotations

from typing import Any

from common.errors import UserError
from evalkit.hardware.core import timing
from evalkit.hardware.core.binding import BlockHook, ReadHook, WriteHook, bind
from evalkit.hardware.core.frames import Frames
from evalkit.hardware.elf import INSTALL_HINT
from evalkit.hardware.faults import KitFault

_NOWHERE = 0xFFFF_FF00
_WFI = 0xBF30
_WFE = 0xBF20
_BRANCH_TO_SELF = (b"\xfe\xe7", b"\xff\xf7\xfe\xff")
"""``b .`` and ``bl .``."""

DEADLINE = "deadline"
SLEEP = "sleep"
SLEEP_EVENT = "sleep until event"
SPIN = "branch to itself"
RETURN = "exception return"
CALL = "supervisor call"
BREAKPOINT = "breakpoint"
STEPPED = "stepped"


class Cpu:
    """The processor core.

    Attributes:
        cycles: clock cycles since power-up.
        deadline: the cycle at which the next block has to be looked at more closely, because
            something is planned for then (``plan``) or an interrupt waits (``attend``).
        floating_active: a floating-point instruction has been executed outside handlers or in the
            current one (CONTROL.FPCA): an exception must save those registers.
        error: the emulator's exception class.
    """

    def __init__(self) -> None:
        try:
            import unicorn
            import unicorn.arm_const as names
        except ImportError as error:
            raise UserError(
                f"running firmware needs the unicorn emulator; {INSTALL_HINT}"
            ) from error
        self._unicorn = unicorn
        self._names = names
        self.uc: Any = unicorn.Uc(
            unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS
        )
        self.uc.ctl_set_cpu_model(names.UC_CPU_ARM_CORTEX_M4)
        self._binding = bind(self.uc, self.stop_with)
        self._read, self._write = self._binding.read, self._binding.write
        self._ids: dict[str, int] = {}
        self._frames = Frames(self._binding, self._id)
        self._pc_id = self._id("PC")
        self._mask_ids = [self._id(name) for name in ("PRIMASK", "FAULTMASK")]
        self.cycles = 0
        self.deadline = 0
        self._planned = 0
        self.error: type[Exception] = unicorn.UcError
        self._breakpoints: dict[int, Any] = {}
        self._pass_breakpoint: int | None = None
        self._single = False
        self.floating_active = False
        self._costs: dict[int, int] = {}
        self._floating_blocks: set[int] = set()
        self._spins: set[int] = set()
        self._stopped: str | None = None
        self._fault: KitFault | None = None
        self._unmapped: tuple[str, int] | None = None
        self._resume_at: int | None = None
        self._pc = 0
        # Blocks known to need nothing but their cost.
        self._plain: dict[int, int] = {}
        self._binding.hook_blocks(unicorn.UC_HOOK_BLOCK, self._block_hook())
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self._on_exception)
        self.uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_invalid)

    # ---- memory and registers ------------------------------------------------------------------

    def map_memory(self, base: int, size: int, writable: bool) -> None:
        """Flash or SRAM."""
        permissions = self._unicorn.UC_PROT_READ | self._unicorn.UC_PROT_EXEC
        if writable:
            permissions |= self._unicorn.UC_PROT_WRITE
        self.uc.mem_map(base, size, permissions)

    def map_device(self, base: int, size: int, read: ReadHook, write: WriteHook) -> None:
        """Registers: ``read(offset, size)`` and ``write(offset, size, value)``."""
        self._binding.map_device(base, size, read, write)

    def watch_alignment(self, base: int, size: int) -> None:
        """Accesses to registers in this range that are not aligned are faults.

        The emulator turns an unaligned read into aligned ones before a device sees it.
        """
        kinds = self._unicorn.UC_HOOK_MEM_READ | self._unicorn.UC_HOOK_MEM_WRITE
        self._binding.hook_accesses(kinds, self._on_access, base, base + size - 1)

    def _on_access(self, address: int, size: int) -> None:
        if address & (size - 1):
            bits = 8 * size
            self.stop_with(
                KitFault(f"unaligned access of {bits} bits at 0x{address:08x}, a register", address)
            )

    def read_memory(self, address: int, size: int) -> bytes:
        """Bytes of flash or SRAM."""
        return self._binding.read_memory(address, size)

    def write_memory(self, address: int, data: bytes) -> None:
        """Change flash or SRAM behind the program's back; its code is translated again."""
        self.uc.mem_write(address, data)
        self.uc.ctl_remove_cache(address, address + len(data))
        self._costs.clear()
        self._plain.clear()
        self._floating_blocks.clear()
        self._spins.clear()

    def register(self, name: str) -> int:
        """Value of a core register, e.g. ``R0``, ``SP``, ``PC``, ``XPSR``."""
        return self._read(self._id(name))

    def set_register(self, name: str, value: int) -> None:
        """Change a core register."""
        self._write(self._id(name), value)

    def _id(self, name: str) -> int:
        """The emulator's number of a register."""
        if name not in self._ids:
            self._ids[name] = int(getattr(self._names, f"UC_ARM_REG_{name}"))
        return self._ids[name]

    @property
    def pc(self) -> int:
        """Address of the current (or next) instruction."""
        return self._read(self._pc_id)

    @property
    def interrupts_masked(self) -> bool:
        """PRIMASK or FAULTMASK is set."""
        primask, faultmask = self._mask_ids
        return bool((self._read(primask) | self._read(faultmask)) & 1)

    # ---- running -------------------------------------------------------------------------------

    def start(self, stack: int, entry: int) -> None:
        """State after reset; general registers and memory keep what they hold."""
        for name in ("CONTROL", "PRIMASK", "FAULTMASK", "BASEPRI", "FPSCR"):
            self.set_register(name, 0)
        self.set_register("XPSR", 1 << 24)
        self.floating_active = False
        self._resume_at = None
        self.set_register("MSP", stack)
        self.set_register("SP", stack)
        self.set_register("LR", 0xFFFF_FFFF)
        self.set_register("PC", entry | 1)
        self._pc = entry & ~1

    def plan(self, cycle: int) -> None:
        """Let ``run`` come back at a cycle, and not because of what has been planned before."""
        self.deadline = self._planned = cycle

    def plan_earlier(self, cycle: int) -> None:
        """Let ``run`` come back at a cycle at the latest."""
        self.deadline = min(self.deadline, cycle)
        self._planned = min(self._planned, cycle)

    def attend(self) -> None:
        """Let ``run`` come back as soon as interrupts are not masked."""
        self.deadline = min(self.deadline, self.cycles)

    def stop_with(self, fault: KitFault) -> None:
        """Stop the current ``run`` with a fault; from inside a device callback.

        The emulator knows the exact program counter only when it has stopped.
        """
        if self._fault is None:
            self._fault = fault
        self.uc.emu_stop()

    def run(self, count: int = 0) -> str:
        """Execute until the deadline or something that needs attention; returns which.

        With ``count`` other than 0 at most so many instructions; STEPPED when all were executed.

        Raises:
            KitFault: a device refused an access, or the program went wrong.
        """
        self._stopped = None
        self._unmapped = None
        if not self._must_stop():
            self._resume_at = None
        try:
            self._binding.start(self._pc | 1, _NOWHERE, count)
        except self._unicorn.UcError as error:
            self._pc = self.pc
            return self._after_error(error)
        self._pc = self.pc
        self._raise_fault()
        if self._stopped is not None:
            return self._stopped
        if self._halfword(self._pc - 2) == _WFI:
            return SLEEP
        if count:
            return STEPPED
        raise self._at_pc("the emulator stopped for no known reason")

    def _raise_fault(self) -> None:
        if self._fault is not None:
            fault, self._fault = self._fault, None
            if fault.pc is None:
                fault.pc = self._pc
            raise fault

    def _after_error(self, error: Exception) -> str:
        self._raise_fault()
        if self._halfword(self._pc - 2) == _WFE:
            return SLEEP_EVENT
        if self._unmapped is not None:
            what, address = self._unmapped
            fault = self._at_pc(f"{what} address 0x{address:08x}, where the chip has nothing")
            fault.address = None
            raise fault
        if self._halfword(self._pc) >> 8 == 0xDE:
            raise self._at_pc("undefined instruction (the compiler's trap for unreachable code)")
        raise self._at_pc(f"the processor cannot go on: {error}")

    def _at_pc(self, message: str) -> KitFault:
        fault = KitFault(message)
        fault.pc = self._pc
        return fault

    def _halfword(self, address: int) -> int:
        try:
            return int.from_bytes(self._binding.read_memory(address & ~1, 2), "little")
        except self._unicorn.UcError:
            return 0

    def _block_hook(self) -> BlockHook:
        """What is called before each block, some hundred thousand times a second of wall time."""
        plain, uc = self._plain, self.uc

        def on_block(_handle: Any, address: int, size: int) -> None:
            try:
                if self.cycles < self.deadline:
                    self.cycles += plain[address]
                    return
            except KeyError:
                pass
            try:
                self._on_block(uc, address, size)
            except BaseException as error:
                self._binding.failed(error)

        return on_block

    def _on_block(self, uc: Any, address: int, size: int) -> None:
        if self._single:
            code = bytes(uc.mem_read(address, size))
            code = code[: 4 if code[1] >= 0xE8 else 2]
            self.cycles += timing.block_cycles(code)
            self.floating_active |= timing.uses_floating_point(code)
            return
        if self._must_stop() and address != self._resume_at:
            self._resume_at = address
            self._stopped = DEADLINE
            uc.emu_stop()
            return
        self._resume_at = None
        cost = self._costs.get(address)
        if cost is None:
            code = bytes(uc.mem_read(address, size))
            cost = self._costs[address] = timing.block_cycles(code)
            if code in _BRANCH_TO_SELF:
                self._spins.add(address)
            if timing.uses_floating_point(code):
                self._floating_blocks.add(address)
        self.cycles += cost
        if address in self._spins:
            # Only an interrupt leads out of here, so there is nothing to execute until then.
            self._stopped = SPIN
            uc.emu_stop()
        if address in self._floating_blocks:
            self.floating_active = True
        elif address not in self._spins:
            self._plain[address] = cost

    def _must_stop(self) -> bool:
        """Whether something is due, or an interrupt that is not masked."""
        if self.cycles < self.deadline:
            return False
        return self.cycles >= self._planned or not self.interrupts_masked

    def _on_breakpoint(self, uc: Any, address: int, _size: int, _data: Any) -> None:
        if self._pass_breakpoint == address or self._single:
            self._pass_breakpoint = None
            return
        self._pass_breakpoint = address
        self._stopped = BREAKPOINT
        uc.emu_stop()

    def add_breakpoint(self, address: int) -> None:
        """Let ``run`` come back before the instruction at an address."""
        if address in self._breakpoints:
            return
        hook = self._unicorn.UC_HOOK_CODE
        self._breakpoints[address] = self.uc.hook_add(
            hook, self._on_breakpoint, None, address, address
        )
        self.uc.ctl_flush_tb()

    def remove_breakpoint(self, address: int) -> None:
        """Forget a breakpoint."""
        handle = self._breakpoints.pop(address, None)
        if self._pass_breakpoint == address:
            self._pass_breakpoint = None
        if handle is not None:
            self.uc.hook_del(handle)
            self.uc.ctl_flush_tb()

    def jump(self, address: int) -> None:
        """Go on at another address."""
        self._pc = address & ~1
        self.set_register("PC", address | 1)
        self._resume_at = None

    def step(self) -> str:
        """Execute one instruction; returns as ``run``."""
        self._single = True
        self._plain.clear()
        # Code translated before does not count its instructions, and the other way round.
        self.uc.ctl_flush_tb()
        try:
            return self.run(count=1)
        finally:
            self._single = False
            self.uc.ctl_flush_tb()

    def _on_exception(self, uc: Any, number: int, _data: Any) -> None:
        pc = self.pc
        if pc & 0xFFFF_FF00 == 0xFFFF_FF00:
            self._stopped = RETURN
        elif number == 2:
            self._stopped = CALL
        elif number == 7:
            code = self._halfword(pc) & 0xFF
            self.stop_with(
                KitFault(f"the firmware stopped itself with a breakpoint (bkpt #{code})")
            )
        else:
            self.stop_with(KitFault(f"the processor takes fault exception {number}"))
        uc.emu_stop()

    def _on_invalid(
        self, _uc: Any, access: int, address: int, _size: int, _value: int, _data: Any
    ) -> bool:
        kinds = {
            self._unicorn.UC_MEM_READ_UNMAPPED: "read from",
            self._unicorn.UC_MEM_WRITE_UNMAPPED: "write to",
            self._unicorn.UC_MEM_FETCH_UNMAPPED: "execution at",
            self._unicorn.UC_MEM_WRITE_PROT: "write to read-only",
        }
        self._unmapped = (kinds.get(access, "access to"), address)
        return False

    # ---- exceptions ----------------------------------------------------------------------------

    def enter_exception(self, handler: int) -> None:
        """Push the frame and go to a handler."""
        self._frames.push(self._pc, self.floating_active)
        self._pc = handler & ~1
        self.set_register("PC", handler | 1)
        self._resume_at = None
        self.floating_active = False
        self.cycles += timing.EXCEPTION_ENTRY

    def leave_exception(self) -> None:
        """Pop the frame after the handler has jumped to an EXC_RETURN value."""
        self._pc, self.floating_active = self._frames.pop(self.pc)
        self._resume_at = None
        self.cycles += timing.EXCEPTION_RETURN
