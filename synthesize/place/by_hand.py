"""Placement that follows a hand-written network description.

The search for a placement without description is in :mod:`synthesize.place.search`. Both end in
:func:`synthesize.place.memories.complete`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from common.errors import UserError
from synthesize.chip import limits, registers
from synthesize.graph.hardware import channels_per_pass
from synthesize.graph.hints import BufferPlace, Hints
from synthesize.graph.ir import DataBuffer, Graph, Layer, at
from synthesize.graph.masks import bit_count, bits_of, first_bit
from synthesize.place.memories import complete, used_quadrants
from synthesize.place.placement import LayerPlace, Placement
from synthesize.place.reserved import NOTHING, Reserved


def by_hand(graph: Graph, hints: Hints, reserved: Reserved = NOTHING) -> Placement:
    """Turn a hand-written placement into a complete one.

    Raises:
        UserError: the masks do not fit the channel counts, or a memory overflows.
    """
    places = []
    for i, layer in enumerate(graph.layers):
        hint = hints.layers[i]
        passes, in_per_pass = channels_per_pass(layer.in_shape[0])
        out_passes, out_per_pass = channels_per_pass(layer.out_shape[0])
        outputs = _output_mask(graph, hints, i)
        _check_mask(layer, "input", layer.in_shape[0], hint.processors, in_per_pass)
        _check_inherited(graph, hints, i)
        _check_mask(layer, "output", layer.out_shape[0], outputs, out_per_pass)
        _check_gap(layer, hint.write_gap, out_passes)
        if hints.chw and i == 0:
            _check_one_by_one(layer, hint.processors)
        places.append(
            LayerPlace(
                processors=hint.processors,
                output_processors=outputs,
                in_offset=_in_offset(graph, hints, i),
                out_offset=hint.out_offset,
                passes=passes,
                in_per_pass=in_per_pass,
                out_passes=out_passes,
                out_per_pass=out_per_pass,
                write_gap=hint.write_gap,
                streaming=hint.streaming,
            )
        )
    wishes = [hint.bias_quadrants for hint in hints.layers]
    _check_quadrants(graph, wishes, used_quadrants(graph, places, hand=True))
    fifo = hints.fifo or hints.layers[0].streaming
    placed = complete(graph, places, wishes, hints.chw, fifo, hand=True, reserved=reserved)
    if graph.buffer is None or hints.buffer is None:
        return placed
    _check_buffer(graph.buffer, hints.buffer)
    return replace(placed, buffer=hints.buffer)


def _output_mask(graph: Graph, hints: Hints, index: int) -> int:
    """Return where a layer writes: as stated, else where the next one reads, else the lowest."""
    stated = hints.layers[index].output_processors
    if stated is not None:
        return stated
    if index + 1 < len(graph.layers):
        return hints.layers[index + 1].processors
    return (1 << channels_per_pass(graph.layers[index].out_shape[0])[1]) - 1


def _check_inherited(graph: Graph, hints: Hints, index: int) -> None:
    """Refuse a wrong mask of the next layer there, not where this layer writes by it."""
    if hints.layers[index].output_processors is None and index + 1 < len(graph.layers):
        reader = graph.layers[index + 1]
        if graph.layers[index].name in reader.inputs:
            channels = reader.in_shape[0]
            mask = hints.layers[index + 1].processors
            _check_mask(reader, "input", channels, mask, channels_per_pass(channels)[1])


def _in_offset(graph: Graph, hints: Hints, index: int) -> int:
    hint = hints.layers[index]
    if hint.in_offset is not None:
        return hint.in_offset
    return hints.layers[index - 1].out_offset if index else 0


def _check_quadrants(
    graph: Graph, wishes: Sequence[tuple[int, ...] | None], used: tuple[int, ...]
) -> None:
    """Refuse a bias memory of a quadrant that does not run."""
    for layer, wish in zip(graph.layers, wishes, strict=True):
        for quadrant in wish or ():
            if quadrant not in used:
                raise UserError(
                    f"{at(layer)}bias_quadrant {quadrant} is not used by this network, which runs "
                    f"in {', '.join(map(str, used))}; name one of these"
                )


def _check_gap(layer: Layer, gap: int, out_passes: int) -> None:
    """Refuse a gap that the write pointer's increment cannot express."""
    words = registers.LCTRL1.by_name["wptr_inc"].maximum + 1
    most = (words if layer.op == "passthrough" else words // out_passes) - 1
    if gap > most:
        raise UserError(
            f"{at(layer)}a write_gap of {gap} is not possible with {out_passes} output passes, the "
            f"largest is {most}; use a smaller gap or fewer output channels"
        )


def _check_buffer(buffer: DataBuffer, place: BufferPlace) -> None:
    """Refuse a data buffer whose mask or size does not fit."""
    channels, rows, cols = buffer.shape
    passes, per_pass = channels_per_pass(channels)
    where = f"{buffer.where}: data buffer {buffer.name}: "
    if bit_count(place.processors) != per_pass:
        raise UserError(
            f"{where}{channels} channels need {per_pass} processors, but the mask "
            f"0x{place.processors:016x} has {bit_count(place.processors)}; correct the mask"
        )
    end = place.offset + 4 * rows * cols * passes
    if end > limits.DATA_INSTANCE_BYTES:
        raise UserError(
            f"{where}it ends at byte {end} of a data memory that has {limits.DATA_INSTANCE_BYTES}; "
            "use a smaller offset or fewer rows"
        )


def _check_one_by_one(layer: Layer, mask: int) -> None:
    """Refuse processors that cannot read an input of one channel per data memory.

    Source: ai8x-synthesis README, "CHW Input Data Format and Consequences for Weight Memory
    Layout"; its generator has neither operands nor several passes there (``izer/load.py``).
    """
    if layer.operands > 1 or layer.in_shape[0] > limits.DATA_INSTANCES:
        what = (
            f"{layer.operands} operands" if layer.operands > 1 else f"{layer.in_shape[0]} channels"
        )
        raise UserError(
            f"{at(layer)}data_format CHW holds one channel in each of {limits.DATA_INSTANCES} data "
            f"memories, but the input has {what}; use HWC"
        )
    wrong = [p for p in bits_of(mask) if p % limits.PROCESSORS_PER_INSTANCE]
    if wrong:
        raise UserError(
            f"{at(layer)}processor {wrong[0]} cannot read data_format CHW, only the first "
            "processor of a data memory can; use every fourth processor, e.g. 0x0111 for 3 channels"
        )


def _check_mask(layer: Layer, side: str, channels: int, mask: int, per_pass: int) -> None:
    if bit_count(mask) != per_pass:
        raise UserError(
            f"{at(layer)}{channels} {side} channels need {per_pass} processors, but the mask "
            f"0x{mask:016x} has {bit_count(mask)}; correct the mask"
        )
    unaligned = first_bit(mask) % limits.PROCESSORS_PER_INSTANCE
    if side == "output" and unaligned and channels > limits.PROCESSORS:
        raise UserError(
            f"{at(layer)}the output processors 0x{mask:016x} must start at a multiple of 4, "
            f"because {channels} channels are written in several passes; choose such a mask"
        )
