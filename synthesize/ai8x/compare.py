"""Compares the final state a program leaves with a recorded bus trace.

The state is reconstructed from writes: registers, bias and data words by address, weight memory
as 72-bit kernel words. The order of writes does not matter, only what is left at the end. A trace
is uint32 [n, 4] = (1 write / 0 read, address, size in bytes, value).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.incoming import read_arrays
from synthesize.chip import limits, memory_map
from synthesize.chip.registers import describe, register_at
from synthesize.compiler import Compiled
from synthesize.graph.hardware import pixels_before
from synthesize.graph.masks import bits_of
from synthesize.program.program import MemoryBlock, Program, RegisterWrite

WORD_BYTES = limits.WEIGHT_WORD_BYTES


@dataclass
class State:
    """What writes left behind.

    Args:
        words: register, bias and data words by address.
        kernels: kernel words (9 bytes) by (processor, word number).
        pushed: words pushed into each FIFO, by address.
    """

    words: dict[int, int] = field(default_factory=dict)
    kernels: dict[tuple[int, int], bytes] = field(default_factory=dict)
    pushed: dict[int, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """One address whose final value differs; ``kernel``: (processor, kernel word) if it is one."""

    where: str
    ours: str
    theirs: str
    kernel: tuple[int, int] | None = None
    address: int = 0

    def __str__(self) -> str:
        return f"{self.where}: compiled {self.ours}, recorded {self.theirs}"


def state_of_trace(trace: np.ndarray) -> State:
    """Return the state that a recorded trace leaves."""
    state = State()
    writes = trace[trace[:, 0] == 1][:, 1:].astype(np.int64)
    address = writes[:, 0]
    offset = (address - memory_map.QUADRANT_BASE) % memory_map.QUADRANT_STRIDE
    weight_end = memory_map.WEIGHT_OFFSET + (
        limits.PROCESSORS_PER_QUADRANT * memory_map.WEIGHT_STRIDE
    )
    in_weights = (
        (address >= memory_map.QUADRANT_BASE)
        & (offset >= memory_map.WEIGHT_OFFSET)
        & (offset < weight_end)
    )
    for a, _, value in writes[~in_weights].tolist():
        if a in memory_map.FIFO_WRITE:
            state.pushed.setdefault(a, []).append(value)
        else:
            state.words[a] = value
    _replay_weights(state, writes[in_weights])
    return state


def state_of_program(program: Program, sample: np.ndarray | None) -> State:
    """Return the state that a program leaves, with ``sample`` loaded when given."""
    data = program.pack_input(sample) if sample is not None else ()
    writes = (*program.registers, *program.start)
    return state_of_writes(writes, program.weights, (*program.biases, *data))


def state_of_writes(
    writes: Iterable[RegisterWrite], weights: Iterable[MemoryBlock], blocks: Iterable[MemoryBlock]
) -> State:
    """Return the state that register writes, packed kernel streams and blocks of words leave.

    A block at the address of a FIFO is pushed into it.
    """
    state = State()
    for write in writes:
        state.words[write.address] = write.value
    for block in weights:
        _unpack_block(state, block)
    for block in blocks:
        if block.address in memory_map.FIFO_WRITE:
            state.pushed.setdefault(block.address, []).extend(block.words.tolist())
            continue
        for i, value in enumerate(block.words.tolist()):
            state.words[block.address + 4 * i] = value
    return state


def differences(ours: State, theirs: State) -> list[Difference]:
    """Return all differences, by address, registers described by name and fields."""
    result = []
    for address in sorted(set(ours.words) | set(theirs.words)):
        a, b = ours.words.get(address), theirs.words.get(address)
        place = register_at(address)
        if (a or 0) != (b or 0) or (place is None and (a is None) != (b is None)):
            where = f"{address:08x} ({describe(address)})"
            texts = _hex(address, a), _hex(address, b)
            result.append(Difference(where, *texts, address=address))
    for key in sorted(set(ours.kernels) | set(theirs.kernels)):
        first, second = ours.kernels.get(key), theirs.kernels.get(key)
        if first != second:
            where = f"kernel word {key[1]} of processor {key[0]}"
            result.append(Difference(where, _bytes(first), _bytes(second), key))
    for address in sorted(set(ours.pushed) | set(theirs.pushed)):
        if ours.pushed.get(address) != theirs.pushed.get(address):
            mine, other = (len(s.pushed.get(address, [])) for s in (ours, theirs))
            where = f"{address:08x} ({describe(address)})"
            texts = f"{mine} words", f"{other} words, or other values"
            result.append(Difference(where, *texts, address=address))
    return result


def read_trace(path: str | Path) -> np.ndarray:
    """Load the ``trace`` array of a recorded reference.

    Raises:
        UserError: missing or malformed file.
    """
    try:
        trace = read_arrays(Path(path))["trace"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{path}: no readable trace ({error}); give an .npz with 'trace'"
        ) from error
    if trace.ndim != 2 or trace.shape[1] != 4:
        raise UserError(f"{path}: 'trace' has shape {trace.shape}, expected [n, 4]")
    return np.asarray(trace)


def _replay_weights(state: State, writes: np.ndarray) -> None:
    """Follow the packed loader: a byte write selects a word, 32-bit writes follow."""
    selections = np.flatnonzero(writes[:, 1] == 1)
    for first, last in zip(selections, [*selections[1:], len(writes)], strict=True):
        select = int(writes[first, 0])
        words = writes[first + 1 : last, 2].astype(np.uint32)
        _unpack_block(state, MemoryBlock(select & ~3, words))


def _unpack_block(state: State, block: MemoryBlock) -> None:
    where = memory_map.locate(block.address)
    assert where is not None
    assert where.kind == "weight"
    data = block.words.astype(">u4").tobytes()
    for i in range(len(data) // WORD_BYTES):
        key = (where.index, where.offset // 4 + i)
        state.kernels[key] = data[i * WORD_BYTES : (i + 1) * WORD_BYTES]


def _hex(address: int, value: int | None) -> str:
    if value is None:
        return "nothing written"
    place = register_at(address)
    fields = f" ({place.register.text(value)})" if place else ""
    return f"{value:08x}{fields}"


def _bytes(value: bytes | None) -> str:
    return "nothing written" if value is None else value.hex()


MISPLACED = (
    "with weights narrower than 8 bits the public generator drops the empty kernels of processors "
    "that have no channel in the last pass, which shifts all later kernels of those processors; "
    "this compiler keeps them, so that the chip computes the known answer"
)


EXTRA_ZEROS = (
    "the public generator writes some more words, of zeros, behind the last kernel of a layer; no "
    "layer reads them"
)

GAPPED_BIASES = (
    "the public generator stores the biases of a layer whose output processors have gaps one "
    "after the other, but the chip counts outputs in the gaps as well, as the generator itself "
    "does for kernels; this compiler leaves their bytes free, which moves the biases behind them"
)

EQUAL_WEIGHTS = (
    "the public generator stores the weights of layers that have the same ones once; this compiler "
    "stores each layer's, which takes more weight memory and computes the same"
)

ROW_BEFORE = (
    "the public generator counts the row that a dilated convolution writes before its output in "
    "words of 8 bits without gaps, so that its own program writes a 32-bit output, or one with "
    "gaps, beside the place where it reads it; this compiler counts the words that are written"
)

ONE_FIFO = (
    "the public generator fills the first FIFOs only, four channels each, although the processors "
    "of the first layer read others; this compiler fills the FIFOs that are read"
)

QUADRANT_OFF = (
    "the public generator runs the quadrants that read and those of the last layer's output; this "
    "compiler also runs those into which only an earlier output is written, which moves biases"
)


def explain(found: list[Difference], compiled: Compiled) -> tuple[list[Difference], dict[str, int]]:
    """Separate differences that are defects of the recording generator from real ones.

    Returns:
        the unexplained differences, and the number of explained ones by reason.
    """
    ranges, behind = _kernels_known(compiled)
    network = _reasons_of_a_network(compiled)
    left = []
    explained: dict[str, int] = {}
    for difference in found:
        key = difference.kernel
        zeros = (_bytes(None), _bytes(bytes(WORD_BYTES)))
        if key is not None and any(a <= key[1] < b and key[0] in rows for a, b, rows in ranges):
            reason = MISPLACED
        elif key in behind and (difference.ours, difference.theirs) == zeros:
            reason = EXTRA_ZEROS
        else:
            reason = next((why for why, applies in network if applies(difference)), "")
        if reason:
            explained[reason] = explained.get(reason, 0) + 1
        else:
            left.append(difference)
    return left, explained


def _kernels_known(
    compiled: Compiled,
) -> tuple[list[tuple[int, int, set[int]]], set[tuple[int, int]]]:
    """Return where weights are misplaced (words from, to, processors), and words behind a layer."""
    ranges: list[tuple[int, int, set[int]]] = []
    behind: set[tuple[int, int]] = set()
    for layer, place in zip(compiled.legal.layers, compiled.placement.layers, strict=True):
        if layer.weight is None:
            continue
        end = place.first_word + place.words
        most = 4 + place.passes
        behind |= {(p, end + extra) for p in bits_of(place.processors) for extra in range(most)}
        if layer.bits == 8:
            continue
        missing = place.passes * place.in_per_pass - layer.in_shape[0]
        if place.passes > 1 and missing > 0 and not layer.flatten:
            ranges.append((place.first_word, end, set(bits_of(place.processors)[-missing:])))
    return ranges, behind


def _reasons_of_a_network(compiled: Compiled) -> list[tuple[str, Callable[[Difference], bool]]]:
    """Return the reasons that a network gives, each with which differences it explains."""
    unread = _unread_quadrants(compiled)
    places = compiled.placement.layers
    gapped = any(spot.has_gaps and spot.bias_quadrant is not None for spot in places)
    reasons: list[tuple[bool, str, Callable[[Difference], bool]]] = [
        (
            _equal_weights(compiled),
            EQUAL_WEIGHTS,
            lambda x: x.kernel is not None or _is_register(x, "MCNT", "ONED"),
        ),
        (gapped, GAPPED_BIASES, _moved_bias),
        (_fifos_not_full(compiled), ONE_FIFO, lambda x: x.address in memory_map.FIFO_WRITE),
        (_far_apart(compiled), ROW_BEFORE, lambda x: _is_register(x, "WPTR_BASE")),
        (bool(unread), QUADRANT_OFF, lambda x: _moved_bias(x) or _quadrant(x) in unread),
    ]
    return [(why, explains) for applies, why, explains in reasons if applies]


def _far_apart(compiled: Compiled) -> bool:
    """Whether a dilated layer writes a row before an output that has gaps or 32 bits."""
    pairs = zip(compiled.legal.layers, compiled.placement.layers, strict=True)
    return any(pixels_before(x) and (x.wide or place.write_gap > 0) for x, place in pairs)


def _unread_quadrants(compiled: Compiled) -> set[int]:
    """Return the quadrants that run only for an output of a layer that is not the last."""
    places = compiled.placement.layers
    read = places[-1].output_processors
    for place in places:
        read |= place.processors
    per = limits.PROCESSORS_PER_QUADRANT
    return {q for q in compiled.placement.quadrants if not read >> q * per & (1 << per) - 1}


def _quadrant(difference: Difference) -> int | None:
    """Return the quadrant a difference is in; -1 for the FIFOs, none for a kernel's word."""
    place = memory_map.locate(difference.address) if difference.address else None
    return place.quadrant if place is not None else None


def _moved_bias(difference: Difference) -> bool:
    """Whether a difference is in bias memory or in a register that says where biases are."""
    place = memory_map.locate(difference.address) if difference.address else None
    if place is not None and place.kind == "bias":
        return True
    return _is_register(difference, "POST", "LCTRL0")


def _is_register(difference: Difference, *names: str) -> bool:
    """Whether a difference is in one of the named registers."""
    found = register_at(difference.address) if difference.address else None
    return found is not None and found.register.name in names


def _equal_weights(compiled: Compiled) -> bool:
    """Whether two layers on the same processors have the same weights."""
    seen = set()
    for layer, place in zip(compiled.legal.layers, compiled.placement.layers, strict=True):
        if layer.weight is not None:
            key = (layer.weight.shape, layer.weight.tobytes(), layer.bits, place.processors)
            if key in seen:
                return True
            seen.add(key)
    return False


def _fifos_not_full(compiled: Compiled) -> bool:
    """Whether a FIFO that is read carries less than four channels while a later one is in use."""
    channels = bits_of(compiled.placement.layers[0].processors)
    used = {processor // limits.PROCESSORS_PER_QUADRANT for processor in channels}
    return compiled.placement.fifo and len(used) > -(-len(channels) // 4)
