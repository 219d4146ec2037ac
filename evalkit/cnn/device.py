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

from evalkit.cnn.decode import Layer, decode
from evalkit.cnn.engine import Engine, Memories, Result
from evalkit.cnn.faults import KitFault
from evalkit.cnn.memory import BiasMemory, DataMemory, WeightMemory
from synthesize.chip import limits, memory_map, registers
from synthesize.chip.cycles import STARTUP_CYCLES, layer_cycles
from synthesize.chip.registers import CTRL, Place, Register

Words = NDArray[np.uint32]
Observer = Callable[[Layer, Result], None]

_FOLLOW = 4
"""CTRL.ext_sync bit 2: start with the quadrant that bits 1..0 name."""
_PAGE = 14
"""Memories begin and end at multiples of 16 KiB."""


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
    """

    def __init__(self, observer: Observer | None = None) -> None:
        self.observer = observer
        self.memories = Memories(DataMemory(), WeightMemory(), BiasMemory())
        self.registers: dict[int, int] = {}
        self.layer_cycles: list[tuple[int, int]] = []
        self.busy_cycles = 0
        self.inferences = 0
        self._engine = Engine(self.memories)
        self._fifo = _Fifos()
        self._runner = _Runner(self)
        self._pages: dict[int, tuple[str, int, int, int]] = _page_table()

    # ---- bus -----------------------------------------------------------------------------------

    def write(self, address: int, size: int, value: int) -> None:
        """One bus write of ``size`` bytes (1, 2 or 4)."""
        page = self._pages.get(address >> _PAGE)
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
            page = self._pages.get((address + 4 * at) >> _PAGE)
            room = (((address + 4 * at) >> _PAGE) + 1 << _PAGE) - (address + 4 * at)
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
        page = self._pages.get(address >> _PAGE)
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
            self._self_test(place.quadrant, address, value)
        elif register is registers.SRAM and registers.SRAM.get(value, "pd"):
            self._forget(place.quadrant)

    def _write_shared(self, address: int, register: Register, value: int) -> None:
        if register in registers.FIFO_WRITES:
            self._fifo_word(registers.FIFO_WRITES.index(register), value, address)
            return
        status = register.mask_of(registers.STATUS)
        self.registers[address] = value & ~status
        if register is registers.AOD_CTRL:
            off = registers.AOD_CTRL.get(value, "group_off")
            for quadrant in range(limits.QUADRANTS):
                if off >> quadrant & 1:
                    self._forget(quadrant)

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

    def _self_test(self, quadrant: int, address: int, value: int) -> None:
        """BIST and zeroisation: done at once, always passed, memories left at zero."""
        test = registers.TEST
        cleared: tuple[tuple[str, Callable[[int], None]], ...] = (
            ("s", self.memories.data.fill_zero),
            ("m", self.memories.weights.fill_zero),
            ("t", lambda _: None),
            ("b", self.memories.bias.fill_zero),
        )
        done = 0
        for letter, clear in cleared:
            run = test.get(value, f"{letter}bistrun")
            zero = test.get(value, f"{letter}ramz")
            if run or zero:
                clear(quadrant)
            done |= test.encode(
                **{f"{letter}allbdone": run, f"{letter}allzdone": zero}
            )
        if value & (test.encode(sbistrun=1, mbistrun=1, tbistrun=1, bbistrun=1)):
            done |= test.encode(bistdone=1)
        if value & (test.encode(sramz=1, mramz=1, tramz=1, bramz=1)):
            done |= test.encode(zerodone=1)
        status = test.mask_of(registers.STATUS)
        self.registers[address] = self.register(address) & ~status | done

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
            raise KitFault.at(
                address, f"quadrant {quadrant} is powered off (AOD_CTRL.group_off)"
            )

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
            raise KitFault.at(
                address, f"quadrant {number} does not take FIFO input (CTRL.fifo_en)"
            )
        self._fifo.push(number, value)
        self._runner.input_arrived(enabled)

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
_SRAM_ADDRESS = tuple(
    registers.global_address(q, registers.SRAM) for q in range(limits.QUADRANTS)
)
_CLOCK = CTRL.by_name["clk_en"].mask
_ASLEEP = registers.SRAM.by_name["ds"].mask | registers.SRAM.by_name["pd"].mask


def _page_table() -> dict[int, tuple[str, int, int, int]]:
    """(kind, quadrant, index, base address) of every 16 KiB page that holds a memory."""
    pages = {}
    size = 1 << _PAGE
    first = memory_map.QUADRANT_BASE >> _PAGE
    for page in range(first, memory_map.CNN_END >> _PAGE):
        where = memory_map.locate(page << _PAGE)
        if where is None or where.kind in ("fifo", "register"):
            continue
        base = (page << _PAGE) - where.offset
        pages[page] = (where.kind, where.quadrant, where.index, base)
    assert size <= memory_map.WEIGHT_STRIDE
    return pages


def _leader_of(quadrant: int, sync: int) -> int:
    """The quadrant with which a quadrant starts; one that follows itself leads."""
    return sync & 3 if sync & _FOLLOW else quadrant


class _Fifos:
    """Words that have arrived for the current input frame, per FIFO."""

    def __init__(self) -> None:
        self.words: list[list[int]] = [[] for _ in memory_map.FIFO_WRITE]

    def push(self, number: int, value: int) -> None:
        self.words[number].append(value)

    def complete(self, enabled: int, frame: int) -> bool:
        """Whether every enabled FIFO has delivered ``frame`` words."""
        return all(len(w) >= frame for n, w in enumerate(self.words) if enabled >> n & 1)

    def take(self, frame: int) -> dict[int, Words]:
        """Remove one frame; words by FIFO."""
        taken = {n: np.array(w[:frame], np.uint32) for n, w in enumerate(self.words) if w}
        self.words = [w[frame:] for w in self.words]
        return taken


class _Runner:
    """Start, stop, layer sequence and completion."""

    def __init__(self, cnn: Cnn) -> None:
        self.cnn = cnn
        self.running = False
        self.waiting = False
        """Started, but input is still missing from the FIFOs."""
        self.paused = False
        self.quadrants: tuple[int, ...] = ()
        self.next_layer = 0
        self.elapsed = 0

    def write_control(self, quadrant: int, address: int, value: int) -> None:
        """A write to CTRL; the rising edge of cnn_en of a quadrant that leads is a start."""
        cnn = self.cnn
        enabled = CTRL.get(cnn.register(address), "cnn_en")
        cnn.registers[address] = value
        now = CTRL.get(value, "cnn_en")
        follows = _leader_of(quadrant, CTRL.get(value, "ext_sync")) != quadrant
        if enabled == now:
            return
        if not now:
            # A quadrant that follows only stops with its leader.
            if self.running and quadrant == self.quadrants[0]:
                self.paused = True
            return
        if follows:
            return
        if self.running and self.paused:
            self.paused = False
            return
        if self.running:
            raise KitFault.at(address, "is started while the accelerator runs", "cnn_en")
        self._start(quadrant, address)

    def _start(self, leader: int, address: int) -> None:
        cnn = self.cnn
        self.quadrants = (leader, *(q for q in range(limits.QUADRANTS) if self._follows(q, leader)))
        for quadrant in self.quadrants:
            if not cnn.control(quadrant, "clk_en"):
                raise KitFault.at(
                    registers.global_address(quadrant, CTRL),
                    f"quadrant {quadrant} is started without its clock", "clk_en",
                )
        if not cnn.control(leader, "oneshot"):
            self.next_layer = 0
        self.running = True
        self.paused = False
        self.elapsed = 0
        cnn.layer_cycles = []
        self.waiting = self._takes_fifo()
        if self.waiting:
            self.input_arrived(
                registers.FIFO_CTRL.get(cnn.register(memory_map.FIFO_CTRL), "fifo_en")
            )
        else:
            self._compute(None)

    def _follows(self, quadrant: int, leader: int) -> bool:
        if quadrant == leader or not self.cnn.control(quadrant, "cnn_en"):
            return False
        return _leader_of(quadrant, self.cnn.control(quadrant, "ext_sync")) == leader

    def _takes_fifo(self) -> bool:
        """Only layer 0 takes FIFO input."""
        return bool(self.cnn.control(self.quadrants[0], "fifo_en")) and self.next_layer == 0

    def input_arrived(self, enabled: int) -> None:
        """A FIFO word came, or a run that needs some has started."""
        if not (self.running and self.waiting):
            return
        if not enabled:
            raise KitFault.at(memory_map.FIFO_CTRL, "no FIFO is enabled for FIFO input", "fifo_en")
        address = registers.global_address(self.quadrants[0], registers.IFRM)
        frame = registers.IFRM.get(self.cnn.register(address), "ifrm")
        if not frame:
            raise KitFault.at(address, "the input frame has no words", "ifrm")
        if self.cnn._fifo.complete(enabled, frame):
            self.waiting = False
            self._compute(self.cnn._fifo.take(frame))

    def _last_layer(self) -> int:
        values = {
            q: self.cnn.register(registers.global_address(q, registers.LCNT_MAX))
            for q in self.quadrants
        }
        last = values[self.quadrants[0]]
        for quadrant, value in values.items():
            if value != last:
                raise KitFault.at(
                    registers.global_address(quadrant, registers.LCNT_MAX),
                    f"{value} differs from {last} in quadrant {self.quadrants[0]}", "lcnt",
                )
        return registers.LCNT_MAX.get(last, "lcnt")

    def _compute(self, fifo: dict[int, Words] | None) -> None:
        """Compute all layers (one in one-shot mode) and set the time they take."""
        cnn = self.cnn
        leader = self.quadrants[0]
        stream = bool(cnn.control(leader, "stream_en"))
        last = self._last_layer()
        oneshot = bool(cnn.control(leader, "oneshot"))
        end = self.next_layer if oneshot else last
        sequence = _Sequence(cnn, fifo, bool(cnn.control(leader, "poolrnd")))
        for number in range(self.next_layer, end + 1):
            layer = decode(cnn.registers, number, self.quadrants, stream)
            self._check_clocks(layer)
            sequence.run(layer, number == end)
            cnn.layer_cycles.append((number, layer_cycles(layer.geometry())))
        self.next_layer = 0 if end == last else end + 1
        total = STARTUP_CYCLES + sum(c for _, c in cnn.layer_cycles)
        cnn.busy_cycles = max(total - self.elapsed, 1)

    def _check_clocks(self, layer: Layer) -> None:
        """Outputs must land in quadrants whose memories are clocked."""
        for source, target in layer.targets.items():
            width = layer.time_slots if layer.masks is None else -(-layer.per_expansion // 4)
            first = target.instance
            last = first + (width - 1) * target.instance_step
            for quadrant in {first // 4, min(last, limits.DATA_INSTANCES - 1) // 4}:
                if not self.cnn.control(quadrant, "clk_en"):
                    raise KitFault.in_layer(
                        layer.number, source, registers.WPTR_BASE,
                        f"output goes to quadrant {quadrant}, whose clock is off", "instance",
                    )

    def advance(self, cycles: int) -> None:
        if not self.running or self.paused:
            return
        self.elapsed += cycles
        if self.waiting:
            return
        self.cnn.busy_cycles = max(self.cnn.busy_cycles - cycles, 0)
        if self.cnn.busy_cycles == 0:
            self._complete()

    def finish(self) -> int:
        if not self.running:
            return 0
        leader = registers.global_address(self.quadrants[0], CTRL)
        if self.waiting:
            raise KitFault.at(leader, "the run waits for input that did not come", "fifo_en")
        if self.paused:
            raise KitFault.at(leader, "the run was stopped and not continued", "cnn_en")
        cycles = self.cnn.busy_cycles
        self.advance(cycles)
        return cycles

    def _complete(self) -> None:
        self.running = False
        self.cnn.inferences += 1
        for quadrant in self.quadrants:
            self.cnn.set_control(quadrant, "cnn_irq", 1)


class _Sequence:
    """Carries data from layer to layer, through line buffers where layers stream."""

    def __init__(self, cnn: Cnn, fifo: dict[int, Words] | None, round_average: bool) -> None:
        self.cnn = cnn
        self.fifo = fifo
        self.round_average = round_average
        self.stream: DataMemory | None = None
        """Where the next layer finds streamed input, or None if it is in data memory."""
        self.buffers: list[Layer] = []

    def run(self, layer: Layer, is_last: bool) -> None:
        """One layer."""
        memory = self.cnn.memories.data
        source = self._source(layer)
        streams_on = layer.streaming and not is_last and self._next_streams(layer)
        target = _line_memory(layer) if streams_on else memory
        result = self.cnn._engine.run(layer, source, target, self.round_average)
        if layer.streaming:
            self.buffers.append(layer)
        if not streams_on:
            self._end_stream()
        self.stream = target if streams_on else None
        if self.cnn.observer is not None:
            self.cnn.observer(layer, result)

    def _next_streams(self, layer: Layer) -> bool:
        number = layer.number + 1
        if number >= limits.MAX_STREAM_LAYERS:
            return False
        address = registers.layer_address(layer.quadrants[0], number, registers.FBUF)
        return self.cnn.register(address) > 0

    def _source(self, layer: Layer) -> DataMemory:
        memory = self.cnn.memories.data
        if layer.number == 0 and self.fifo is not None:
            return self._fifo_input(layer)
        if layer.streaming and self.stream is None:
            raise KitFault.in_layer(
                layer.number, layer.quadrants[0], registers.FBUF,
                "the layer streams but neither the FIFOs nor the layer before feed it", "fbuf_max",
            )
        return self.stream if layer.streaming and self.stream is not None else memory

    def _fifo_input(self, layer: Layer) -> DataMemory:
        """FIFO words as the memory that the first layer reads."""
        assert self.fifo is not None
        target = DataMemory(_capacity(layer)) if layer.streaming else self.cnn.memories.data
        for quadrant, words in self.fifo.items():
            if quadrant not in layer.quadrants:
                raise KitFault.at(
                    memory_map.FIFO_WRITE[quadrant],
                    f"input for quadrant {quadrant}, which does not take part",
                )
            start = layer.read_word[quadrant]
            if len(words) < layer.input_words:
                raise KitFault.at(
                    registers.global_address(layer.quadrants[0], registers.IFRM),
                    f"{len(words)} words are fewer than the {layer.input_words} that layer 0"
                    " reads", "ifrm",
                )
            if start + len(words) > target.capacity:
                raise KitFault.in_layer(
                    0, quadrant, registers.RPTR_BASE,
                    f"{len(words)} FIFO words from word {start} run over the data memory",
                    "rptr_base",
                )
            instance = quadrant * (limits.DATA_INSTANCES // limits.QUADRANTS)
            target.write_words(instance, start, words)
        return target

    def _end_stream(self) -> None:
        """What the circular buffers held at the end is not defined."""
        memory = self.cnn.memories.data
        last = self.buffers[-1] if self.buffers else None
        for layer in self.buffers:
            for processor in layer.processors:
                start = layer.read_word[processor // limits.PROCESSORS_PER_QUADRANT]
                instance = processor // limits.PROCESSORS_PER_INSTANCE
                end = start + layer.stream_words
                if end > memory.capacity:
                    raise KitFault.in_layer(
                        layer.number, layer.quadrants[0], registers.FBUF,
                        f"the buffer ends at word {end} of a data memory instance", "fbuf_max",
                    )
                if last is not None and self._written_by(last, instance, start, end):
                    raise KitFault.in_layer(
                        last.number, last.quadrants[0], registers.WPTR_BASE,
                        f"output overwrites the stream buffer of layer {layer.number} (data"
                        f" memory {instance}, words {start} to {end - 1})", "word",
                    )
                memory.known[instance, start:end] = False
        self.buffers = []

    @staticmethod
    def _written_by(layer: Layer, instance: int, start: int, end: int) -> bool:
        where = layer.targets[layer.quadrants[0]]
        groups = -(-min(layer.outputs, layer.per_expansion) // limits.PROCESSORS_PER_INSTANCE)
        if not any(where.instance + g * where.instance_step == instance for g in range(groups)):
            return False
        pixels = layer.output_size[0] * layer.output_size[1]
        return where.word < end and start < where.word + pixels * where.step


def _capacity(layer: Layer) -> int:
    """Words a line buffer needs to hold a whole input frame, wherever it starts."""
    return limits.DATA_INSTANCE_WORDS + layer.input_words


def _line_memory(layer: Layer) -> DataMemory:
    """Room for all outputs of a layer whose successor streams."""
    pixels = layer.output_size[0] * layer.output_size[1]
    step = max(t.step for t in layer.targets.values())
    return DataMemory(limits.DATA_INSTANCE_WORDS + pixels * step)
