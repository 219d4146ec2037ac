"""Data, weight and bias memories of the accelerator.

Every memory remembers what has been written, so that a layer which reads something that nobody
wrote is noticed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalkit.hardware.faults import KitFault
from synthesize.chip import limits, memory_map

Bytes = NDArray[np.uint8]

_WEIGHT_BYTES = limits.WEIGHT_BYTES_PER_PROCESSOR
_WORD = limits.WEIGHT_WORD_BYTES


NOT_LOST = -2
"""DataMemory.lost where nothing unread was overwritten."""


class DataMemory:
    """Sixteen instances of 32-bit words, as bytes.

    Attributes:
        bytes: uint8 [instance, word, byte]; byte ``p % 4`` belongs to processor ``p``.
        known: bool, same shape; False where nothing has been written.
        writer: int16 [instance, word]; layer that wrote the word last, -1 for the bus.
        unread: bool [instance, word]; written since a layer read it last.
        lost: int16 [instance, word]; writer whose unread word was overwritten, NOT_LOST if none.
        capacity: words per instance (8192 in the chip; more in the line buffers that stand for
            streamed data, which are never addressed by the bus).
    """

    def __init__(self, capacity: int = limits.DATA_INSTANCE_WORDS) -> None:
        shape = (limits.DATA_INSTANCES, capacity, 4)
        self.capacity = capacity
        self.bytes: Bytes = np.zeros(shape, np.uint8)
        self.known = np.zeros(shape, bool)
        self.writer = np.full(shape[:2], -1, np.int16)
        self.unread = np.zeros(shape[:2], bool)
        self.lost = np.full(shape[:2], NOT_LOST, np.int16)

    def write_words(self, instance: int, word: int, values: NDArray[np.uint32]) -> None:
        """Store 32-bit words (lowest byte first) from ``word`` on."""
        end = word + len(values)
        self.bytes[instance, word:end] = values.astype("<u4").view(np.uint8).reshape(-1, 4)
        self.known[instance, word:end] = True
        self._written_by_bus(instance, slice(word, end))

    def write_word(self, instance: int, word: int, value: int) -> None:
        """Store one 32-bit word."""
        self.bytes[instance, word].view("<u4")[0] = value
        self.known[instance, word] = True
        self._written_by_bus(instance, word)

    def _written_by_bus(self, instance: int, words: slice | int) -> None:
        self.writer[instance, words] = -1
        self.unread[instance, words] = True
        self.lost[instance, words] = NOT_LOST

    def store(
        self,
        layer: int,
        instances: slice,
        words: slice,
        values: Bytes,
        known: NDArray[np.bool_] | None,
    ) -> None:
        """Output of a layer into the first lanes of some words.

        Args:
            layer: its number.
            instances, words: which.
            values: uint8 [instance, word, lane].
            known: bool, of a shape that broadcasts to that, or None where all are.
        """
        lanes = values.shape[2]
        before = self.writer[instances, words]
        overwritten = self.unread[instances, words] & (before != layer)
        if overwritten.any():
            self.lost[instances, words] = np.where(overwritten, before, NOT_LOST)
        else:
            self.lost[instances, words] = NOT_LOST
        if lanes == 4 and values.strides[2] == 1:  # whole words, a quarter of the work
            self.bytes.view(np.uint32)[instances, words] = values.view(np.uint32)
        else:
            self.bytes[instances, words, :lanes] = values
        self.known[instances, words, :lanes] = True if known is None else known
        self.writer[instances, words] = layer
        self.unread[instances, words] = True

    def note_read(self, instances: list[int], words: slice) -> tuple[int, int, int] | None:
        """A layer reads these words of some instances, in ascending order.

        Returns:
            (instance, word, writer) of a word that another layer has overwritten although the
            same writer's other words are among those read, or None: such a read mixes two
            outputs.
        """
        first, last = instances[0], instances[-1]
        # Neighbours are looked at where they are, others copied.
        chosen: slice | list[int] = instances
        if last - first + 1 == len(instances):
            chosen = slice(first, last + 1)
        lost = self.lost[chosen, words]
        found = None
        if (lost != NOT_LOST).any():
            mixed = np.isin(lost, self.writer[chosen, words]) & (lost != NOT_LOST)
            if mixed.any():
                row, column = (int(i) for i in np.argwhere(mixed)[0])
                found = (instances[row], words.start + column, int(lost[row, column]))
        self.unread[chosen, words] = False
        return found

    def begin_run(self) -> None:
        """Outputs of earlier runs may be overwritten."""
        self.unread &= self.writer < 0
        self.lost[:] = NOT_LOST

    def read_word(self, instance: int, word: int) -> int:
        """One 32-bit word; KitFault where nothing at all has been written."""
        if not self.known[instance, word].any():
            address = memory_map.instance_address(instance, word)
            raise KitFault("this data memory word is read but was never written", address)
        return int(self.bytes[instance, word].view("<u4")[0])

    def fill_zero(self, quadrant: int) -> None:
        """Zero the four instances of a quadrant, as its self-test and zeroisation do."""
        self.bytes[4 * quadrant : 4 * quadrant + 4] = 0
        self.known[4 * quadrant : 4 * quadrant + 4] = True

    def forget(self, quadrant: int) -> None:
        """Lose the contents of a quadrant (power-down)."""
        self.known[4 * quadrant : 4 * quadrant + 4] = False


class WeightMemory:
    """Kernel words of 9 bytes, 768 for each of 64 processors.

    Two ways of writing (ai8x-synthesis ``izer/kernels.py``): unpacked, four 32-bit words per
    kernel word, the last of which stores it; and packed (CTRL.mexpress), a byte write that
    selects the first kernel word and then a stream of 32-bit words, first byte in the highest
    bits, of which every nine bytes make a kernel word.

    Attributes:
        version: grows whenever stored bytes may have changed.
    """

    def __init__(self) -> None:
        self._bytes: Bytes = np.zeros((limits.PROCESSORS, _WEIGHT_BYTES), np.uint8)
        self._known = np.zeros((limits.PROCESSORS, limits.WEIGHT_WORDS), bool)
        self._stage = [[0, 0, 0] for _ in range(limits.PROCESSORS)]
        self._start: list[int | None] = [None] * limits.PROCESSORS
        self._stream = [bytearray() for _ in range(limits.PROCESSORS)]
        self._streamed: set[int] = set()
        self._taps: Bytes | None = None
        self.version = 0

    def select(self, processor: int, offset: int, address: int) -> None:
        """Byte write that selects the first kernel word of a packed load."""
        if offset & 3 != 1:
            raise KitFault("a packed weight load is started by a byte write at offset 1", address)
        word = offset >> 2
        if word >= limits.WEIGHT_WORDS:
            raise KitFault(f"kernel word {word} does not exist (0 to 767)", address)
        self._flush(processor)
        self._start[processor] = word
        self._stream[processor] = bytearray()

    def write_packed(self, processor: int, data: bytes, address: int) -> None:
        """Bytes of a packed load, in order."""
        start = self._start[processor]
        if start is None:
            raise KitFault(
                f"packed weights for processor {processor} without a start address", address
            )
        stream = self._stream[processor]
        stream += data
        if start * _WORD + len(stream) >= _WEIGHT_BYTES + _WORD:
            raise KitFault(
                f"weights run over the end of the memory of processor {processor}", address
            )
        self._streamed.add(processor)

    def write_unpacked(self, processor: int, offset: int, value: int, address: int) -> None:
        """One of the four 32-bit words of an unpacked kernel word."""
        word, part = divmod(offset >> 2, 4)
        if word >= limits.WEIGHT_WORDS:
            raise KitFault(f"kernel word {word} does not exist (0 to 767)", address)
        stage = self._stage[processor]
        if part < 3:
            if part == 0 and value > 0xFF:
                raise KitFault("the first part of a kernel word has only 8 bits", address)
            stage[part] = value
            return
        if value:
            raise KitFault("the last part of a kernel word must be zero", address)
        packed = b"".join(
            (stage[0].to_bytes(1, "big"), stage[1].to_bytes(4, "big"), stage[2].to_bytes(4, "big"))
        )
        self._store(processor, word, packed)

    def read_unpacked(self, processor: int, offset: int, address: int) -> int:
        """One of the four 32-bit words of a kernel word, as the bus shows it."""
        self._flush(processor)
        word, part = divmod(offset >> 2, 4)
        if word >= limits.WEIGHT_WORDS or not self._known[processor, word]:
            raise KitFault("this kernel word is read but was never written", address)
        first, last = ((0, 1), (1, 5), (5, 9), (9, 9))[part]
        stored = self._bytes[processor, word * _WORD + first : word * _WORD + last]
        return int.from_bytes(stored.tobytes(), "big")

    def _store(self, processor: int, word: int, data: bytes) -> None:
        whole = len(data) // _WORD
        at = word * _WORD
        used = whole * _WORD
        self._bytes[processor, at : at + used] = np.frombuffer(data[:used], np.uint8)
        self._known[processor, word : word + whole] = True
        self._taps = None
        self.version += 1

    def _flush(self, processor: int) -> None:
        start = self._start[processor]
        if processor in self._streamed and start is not None:
            self._store(processor, start, bytes(self._stream[processor]))
            self._streamed.discard(processor)

    def flush(self) -> None:
        """Make everything that packed loads have delivered visible."""
        for processor in sorted(self._streamed):
            self._flush(processor)

    def fill_zero(self, quadrant: int) -> None:
        """Zero the weights of a quadrant, as its self-test and zeroisation do."""
        self.flush()
        chosen = slice(16 * quadrant, 16 * quadrant + 16)
        self._bytes[chosen] = 0
        self._known[chosen] = True
        self._taps = None
        self.version += 1

    def forget(self, quadrant: int) -> None:
        """Lose the contents of a quadrant (power-down)."""
        self.flush()
        self._known[16 * quadrant : 16 * quadrant + 16] = False
        self.version += 1

    def flip(self, processor: int, word: int, bit: int) -> None:
        """Invert one of the 72 bits of a kernel word (bit 0 is the lowest of byte 0)."""
        self.flush()
        self._bytes[processor, word * _WORD + bit // 8] ^= 1 << (bit % 8)
        self._taps = None
        self.version += 1

    def taps(self) -> Bytes:
        """All weights as the mask logic counts them: uint8 [64, 6912].

        Within a kernel word the mask logic starts with the last byte, so the nine bytes of each
        word are reversed here. Kernels of K taps then follow each other without gaps, each with
        its last tap first.
        """
        self.flush()
        if self._taps is None:
            words = self._bytes.reshape(limits.PROCESSORS, limits.WEIGHT_WORDS, _WORD)
            self._taps = np.ascontiguousarray(words[:, :, ::-1]).reshape(limits.PROCESSORS, -1)
        return self._taps

    def known_words(self) -> NDArray[np.bool_]:
        """bool [64, 768]: kernel words that have been written."""
        self.flush()
        return self._known


class BiasMemory:
    """512 signed bytes for each quadrant.

    Attributes:
        values: int8 [quadrant, index].
        known: bool, same shape.
    """

    def __init__(self) -> None:
        shape = (limits.QUADRANTS, limits.BIAS_BYTES_PER_QUADRANT)
        self.values = np.zeros(shape, np.int8)
        self.known = np.zeros(shape, bool)

    def write(self, quadrant: int, index: int, value: int, address: int) -> None:
        """Store one bias byte; the upper 24 bits of the bus word must be zero."""
        if value > 0xFF:
            raise KitFault(f"a bias has 8 bits, 0x{value:08x} has more", address)
        self.values[quadrant, index] = value - 256 if value > 127 else value
        self.known[quadrant, index] = True

    def read(self, quadrant: int, index: int, address: int) -> int:
        """One bias byte as the bus shows it (0..255)."""
        if not self.known[quadrant, index]:
            raise KitFault("this bias is read but was never written", address)
        return int(self.values[quadrant, index]) & 0xFF

    def fill_zero(self, quadrant: int) -> None:
        """Zero the biases of a quadrant, as its self-test and zeroisation do."""
        self.values[quadrant] = 0
        self.known[quadrant] = True

    def forget(self, quadrant: int) -> None:
        """Lose the contents of a quadrant (power-down)."""
        self.known[quadrant] = False
