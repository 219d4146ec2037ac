"""The accelerator as the bus sees it.

Use::

    cnn = Cnn()
    cnn.write(address, 4, value)          # any size the hardware allows
    cnn.write_block(address, words)       # uint32 words to consecutive addresses
    cnn.read(address, 4)
    cnn.advance(cycles)                   # let CNN clock cycles pass
    cnn.interrupt_pending                 # CTRL.cnn_irq of any quadrant
    cnn.layer_cycles                      # [(layer, cycles)] of the last run
    cnn.busy_cycles                       # cycles until the run completes

All addresses are absolute. Everything wrong raises KitFault.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evalkit.hardware.cnn.engine import Engine, Memories, Result
from evalkit.hardware.cnn.memory import BiasMemory, DataMemory, WeightMemory
from evalkit.hardware.cnn.plan import Layer
from evalkit.hardware.cnn.runner import Fifos, Runner
from evalkit.hardware.cnn.selftest import self_test
from evalkit.hardware.cnn.windows import PAGE, memory_pages
from evalkit.hardware.faults import KitFault
from synthesize.chip import limits, memory_map, registers
from synthesize.chip.registers import CTRL, Place, Register

Words = NDArray[np.uint32]
Observer = Callable[[Layer, Result], None]


class Cnn:
    """The accelerator: registers, memories, FIFOs, and the run that a start bit sets off.

    A run is computed when it starts (with FIFO input: when the last input word has arrived) and
    shows its results after the modelled number of cycles; until then an access to the memories or
    the layer registers is a fault.

    Attributes:
        observer: called with (Layer, Result) after each layer, or None.
        layer_cycles: (layer number, cycles) of each layer of the last run.
        busy_cycles: cycles until the current run completes; 0 when idle.
        inferences: runs completed.
        blocked: why each quadrant cannot be used (its power), None where it can.
    """

    def __init__(self, observer: Observer | None = None) -> None:
        self.observer = observer
        self.memories = Memories(DataMemory(), WeightMemory(), BiasMemory())
        self.registers: dict[int, int] = {}
        self.layer_cycles: list[tuple[int, int]] = []
        self.busy_cycles = 0
        self.inferences = 0
        self.blocked: list[str | None] = [None] * limits.QUADRANTS
        self.engine = Engine(self.memories)
        self.fifos = Fifos()
        self._runner = Runner(self)
        self._pages: dict[int, tuple[str, int, int, int]] = memory_pages()

    # ---- bus -----------------------------------------------------------------------------------

    def write(self, address: int, size: int, value: int) -> None:
        """One bus write of ``size`` bytes (1, 2 or 4)."""
        page = self._pages.get(address >> PAGE)
        if page is None:
            self._write_register(address, size, value)
            return
        kind, quadrant, index, base = page
        offset = address - base
        self._check_memory_access(address, size, kind, quadrant)
        if kind == "data":
            self._need_word(address, size)
            self.memories.data.write_word(index, offset >> 2, value)
        elif kind == "weight":
            self._write_weight(quadrant, index, offset, size, value, address)
        elif kind == "bias":
            self._need_word(address, size)
            self._need_inside(offset, memory_map.BIAS_WINDOW, address)
            self.memories.bias.write(quadrant, offset >> 2, value, address)
        else:
            self._need_word(address, size)
            self._need_inside(offset, memory_map.TRAM_WINDOW, address)

    def write_block(self, address: int, words: Words) -> None:
        """32-bit words to consecutive addresses; the same as as many single writes."""
        at = 0
        while at < len(words):
            page = self._pages.get((address + 4 * at) >> PAGE)
            room = (((address + 4 * at) >> PAGE) + 1 << PAGE) - (address + 4 * at)
            count = min(len(words) - at, room // 4)
            self._write_piece(address + 4 * at, words[at : at + count], page)
            at += count

    def _write_piece(
        self, address: int, words: Words, page: tuple[str, int, int, int] | None
    ) -> None:
        """Part of a block that stays within one page."""
        if page is not None and address & 3 == 0:
            kind, quadrant, index, base = page
            if kind == "data":
                self._check_memory_access(address, 4, kind, quadrant)
                self.memories.data.write_words(index, (address - base) >> 2, words)
                return
            if kind == "weight" and self._packed(quadrant):
                self._check_memory_access(address, 4, kind, quadrant)
                data = words.astype(">u4").tobytes()
                self.memories.weights.write_packed(index, data, address)
                return
        for i, value in enumerate(words):
            self.write(address + 4 * i, 4, int(value))

    def read(self, address: int, size: int) -> int:
        """One bus read of ``size`` bytes."""
        page = self._pages.get(address >> PAGE)
        if page is None:
            return self._read_register(address, size)
        kind, quadrant, index, base = page
        offset = address - base
        self._check_memory_access(address, size, kind, quadrant)
        self._need_word(address, size)
        if kind == "data":
            return self.memories.data.read_word(index, offset >> 2)
        if kind == "weight":
            return self.memories.weights.read_unpacked(index, offset, address)
        if kind == "bias":
            self._need_inside(offset, memory_map.BIAS_WINDOW, address)
            return self.memories.bias.read(quadrant, offset >> 2, address)
        raise KitFault.at(address, "reading the TRAM is not modelled")

    def read_block(self, address: int, count: int) -> Words:
        """``count`` 32-bit words from consecutive addresses."""
        return np.array([self.read(address + 4 * i, 4) for i in range(count)], np.uint32)

    # ---- time ----------------------------------------------------------------------------------

    def advance(self, cnn_cycles: int) -> None:
        """Let CNN clock cycles pass; completes the run when its time has come."""
        self._runner.advance(cnn_cycles)

    def finish(self) -> int:
        """Let the current run complete; returns the cycles that took.

        Raises KitFault if the run cannot complete because input is missing or it was stopped.
        """
        return self._runner.finish()

    @property
    def running(self) -> bool:
        """Whether a run has started and not completed."""
        return self._runner.running

    @property
    def interrupt_pending(self) -> bool:
        """The accelerator's interrupt line."""
        return any(self.control(q, "cnn_irq") for q in range(limits.QUADRANTS))

    @property
    def cycles(self) -> list[tuple[int, int]]:
        """(layer number, CNN cycles) of each layer of the last run."""
        return self.layer_cycles

    # ---- power ---------------------------------------------------------------------------------

    def set_power(
        self, quadrant: int, blocked: str | None, supplied: bool = True, memories: bool = True
    ) -> None:
        """What the supply of a quadrant is like now.

        Args:
            quadrant: 0 to 3.
            blocked: why it cannot be used, None when it can.
            supplied: its registers keep what they hold.
            memories: its memories keep what they hold.

        Raises:
            KitFault: the accelerator runs, and the quadrant takes part.
        """
        if blocked and self.running and quadrant in self._runner.quadrants:
            raise KitFault(f"quadrant {quadrant} takes part in a run, and now {blocked}")
        self.blocked[quadrant] = blocked
        if not memories:
            self._forget(quadrant)
        if not supplied:
            self._reset_registers(quadrant)

    def _reset_registers(self, quadrant: int) -> None:
        for address in list(self.registers):
            if registers.REGISTER_MAP[address].quadrant == quadrant:
                del self.registers[address]

    # ---- registers -----------------------------------------------------------------------------

    def register(self, address: int) -> int:
        """Value of a register."""
        place = registers.REGISTER_MAP[address]
        return self.registers.get(address, place.register.reset)

    def control(self, quadrant: int, name: str) -> int:
        """Field of CTRL of a quadrant."""
        return CTRL.get(self.register(registers.global_address(quadrant, CTRL)), name)

    def set_control(self, quadrant: int, name: str, value: int) -> None:
        """Set a field of CTRL as the hardware does."""
        address = registers.global_address(quadrant, CTRL)
        field = CTRL.by_name[name]
        self.registers[address] = self.register(address) & ~field.mask | value << field.lsb

    def _write_register(self, address: int, size: int, value: int) -> None:
        place = self._place(address, size)
        register = place.register
        wrong = register.misused(value)
        if wrong is not None:
            kind = "reserved" if wrong.kind == registers.RESERVED else "not modelled"
            raise KitFault.at(
                address, f"value 0x{value:08x} sets a field that is {kind}", wrong.name
            )
        if place.quadrant < 0:
            self._write_shared(address, register, value)
            return
        self._need_power(place.quadrant, address)
        if register is CTRL:
            self._runner.write_control(place.quadrant, address, value)
            return
        if self.running:
            raise KitFault.at(address, "is written while the accelerator runs")
        status = register.mask_of(registers.STATUS)
        self.registers[address] = self.register(address) & status | value & ~status
        if register is registers.TEST:
            done = self_test(self.memories, place.quadrant, value)
            self.registers[address] = self.register(address) & ~status | done
        elif register is registers.SRAM and registers.SRAM.get(value, "pd"):
            self._forget(place.quadrant)

    def _write_shared(self, address: int, register: Register, value: int) -> None:
        if register in registers.FIFO_WRITES:
            self._fifo_word(registers.FIFO_WRITES.index(register), value, address)
            return
        status = register.mask_of(registers.STATUS)
        self.registers[address] = value & ~status
        if register is registers.AOD_CTRL:
            self._groups_off(registers.AOD_CTRL.get(value, "group_off"))

    def _groups_off(self, off: int) -> None:
        """The always-on block switches quadrants off: they forget everything."""
        for quadrant in range(limits.QUADRANTS):
            if off >> quadrant & 1:
                if self.running and quadrant in self._runner.quadrants:
                    raise KitFault.at(
                        memory_map.AOD_CTRL,
                        f"quadrant {quadrant} is switched off while it runs",
                        "group_off",
                    )
                self._forget(quadrant)
                self._reset_registers(quadrant)

    def _read_register(self, address: int, size: int) -> int:
        place = self._place(address, size)
        if place.register in registers.FIFO_WRITES:
            raise KitFault.at(address, "can only be written")
        if place.register is registers.MLAT:
            raise KitFault.at(address, "packed channel read-out is not modelled", "mlatdat")
        if place.quadrant >= 0:
            self._need_power(place.quadrant, address)
        return self.register(address)

    def _place(self, address: int, size: int) -> Place:
        place = registers.register_at(address & ~3)
        if place is None:
            raise KitFault.at(address, "nothing is at this address")
        if size != 4 or address & 3:
            raise KitFault.at(address, f"registers take aligned 32-bit accesses, not {8 * size}")
        return place

    def _forget(self, quadrant: int) -> None:
        self.memories.data.forget(quadrant)
        self.memories.weights.forget(quadrant)
        self.memories.bias.forget(quadrant)

    # ---- memories ------------------------------------------------------------------------------

    def _packed(self, quadrant: int) -> bool:
        return self.control(quadrant, "mexpress") == 1

    def _write_weight(
        self, quadrant: int, processor: int, offset: int, size: int, value: int, address: int
    ) -> None:
        if not self._packed(quadrant):
            self._need_word(address, size)
            self.memories.weights.write_unpacked(processor, offset, value, address)
        elif size == 1:
            self.memories.weights.select(processor, offset, address)
        else:
            self._need_word(address, size)
            self.memories.weights.write_packed(processor, value.to_bytes(4, "big"), address)

    def _check_memory_access(self, address: int, size: int, kind: str, quadrant: int) -> None:
        if self.running:
            raise KitFault.at(address, f"{kind} memory is accessed while the accelerator runs")
        control = self.registers.get(_CTRL_ADDRESS[quadrant], 0)
        if not control & _CLOCK:
            self._need_power(quadrant, address)
            raise KitFault.at(
                address,
                f"{kind} memory is accessed while the clock of quadrant {quadrant} is off"
                " (CTRL.clk_en)",
            )
        sram = self.registers.get(_SRAM_ADDRESS[quadrant], 0)
        if sram & _ASLEEP:
            raise KitFault.at(
                address,
                f"{kind} memory of quadrant {quadrant} is asleep or powered down (SRAM.ds, pd)",
            )

    def _need_power(self, quadrant: int, address: int) -> None:
        off = registers.AOD_CTRL.get(self.register(memory_map.AOD_CTRL), "group_off")
        if off >> quadrant & 1:
            raise KitFault.at(address, f"quadrant {quadrant} is powered off (AOD_CTRL.group_off)")

    @staticmethod
    def _need_word(address: int, size: int) -> None:
        if size != 4 or address & 3:
            raise KitFault.at(address, f"memories take aligned 32-bit accesses, not {8 * size}")

    @staticmethod
    def _need_inside(offset: int, window: int, address: int) -> None:
        if offset >= window:
            raise KitFault.at(address, "nothing is at this address")

    # ---- FIFOs ---------------------------------------------------------------------------------

    def _fifo_word(self, number: int, value: int, address: int) -> None:
        enabled = registers.FIFO_CTRL.get(self.register(memory_map.FIFO_CTRL), "fifo_en")
        if not enabled >> number & 1:
            raise KitFault.at(address, f"FIFO {number} is not enabled (FIFO_CTRL.fifo_en)")
        if not self.control(number, "fifo_en"):
            raise KitFault.at(address, f"quadrant {number} does not take FIFO input (CTRL.fifo_en)")
        self.fifos.push(number, value)
        self._runner.input_arrived(enabled)

    def writer_of(self, address: int) -> int:
        """Layer that wrote the data memory word at ``address`` last, -1 for the bus."""
        where = memory_map.locate(address)
        if where is None or where.kind != "data":
            raise KitFault.at(address, "is not in data memory")
        return int(self.memories.data.writer[where.index, where.offset // 4])

    # ---- debugging -----------------------------------------------------------------------------

    def flip_bit(self, address: int, bit: int) -> None:
        """Invert one bit of a written data, weight or bias memory word (fault injection).

        ``bit`` counts within the 32-bit word for data, within the byte for bias, and within the
        72 bits of the kernel word at ``address`` for weights.
        """
        where = memory_map.locate(address)
        if where is None or where.kind not in ("data", "weight", "bias"):
            raise KitFault.at(address, "bits can be flipped in data, weight and bias memory")
        if where.kind == "data":
            value = self.memories.data.read_word(where.index, where.offset // 4)
            self.memories.data.write_word(where.index, where.offset // 4, value ^ 1 << bit)
        elif where.kind == "weight":
            word = where.offset // memory_map.WEIGHT_WORD_STRIDE
            self.memories.weights.flip(where.index, word, bit)
        else:
            index = where.offset // 4
            value = self.memories.bias.read(where.quadrant, index, address)
            self.memories.bias.write(where.quadrant, index, value ^ 1 << bit, address)


_CTRL_ADDRESS = tuple(registers.global_address(q, CTRL) for q in range(limits.QUADRANTS))
_SRAM_ADDRESS = tuple(registers.global_address(q, registers.SRAM) for q in range(limits.QUADRANTS))
_CLOCK = CTRL.by_name["clk_en"].mask
_ASLEEP = registers.SRAM.by_name["ds"].mask | registers.SRAM.by_name["pd"].mask
