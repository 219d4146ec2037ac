"""Replays a recorded list of bus accesses into the virtual accelerator.

A recording is an ``.npz`` file with

* ``trace``: uint32 [n, 4], rows of (1 write / 0 read, address, size in bytes, value), from
  power-up to just before the program waits for the interrupt;
* ``expected``: uint32, the known answer: (address, mask, length, words...) repeated, then 0.

A read in the recording must return the recorded value. After the last access the run is brought
to its end and the memory compared with ``expected``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.arguments import Parser, to_folder
from common.console import say
from common.errors import UserError
from common.incoming import read_arrays
from evalkit.dump import LayerDump
from evalkit.hardware.cnn import Cnn, KitFault
from synthesize.chip import limits, memory_map, registers
from synthesize.chip.cycles import STARTUP_CYCLES

Words = NDArray[np.uint32]

_WRITE, _ADDRESS, _SIZE, _VALUE = range(4)


class ReplayError(Exception):
    """The replay came out differently from the recording."""


@dataclass(frozen=True)
class Expected:
    """One block of the known answer: ``words`` from ``address``, compared under ``mask``."""

    address: int
    mask: int
    words: Words


@dataclass(frozen=True)
class Recording:
    """A recording, checked: every access lies inside the accelerator's window."""

    trace: Words
    expected: tuple[Expected, ...]


def load_recording(path: Path) -> Recording:
    """Read and check a recording.

    Raises:
        UserError: not a recording, malformed, or with addresses outside the map.
    """
    try:
        arrays = read_arrays(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give the .npz file of a recording") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a recording (.npz with trace and expected)") from error
    missing = {"trace", "expected"} - set(arrays)
    if missing:
        raise UserError(
            f"{path} has no array {' and '.join(sorted(missing))}; a recording has trace and "
            "expected"
        )
    trace, expected = arrays["trace"], arrays["expected"]
    _check_trace(path, trace)
    return Recording(trace, tuple(_parse_expected(path, expected)))


def _check_trace(path: Path, trace: Words) -> None:
    if trace.ndim != 2 or trace.shape[1] != 4 or trace.dtype != np.uint32:
        raise UserError(
            f"{path}: trace is {trace.dtype} {list(trace.shape)}; it must be uint32 [n, 4]"
        )
    for row in np.flatnonzero(trace[:, _WRITE] > 1)[:1]:
        raise UserError(f"{path}: access {row} is neither a write (1) nor a read (0)")
    for row in np.flatnonzero(~np.isin(trace[:, _SIZE], (1, 2, 4)))[:1]:
        raise UserError(f"{path}: access {row} has {trace[row, _SIZE]} bytes, not 1, 2 or 4")
    address = trace[:, _ADDRESS]
    outside = (address < memory_map.CNN_BASE) | (address >= memory_map.CNN_END)
    for row in np.flatnonzero(outside)[:1]:
        raise UserError(
            f"{path}: access {row} is to 0x{address[row]:08x}, outside the accelerator's window"
            f" 0x{memory_map.CNN_BASE:08x} to 0x{memory_map.CNN_END - 1:08x}"
        )
    nowhere = _first_unmapped(address)
    if nowhere is not None:
        row = int(np.flatnonzero(address == nowhere)[0])
        raise UserError(
            f"{path}: access {row} is to 0x{nowhere:08x}, where the accelerator has no register"
            " or memory"
        )


def _first_unmapped(address: Words) -> int | None:
    """An address at which the chip has nothing, or None; the window has been checked."""
    pages = address >> 14
    for page in np.unique(pages):
        where = memory_map.locate(int(page) << 14)
        if where is not None and where.kind in ("data", "weight"):
            continue
        for value in np.unique(address[pages == page]):
            where = memory_map.locate(int(value))
            known = registers.register_at(int(value) & ~3)
            if where is None or (where.kind in ("register", "fifo") and known is None):
                return int(value)
    return None


def _parse_expected(path: Path, stream: Words) -> list[Expected]:
    if stream.ndim != 1 or stream.dtype != np.uint32:
        raise UserError(
            f"{path}: expected is {stream.dtype} {list(stream.shape)}; it must be uint32 [n]"
        )
    blocks = []
    at = 0
    while at < len(stream) and stream[at]:
        if at + 3 > len(stream):
            break
        address, mask, length = (int(v) for v in stream[at : at + 3])
        words = stream[at + 3 : at + 3 + length]
        if len(words) < length or not length:
            break
        for end in (address, address + 4 * length - 4):
            where = memory_map.locate(end)
            if end & 3 or where is None or where.kind != "data":
                raise UserError(
                    f"{path}: expected block at 0x{address:08x} does not lie in data memory"
                )
        blocks.append(Expected(address, mask, words))
        at += 3 + length
    if at != len(stream) - 1 or stream[at] or not blocks:
        raise UserError(f"{path}: expected breaks off at word {at}; it must end with 0")
    return blocks


def play(cnn: Cnn, trace: Words) -> None:
    """Feed recorded accesses; runs of consecutive word writes go as blocks.

    Raises:
        KitFault: an access or a layer that the hardware would not do.
        ReplayError: a read that returns something else than recorded.
    """
    for start, end in _runs(trace):
        write, address, size, value = (int(v) for v in trace[start])
        if end - start > 1:
            cnn.write_block(address, trace[start:end, _VALUE])
        elif write:
            cnn.write(address, size, value)
        else:
            got = cnn.read(address, size)
            if got != value:
                raise ReplayError(
                    f"access {start}: reading 0x{address:08x} ({registers.describe(address)})"
                    f" gives 0x{got:08x}, recorded was 0x{value:08x}"
                )


def _runs(trace: Words) -> list[tuple[int, int]]:
    """First and last-plus-one access of every run of word writes to consecutive addresses."""
    if not len(trace):
        return []
    word_write = (trace[:, _WRITE] == 1) & (trace[:, _SIZE] == 4)
    joined = word_write[1:] & word_write[:-1]
    address = trace[:, _ADDRESS].astype(np.int64)
    joined &= np.diff(address) == 4
    first = np.flatnonzero(np.concatenate(([True], ~joined)))
    return list(zip(first.tolist(), [*first[1:].tolist(), len(trace)], strict=True))


def compare(cnn: Cnn, expected: tuple[Expected, ...]) -> int:
    """Compare the memory with the known answer; returns the number of words that agree.

    Raises:
        ReplayError: the first difference, by address and layer.
    """
    count = 0
    for block in expected:
        try:
            got = cnn.read_block(block.address, len(block.words))
        except KitFault as fault:
            raise ReplayError(f"the known answer cannot be read: {fault}") from fault
        wrong = np.flatnonzero((got ^ block.words) & block.mask)
        if len(wrong):
            at = int(wrong[0])
            address = block.address + 4 * at
            layer = cnn.writer_of(address)
            by = "the bus" if layer < 0 else f"layer {layer}"
            raise ReplayError(
                f"0x{address:08x} ({registers.describe(address)}, written by {by}) holds"
                f" 0x{got[at]:08x}, expected 0x{block.words[at]:08x} under mask"
                f" 0x{block.mask:08x}"
            )
        count += len(block.words)
    return count


def replay(path: Path, dump: Path | None = None) -> str:
    """Replay one recording to its end and compare; returns a line that says what happened.

    Args:
        path: the recording.
        dump: folder for each layer's input and output, or None.

    Raises:
        UserError: the recording is malformed.
        KitFault, ReplayError: it does not come out as recorded.
    """
    recording = load_recording(path)
    cnn = Cnn(LayerDump(dump) if dump is not None else None)
    play(cnn, recording.trace)
    cnn.finish()
    words = compare(cnn, recording.expected)
    cycles = STARTUP_CYCLES + sum(c for _, c in cnn.layer_cycles)
    time = 1000 * cycles / limits.CNN_CLOCK_HZ
    return (
        f"PASS: {words} words agree; {len(cnn.layer_cycles)} layers, {cycles} cycles"
        f" ({time:.2f} ms at {limits.CNN_CLOCK_HZ // 1_000_000} MHz)"
    )


def main(arguments: list[str]) -> int:
    """``evalkit replay TRACE``: 0 if it comes out as recorded, else 1."""
    parser = Parser(prog="evalkit replay", description="Replay a recorded list of bus accesses.")
    parser.add_argument("trace", type=Path, help=".npz with the arrays trace and expected")
    parser.add_argument(
        "--dump-layers",
        type=to_folder,
        metavar="DIR",
        help="write each layer's input and output there",
    )
    options = parser.parse_args(arguments)
    try:
        print(replay(options.trace, options.dump_layers))
    except (KitFault, ReplayError) as error:
        say(f"FAIL: {error}", sys.stderr)
        return 1
    return 0
