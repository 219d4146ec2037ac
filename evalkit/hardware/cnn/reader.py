"""What a layer reads: its input from data memory, and which of it nobody wrote."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from evalkit.hardware.cnn.memory import DataMemory
from evalkit.hardware.cnn.plan import Layer
from evalkit.hardware.faults import KitFault
from synthesize.chip import limits, registers

Bools = NDArray[np.bool_]

_PER_INSTANCE = limits.PROCESSORS_PER_INSTANCE
_PER_QUADRANT = limits.PROCESSORS_PER_QUADRANT


def read_input(layer: Layer, source: DataMemory) -> tuple[NDArray[np.int8], Bools | None]:
    """Input of a layer, int8 [channel, operand, row, column], and which bytes have been written.

    The second is bool of the same shape, or None where all have been.

    Raises:
        KitFault: the input runs over the memory, or is partly overwritten by another layer.
    """
    parts: list[NDArray[np.uint8]] = []
    written: list[Bools | None] = []
    quadrants = sorted({p // _PER_QUADRANT for p in layer.processors})
    for _, neighbours in groupby(quadrants, key=layer.read_word.__getitem__):
        chosen = tuple(neighbours)
        local = [p for p in layer.processors if p // _PER_QUADRANT in chosen]
        first, last = local[0] // _PER_INSTANCE, local[-1] // _PER_INSTANCE
        words = _input_slice(layer, source, chosen[0])
        for quadrant in chosen:
            own = sorted({p // _PER_INSTANCE for p in local if p // _PER_QUADRANT == quadrant})
            _check_mixture(layer, source, own, words)
        lanes = [p - first * _PER_INSTANCE for p in local]
        parts.append(_lanes(layer, source.bytes[first : last + 1, words], lanes))
        known = source.known[first : last + 1, words]
        written.append(None if known.all() else _lanes(layer, known, lanes))
    data = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    shaped = _shape_input(layer, data).view(np.int8)
    if all(w is None or w.all() for w in written):
        return shaped, None
    pairs = zip(parts, written, strict=True)
    flags = np.concatenate([np.ones_like(p, bool) if w is None else w for p, w in pairs], axis=1)
    return shaped, _shape_input(layer, flags)


def _input_slice(layer: Layer, source: DataMemory, quadrant: int) -> slice:
    start = layer.read_word[quadrant]
    count = layer.input_words
    if start + count > source.capacity:
        raise KitFault.in_layer(
            layer.number,
            quadrant,
            registers.RPTR_BASE,
            f"{count} input words from word {start} run over the"
            f" {source.capacity} words of a data memory instance",
            "rptr_base",
        )
    return slice(start, start + count)


def _lanes(layer: Layer, words: NDArray, lanes: list[int]) -> NDArray:
    """Bytes [instance, word, 4] -> [byte sequence, processor] of the chosen lanes."""
    if layer.parallel:
        return words[[lane // _PER_INSTANCE for lane in lanes]].reshape(len(lanes), -1).T
    # Whole words are moved, which is a quarter of the work.
    whole = np.ascontiguousarray(words.view(np.uint32)[:, :, 0].T).view(words.dtype)
    if lanes == list(range(whole.shape[1])):
        return whole
    return whole[:, lanes]


def _check_mixture(layer: Layer, source: DataMemory, instances: list[int], words: slice) -> None:
    """Fault if the input is an output that another layer has partly overwritten."""
    mixed = source.note_read(instances, words)
    if mixed is None:
        return
    instance, word, writer = mixed
    victim = "the input" if writer < 0 else f"the output of layer {writer}"
    raise KitFault.in_layer(
        layer.number,
        4 * instance // _PER_QUADRANT,
        registers.RPTR_BASE,
        f"reads {victim}, but layer {source.writer[instance, word]} overwrote word {word} of"
        f" data memory {instance} before it was read",
        "rptr_base",
    )


def _shape_input(layer: Layer, data: NDArray) -> NDArray:
    """[byte sequence, processor] -> [channel, operand, row, column]."""
    pixels = layer.rows * layer.columns
    if layer.parallel:
        return data[:pixels].T.reshape(-1, 1, layer.rows, layer.columns)
    shape = (layer.rows, layer.columns, layer.passes, layer.operands, data.shape[1])
    moved = data.reshape(shape).transpose(2, 4, 3, 0, 1)
    return moved.reshape(-1, layer.operands, layer.rows, layer.columns)


def missing_pixels(layer: Layer, known: Bools, used: Bools) -> Bools | None:
    """Input pixels, bool [row, column], that nobody wrote; None where all are there.

    Only pixels of the last row behind its first may be missing: programs round their input up to
    whole rows and leave unused what this spoils; that may lie there when the next layer does the
    same. Anything else is a fault.

    Args:
        known: as ``read_input`` returns them.
        used: channels with a weight that is not zero; the others do not count.
    """
    missing = np.asarray((~known[used]).any(axis=(0, 1)), bool)
    if not missing.any():
        return None
    first = int(np.flatnonzero(missing.reshape(-1))[0])
    if first == 0 or missing.size - first >= layer.columns:
        raise _unwritten(layer, known, used)
    return missing


def _unwritten(layer: Layer, known: Bools, used: Bools) -> KitFault:
    """The fault for the first unwritten byte of a channel that is used."""
    channel = int(np.flatnonzero(~known.reshape(len(known), -1).all(axis=1) & used)[0])
    operand, row, column = (int(i) for i in np.argwhere(~known[channel])[0])
    step, position = divmod(channel, len(layer.processors))
    processor = layer.processors[position]
    quadrant = processor // _PER_QUADRANT
    word = _input_word(layer, quadrant, operand, row, column, step)
    return KitFault.in_layer(
        layer.number,
        quadrant,
        registers.RPTR_BASE,
        f"processor {processor} reads word {word} of data memory"
        f" {processor // _PER_INSTANCE} (row {row}, column {column}, pass {step}, operand"
        f" {operand}), which nobody wrote{_hint(layer)}",
        "rptr_base",
    )


def _hint(layer: Layer) -> str:
    if layer.operands == 1:
        return ""
    return f"; the {layer.operands} operands must be interleaved word by word"


def _input_word(layer: Layer, quadrant: int, operand: int, row: int, column: int, step: int) -> int:
    pixel = row * layer.columns + column
    if layer.parallel:
        return layer.read_word[quadrant] + pixel // 4
    return layer.read_word[quadrant] + (pixel * layer.passes + step) * layer.operands + operand
