"""The finished result of a compilation: what has to be written where, and what comes out where.

A :class:`Program` is plain data. It knows absolute bus addresses, 32-bit words and of the graph
only the form of its input; the C emitter, the report and the comparison with recorded bus traces
all read it.

Conventions
-----------
* Addresses are absolute byte addresses on the Cortex-M4 bus.
* A *weight block* is a packed stream of kernel words (9 bytes per 72-bit kernel word, padded to a
  whole number of 32-bit words). To load it, write the byte 1 to ``address + 1``, then the words in
  order to ``address``, ``address + 4``, ...; ``address`` is the start of the processor's weight
  memory plus *four* bytes per kernel word in front of the first one (source of the protocol:
  ai8x-synthesis ``izer/kernels.py``).
* A *bias block* holds one bias byte per 32-bit word.
* Data memory words hold four channels of one pixel, the lowest channel in the lowest byte.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ai8x_models.point_maps import PointMaps
from ai8x_models.thresholds import DEFAULTS, DecodeSettings
from synthesize.graph import reference
from synthesize.graph.ir import Input


@dataclass(frozen=True)
class RegisterWrite:
    """One bus write of ``size`` bytes (1 or 4) with a human-readable ``comment``."""

    address: int
    value: int
    comment: str
    size: int = 4


@dataclass(frozen=True, eq=False)
class MemoryBlock:
    """Contiguous 32-bit words starting at ``address``.

    Args:
        address: absolute byte address of ``words[0]``.
        words: uint32 [n].
        comment: what the block holds, for listings and C comments.
    """

    address: int
    words: np.ndarray
    comment: str = ""

    def __post_init__(self) -> None:
        words = np.ascontiguousarray(self.words, dtype=np.uint32)
        words.setflags(write=False)
        object.__setattr__(self, "words", words)

    @property
    def end(self) -> int:
        """First byte address behind the block."""
        return self.address + 4 * len(self.words)


@dataclass(frozen=True, eq=False)
class InputBlock:
    """Where a part of the input goes: contiguous words, or one FIFO.

    Args:
        address: absolute byte address of the first word; the FIFO's own for all its words.
        elements: int32 [words, 4], for each byte of each word, the lowest first, the number of its
            element in the input as the first layer sees it ([channels, rows, columns], counted
            from 0), -1 where a zero stands.
        comment: what the block holds.
    """

    address: int
    elements: np.ndarray
    comment: str = ""

    def __post_init__(self) -> None:
        elements = np.ascontiguousarray(self.elements, dtype=np.int32)
        if elements.ndim != 2 or elements.shape[1] != 4:
            raise ValueError(f"elements {elements.shape} are not four for each word")
        elements.setflags(write=False)
        object.__setattr__(self, "elements", elements)

    def filled(self, values: np.ndarray) -> MemoryBlock:
        """Return the words for the values (int8 [n]) of all elements."""
        octets = np.append(values.view(np.uint8), np.uint8(0))[self.elements]
        return MemoryBlock(self.address, octets.view("<u4")[:, 0], self.comment)


@dataclass(frozen=True)
class FifoPort:
    """Where the input goes when it is streamed instead of stored before the start.

    The firmware starts the accelerator first, then, in turns, pushes a word of each block of the
    packed input into its FIFO; before every word it waits while
    ``read(status_address) & full_mask`` is non-zero.
    """

    data_addresses: tuple[int, ...]
    status_address: int
    full_mask: int


@dataclass(frozen=True, eq=False)
class OutputMap:
    """How to unload one output of the network.

    Args:
        name: name of the tensor, normally that of the layer which computes it.
        layer: index of the hardware layer which writes it.
        shape: (channels, rows, columns).
        wide: True when every element is a 32-bit word, False for signed bytes.
        addresses: int64 [channels, rows, columns], absolute byte address of every element
            (of its lowest byte when wide).
    """

    name: str
    layer: int
    shape: tuple[int, int, int]
    wide: bool
    addresses: np.ndarray

    def __post_init__(self) -> None:
        addresses = np.ascontiguousarray(self.addresses, dtype=np.int64)
        if addresses.shape != tuple(self.shape):
            raise ValueError(f"addresses {addresses.shape} do not match shape {self.shape}")
        addresses.setflags(write=False)
        object.__setattr__(self, "addresses", addresses)

    def known_answer(self, values: np.ndarray) -> np.ndarray:
        """Return the words an unloaded memory must hold, as the firmware's comparison stream.

        The stream is a sequence of records ``address, mask, n, n words``: ``n`` consecutive
        words from ``address``, compared after ``& mask``. It has no terminating zero.

        Args:
            values: int [channels, rows, columns], the expected output.

        Returns:
            uint32 [m].
        """
        values = np.asarray(values)
        if values.shape != self.shape:
            raise ValueError(f"output {self.name} has shape {self.shape}, got {values.shape}")
        flat_address = self.addresses.ravel()
        flat = values.ravel().astype(np.int64)
        if self.wide:
            mask = np.full(flat.shape, 0xFFFFFFFF, np.int64)
            return _records(flat_address, flat & 0xFFFFFFFF, mask)
        lane = 8 * (flat_address & 3)
        ordered = np.sort(flat_address & ~3)  # np.unique loads numpy.ma, half a compilation
        word_address = ordered[np.diff(ordered, prepend=-1) != 0]
        index = np.searchsorted(word_address, flat_address & ~3)
        word = np.zeros(len(word_address), np.int64)
        mask = np.zeros(len(word_address), np.int64)
        np.add.at(word, index, (flat & 0xFF) << lane)
        np.add.at(mask, index, np.int64(0xFF) << lane)
        return _records(word_address, word, mask)

    def gather(self, read_word: Callable[[int], int]) -> np.ndarray:
        """Collect the output through ``read_word(word address) -> uint32``.

        Returns:
            int32 [channels, rows, columns].
        """
        words: dict[int, int] = {}
        out = np.empty(self.addresses.size, np.int64)
        for i, address in enumerate(self.addresses.ravel().tolist()):
            base = address & ~3
            if base not in words:
                words[base] = read_word(base)
            out[i] = words[base] if self.wide else (words[base] >> (8 * (address & 3))) & 0xFF
        sign = 1 << (31 if self.wide else 7)
        return ((out ^ sign) - sign).reshape(self.shape).astype(np.int32)


@dataclass(frozen=True)
class LayerInfo:
    """Facts of one hardware layer for reports: sizes in bytes and kernel words, times in cycles."""

    name: str
    index: int
    operation: str
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    bits: int
    cycles: int
    macs: int
    weight_bytes: int
    bias_bytes: int
    words_per_processor: int
    first_word: int
    passes: int
    processors: int
    output_processors: int
    in_offset: int
    out_offset: int
    source: str = ""


@dataclass(frozen=True, eq=False)
class Program:
    """Everything the firmware writes to the accelerator, in order, and where the results are.

    Args:
        name: name of the network.
        layers: one entry per hardware layer, in running order.
        registers: complete configuration in writing order, initialisation included, without
            the writes that start the accelerator.
        start: the writes that start it, in order.
        weights: packed kernel streams (see the module description).
        biases: one bias byte per word.
        outputs: maps of all network outputs.
        input: the form of the input that :meth:`pack_input` expects.
        input_blocks: where its elements go.
        fifo: port to push the packed input into, None when it is stored before the start.
        startup_cycles: cycles before the first layer starts.
        decoder: who counts as a person, for networks whose outputs are pose maps.
        points: how its output is read, for a network with one map per point of one person.
        cleared: data memory that must be zero before the first inference and is kept from then on.
    """

    name: str
    layers: tuple[LayerInfo, ...]
    registers: tuple[RegisterWrite, ...]
    start: tuple[RegisterWrite, ...]
    weights: tuple[MemoryBlock, ...]
    biases: tuple[MemoryBlock, ...]
    outputs: tuple[OutputMap, ...]
    input: Input
    input_blocks: tuple[InputBlock, ...]
    fifo: FifoPort | None = None
    startup_cycles: int = 1
    notes: tuple[str, ...] = ()
    decoder: DecodeSettings = DEFAULTS
    points: PointMaps | None = None
    cleared: tuple[MemoryBlock, ...] = ()
    _cache: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of the input as the network was described."""
        return self.input.described_shape

    @property
    def cycles(self) -> int:
        """Accelerator cycles from the start to the interrupt."""
        return self.startup_cycles + sum(layer.cycles for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of one inference."""
        return sum(layer.macs for layer in self.layers)

    @property
    def weight_bytes(self) -> int:
        """Bytes of weight memory in use."""
        return sum(layer.weight_bytes for layer in self.layers)

    @property
    def bias_bytes(self) -> int:
        """Bytes of bias memory in use."""
        return sum(layer.bias_bytes for layer in self.layers)

    def pack_input(self, chw: np.ndarray) -> tuple[MemoryBlock, ...]:
        """Lay out one input for the accelerator.

        Args:
            chw: integers [channels, rows, columns] in -128..127, as the *network was described*
                (before legalisation, e.g. 3x128x128 for the pose student).

        Returns:
            Blocks to store before the start; with FIFOs one block, all of equal length, at the
            data address of each FIFO (see :class:`FifoPort`).

        Raises:
            UserError: wrong shape or values outside -128..127.
        """
        values = reference.fold_input(self.input, chw).reshape(-1)
        return tuple(block.filled(values) for block in self.input_blocks)

    def input_addresses(self) -> np.ndarray:
        """Absolute byte address of every element of the described input.

        Returns:
            int64 [channels, rows, columns]; -1 for an element that has no place of its own (one
            that goes through a FIFO).
        """
        stored = np.full(int(np.prod(self.input.shape)), -1, np.int64)
        for block in () if self.fifo is not None else self.input_blocks:
            used = block.elements >= 0
            stored[block.elements[used]] = block.address + np.flatnonzero(used)
        shape = self.input.described_shape
        order = reference.folded(self.input, np.arange(stored.size).reshape(shape))
        result = np.empty_like(stored)
        result[order.reshape(-1)] = stored
        return result.reshape(shape)

    def known_answer(self, expected: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the comparison stream of all outputs, ended by a zero word (uint32 [n])."""
        parts = [out.known_answer(expected[out.name]) for out in self.outputs]
        return np.concatenate([*parts, np.zeros(1, np.uint32)])

    @property
    def checksum(self) -> int:
        """CRC-32 over all weight, bias and register writes (addresses and values)."""
        if "checksum" not in self._cache:
            crc = 0
            for block in (*self.weights, *self.biases):
                crc = zlib.crc32(block.address.to_bytes(4, "little"), crc)
                crc = zlib.crc32(block.words.astype("<u4").tobytes(), crc)
            for write in (*self.registers, *self.start):
                crc = zlib.crc32(write.address.to_bytes(4, "little"), crc)
                crc = zlib.crc32(write.value.to_bytes(4, "little"), crc)
            self._cache["checksum"] = crc
        return self._cache["checksum"]


def _records(address: np.ndarray, word: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Group consecutive addresses with one mask into ``address, mask, n, words`` records."""
    order = np.argsort(address, kind="stable")
    address, word, mask = address[order], word[order], mask[order]
    breaks = (np.diff(address) != 4) | (np.diff(mask) != 0)
    starts = np.concatenate([[0], np.flatnonzero(breaks) + 1, [len(address)]])
    parts: list[np.ndarray] = []
    for first, last in itertools.pairwise(starts):
        parts.append(np.array([address[first], mask[first], last - first], np.int64))
        parts.append(word[first:last])
    return np.concatenate(parts).astype(np.uint32)
