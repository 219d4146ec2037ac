"""Bytes of a placed network: kernel words, biases, input words, output addresses.

Layouts (sources: ai8x-synthesis ``izer/kernels.py``, ``kbias.py``, ``load.py``, ``unload.py``):

* Kernels of a processor are numbered ``(output position * pixels + pixel) * passes + pass``
  (pixels > 1 only when flattening). ``8 / bits`` consecutive kernels share their bytes, the first
  in the lowest bits. A kernel's bytes are stored last tap first; nine of these bytes fill a
  72-bit word from its lowest byte upwards.
* A data word of pixel ``i``, pass ``p`` and operand ``o`` lies at
  ``offset + 4 * ((i * passes + p) * operands + o)``.
"""

from __future__ import annotations

import numpy as np

from synthesize.chip import limits, memory_map
from synthesize.graph.hardware import as_run, channels_per_pass, pixels_flattened
from synthesize.graph.ir import Graph, Input, Layer, Output
from synthesize.graph.masks import bits_of
from synthesize.place.memories import bias_numbers, used_words
from synthesize.place.placement import LayerPlace, Placement
from synthesize.program.program import InputBlock, MemoryBlock, OutputMap

WORD_BYTES = limits.WEIGHT_WORD_BYTES
_LANES = limits.PROCESSORS_PER_INSTANCE


def weight_blocks(graph: Graph, placement: Placement) -> tuple[MemoryBlock, ...]:
    """Return the packed kernel streams of all processors, one block per contiguous run."""
    memory = np.zeros((limits.PROCESSORS, limits.WEIGHT_WORDS, WORD_BYTES), np.uint8)
    used = np.zeros((limits.PROCESSORS, limits.WEIGHT_WORDS), bool)
    for layer, place in zip(graph.layers, placement.layers, strict=True):
        if layer.weight is None:
            continue
        rows = bits_of(place.processors)
        words = slice(place.first_word, place.first_word + place.words)
        chosen = used_words(layer, place)
        memory[rows, words] |= kernel_stream(layer, place) * chosen[:, None].astype(np.uint8)
        used[rows, words] |= chosen
    blocks = []
    for processor in range(limits.PROCESSORS):
        for start, end in _runs(used[processor]):
            blocks.append(
                MemoryBlock(
                    memory_map.weight_address(processor) + 4 * start,
                    _big_endian_words(memory[processor, start:end].reshape(-1)),
                    f"processor {processor}, kernel words {start} to {end - 1}",
                )
            )
    return tuple(blocks)


def kernel_stream(layer: Layer, place: LayerPlace) -> np.ndarray:
    """Return the kernel words of one layer, uint8 [processors, words, 9]."""
    kernels = _numbered_kernels(as_run(layer), place)
    processors, count, taps = kernels.shape
    group = 8 // layer.bits
    pad = -count % group
    kernels = np.pad(kernels, ((0, 0), (0, pad), (0, 0)))
    narrow = (kernels & np.uint8((1 << layer.bits) - 1)).reshape(processors, -1, group, taps)
    shifts = (np.arange(group, dtype=np.uint8) * layer.bits)[:, None]
    packed = np.bitwise_or.reduce(narrow << shifts, axis=2)
    stream = packed[:, :, ::-1].reshape(processors, -1)
    stream = np.pad(stream, ((0, 0), (0, place.words * WORD_BYTES - stream.shape[1])))
    return stream.reshape(processors, place.words, WORD_BYTES)[:, :, ::-1]


def _numbered_kernels(layer: Layer, place: LayerPlace) -> np.ndarray:
    """Return uint8 [processors, kernels, taps], kernels numbered as the module says.

    Numbers below zero are in two's complement.
    """
    assert layer.weight is not None
    pixels = pixels_flattened(layer)
    outputs = layer.weight.shape[0]
    taps = layer.kernel[0] * layer.kernel[1]
    channels = layer.in_shape[0]
    positions = place.kernels // (pixels * place.passes)
    padded = np.zeros((positions, place.passes * place.in_per_pass, pixels, taps), np.uint8)
    kernels = layer.weight.astype(np.uint8).reshape(outputs, channels, pixels, taps)
    padded[place.counted(outputs), :channels] = kernels
    split = padded.reshape(positions, place.passes, place.in_per_pass, pixels, taps)
    ordered = split.transpose(2, 0, 3, 1, 4)
    return ordered.reshape(place.in_per_pass, positions * pixels * place.passes, taps)


def bias_blocks(graph: Graph, placement: Placement) -> tuple[MemoryBlock, ...]:
    """Return the contents of the bias memories, one byte per word, one block per quadrant.

    Bytes that another network keeps are not among them.
    """
    size = limits.BIAS_BYTES_PER_QUADRANT
    memory = np.zeros((limits.QUADRANTS, size), np.uint32)
    begin = placement.reserved.biases
    filled = list(begin)
    for i, (layer, place) in enumerate(zip(graph.layers, placement.layers, strict=True)):
        if place.bias_quadrant is None or layer.bias is None:
            continue
        numbers = np.array(bias_numbers(layer, place, first=i == 0)) + place.bias_offset
        memory[place.bias_quadrant, numbers] = layer.bias & 0xFF
        filled[place.bias_quadrant] = max(filled[place.bias_quadrant], int(numbers[-1]) + 1)
    return tuple(
        MemoryBlock(
            memory_map.bias_address(q, begin[q]),
            memory[q, begin[q] : filled[q]],
            f"biases, quadrant {q}",
        )
        for q in range(limits.QUADRANTS)
        if filled[q] > begin[q]
    )


def input_blocks(source: Input, placement: Placement, operands: int = 1) -> tuple[InputBlock, ...]:
    """Return where every element of the input goes for the first layer.

    ``operands``: of an element-wise first layer, when the input holds all of them.
    """
    place = placement.layers[0]
    channels, rows, cols = source.shape
    numbers = np.arange(channels * rows * cols, dtype=np.int32).reshape(channels, rows * cols)
    if placement.chw:
        return _chw_blocks(numbers, place, placement.fifo)
    if placement.fifo:
        return _fifo_blocks(numbers, place)
    return _hwc_blocks(numbers, place, operands)


def _hwc_blocks(numbers: np.ndarray, place: LayerPlace, operands: int) -> tuple[InputBlock, ...]:
    """Four channels per word; passes, and stacked operands in each, interleaved pixel by pixel."""
    channels, pixels = len(numbers) // operands, numbers.shape[1]
    padded = np.full((operands, place.passes * place.in_per_pass, pixels), -1, np.int32)
    padded[:, :channels] = numbers.reshape(operands, channels, pixels)
    by_pass = padded.reshape(operands, place.passes, place.in_per_pass, pixels)
    blocks = []
    for instance, lanes in _instances(place.processors):
        elements = np.full((pixels, place.passes, operands, _LANES), -1, np.int32)
        for index, lane in lanes:
            elements[..., lane] = by_pass[:, :, index].transpose(2, 1, 0)
        address = memory_map.instance_address(instance) + place.in_offset
        comment = f"input, data memory {instance}"
        blocks.append(InputBlock(address, elements.reshape(-1, _LANES), comment))
    return tuple(blocks)


def _chw_blocks(numbers: np.ndarray, place: LayerPlace, fifo: bool) -> tuple[InputBlock, ...]:
    """One channel per data memory or FIFO, four neighbouring pixels per word."""
    blocks = []
    for channel, processor in enumerate(bits_of(place.processors)):
        elements = np.pad(
            numbers[channel], (0, -numbers.shape[1] % _LANES), constant_values=-1
        ).reshape(-1, _LANES)
        address = memory_map.data_address(processor) + place.in_offset
        if fifo:
            address = memory_map.FIFO_WRITE[processor // limits.PROCESSORS_PER_QUADRANT]
        blocks.append(InputBlock(address, elements, f"input, channel {channel}"))
    return tuple(blocks)


def _fifo_blocks(numbers: np.ndarray, place: LayerPlace) -> tuple[InputBlock, ...]:
    """Words to push, one block per FIFO; FIFO k feeds the first processors of quadrant k."""
    blocks = []
    for instance, lanes in _instances(place.processors):
        elements = np.full((numbers.shape[1], _LANES), -1, np.int32)
        for index, lane in lanes:
            elements[:, lane] = numbers[index]
        fifo = instance * limits.PROCESSORS_PER_INSTANCE // limits.PROCESSORS_PER_QUADRANT
        blocks.append(InputBlock(memory_map.FIFO_WRITE[fifo], elements, f"input, FIFO {fifo}"))
    return tuple(blocks)


def _instances(mask: int) -> list[tuple[int, list[tuple[int, int]]]]:
    """Return for each data memory of a mask: its number and (channel in the pass, lane) pairs."""
    result: dict[int, list[tuple[int, int]]] = {}
    for index, processor in enumerate(bits_of(mask)):
        instance, lane = divmod(processor, limits.PROCESSORS_PER_INSTANCE)
        result.setdefault(instance, []).append((index, lane))
    return sorted(result.items())


def cleared_blocks(graph: Graph, placement: Placement) -> tuple[MemoryBlock, ...]:
    """Return the zeros that the data buffer holds before the first inference."""
    if graph.buffer is None or placement.buffer is None:
        return ()
    channels, rows, cols = graph.buffer.shape
    words = np.zeros(rows * cols * channels_per_pass(channels)[0], np.uint32)
    return tuple(
        MemoryBlock(
            memory_map.instance_address(instance) + placement.buffer.offset,
            words,
            f"data buffer {graph.buffer.name}, data memory {instance}",
        )
        for instance, _ in _instances(placement.buffer.processors)
    )


def output_map(layer: Layer, place: LayerPlace, index: int, output: Output) -> OutputMap:
    """Return where the elements of an output lie in data memory."""
    shape = (output.channels, layer.out_shape[1], layer.out_shape[2])
    addresses = element_addresses(layer, place)
    chosen = addresses[output.first : output.first + output.channels]
    return OutputMap(output.name, index, shape, layer.wide, chosen)


def element_addresses(layer: Layer, place: LayerPlace) -> np.ndarray:
    """Return int64 [channels, rows, columns], the byte address of every element a layer writes."""
    channels, rows, cols = layer.out_shape
    number = np.arange(channels)
    out_pass, position = np.divmod(number, place.out_per_pass)
    processor = np.array(bits_of(place.output_processors))[position]
    instance, lane = np.divmod(processor, limits.PROCESSORS_PER_INSTANCE)
    base = np.array([memory_map.instance_address(i) for i in range(limits.DATA_INSTANCES)])
    width = 4 if layer.wide else 1
    step = place.write_gap + 1
    within = out_pass * width * step * 4 + lane * width
    pixel = np.arange(rows * cols) * (place.out_passes * width * step * 4)
    start = base[instance] + place.out_offset + within
    return (start[:, None] + pixel[None, :]).reshape(channels, rows, cols)


def _runs(used: np.ndarray) -> list[tuple[int, int]]:
    """Return (start, end) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], used.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _big_endian_words(data: np.ndarray) -> np.ndarray:
    """Return bytes as uint32, the first byte of each word in its highest bits."""
    padded = data.tobytes() + bytes(-len(data) % 4)
    return np.frombuffer(padded, ">u4").astype(np.uint32)
