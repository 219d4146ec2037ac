"""Gives every layer of a placement its kernel words and its biases.

The weight memory is filled like the public generator does it (ai8x-synthesis
``izer/kernels.py``): first the layers that use all 64 processors, then the others, each at the
first multiple of four words that is free in all its processors. Biases
(``izer/kbias.py``): flattening layers first, then layers bound to one quadrant, then by falling
size, each in the quadrant with the fewest bytes so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from common.errors import UserError
from synthesize.chip import limits
from synthesize.graph.hardware import as_run, pixels_flattened
from synthesize.graph.ir import Graph, Layer, at
from synthesize.graph.masks import bit_count, bits_of
from synthesize.place.placement import LayerPlace, Placement
from synthesize.place.reserved import NOTHING, Reserved

ALL_PROCESSORS = (1 << limits.PROCESSORS) - 1
KERNEL_ALIGNMENT = 4
"""Layers start at a multiple of this many kernel words."""


def complete(
    graph: Graph,
    places: Sequence[LayerPlace],
    bias_wishes: Sequence[tuple[int, ...] | None] | None = None,
    chw: bool = False,
    fifo: bool = False,
    hand: bool = False,
    reserved: Reserved = NOTHING,
) -> Placement:
    """Give every layer its kernel words and its place in the bias memories.

    Raises:
        UserError: the weight or bias memory overflows; the message names the layer and the words.
    """
    quadrants = used_quadrants(graph, places, hand)
    full = [
        replace(place, words=kernel_words(layer, place), kernels=kernel_count(layer, place))
        for layer, place in zip(graph.layers, places, strict=True)
    ]
    starts = allocate_words(graph, full, reserved)
    full = [replace(p, first_word=s) for p, s in zip(full, starts, strict=True)]
    biases = allocate_biases(graph, full, quadrants, bias_wishes, reserved)
    full = [
        replace(p, bias_quadrant=b[0], bias_offset=b[1]) if b else p
        for p, b in zip(full, biases, strict=True)
    ]
    return Placement(tuple(full), quadrants, chw=chw, fifo=fifo, by_hand=hand, reserved=reserved)


def used_quadrants(
    graph: Graph, places: Sequence[LayerPlace], hand: bool = False
) -> tuple[int, ...]:
    """Return the quadrants that have to run: those that read or receive data.

    With a hand-written placement these are the quadrants with a processor that reads and those
    that receive an output of the network. The public generator (ai8x-synthesis
    ``izer/backend/max7800x.py``) looks at the last layer's output alone, and leaves the quadrant
    off into which only an earlier output is written. A convolution also writes to the data
    memories between output processors that are far apart, so their quadrants run too.
    """
    results = {out.layer for out in graph.outputs}
    used = 0
    for layer, place in zip(graph.layers, places, strict=True):
        kept = not hand or layer.name in results
        used |= place.processors | (place.output_processors if kept else 0)
    for layer, place in zip(graph.layers, places, strict=True):
        if layer.op != "passthrough" and place.has_gaps:
            outputs = place.output_processors
            used |= (1 << outputs.bit_length()) - (outputs & -outputs)
    per = limits.PROCESSORS_PER_QUADRANT
    mask = (1 << per) - 1
    return tuple(q for q in range(limits.QUADRANTS) if used >> (q * per) & mask)


def kernel_count(layer: Layer, place: LayerPlace) -> int:
    """Return how many kernels every processor steps through for one output pixel.

    This counts all output positions of the output processors' span, passes included.
    """
    if layer.weight is None:
        return 0
    each = pixels_flattened(layer) * place.passes
    if layer.flatten:
        return (place.counted(layer.out_shape[0])[-1] + 1) * each
    return place.span * place.out_passes * each


def kernel_words(layer: Layer, place: LayerPlace) -> int:
    """Return the 72-bit kernel words a layer takes in each of its processors."""
    if layer.weight is None:
        return 0
    count = kernel_count(layer, place)
    size = _taps(layer)
    per_byte = 8 // layer.bits
    # The generator rounds a last, incomplete group of narrow kernels up like this, which may take
    # some words more than needed, or (kernels of length 5 and 7) one too few.
    needed = -(-(-(-count // per_byte) * size) // limits.WEIGHT_WORD_BYTES)
    if place.has_gaps:
        return needed
    rest = (count % per_byte) * size * (per_byte - 1)
    generous = (count * size * layer.bits + rest + 71) // 72
    return int(max(generous, needed))


def _taps(layer: Layer) -> int:
    """Return the taps of a kernel as it is stored."""
    if layer.dilation > 1:
        layer = as_run(layer)
    return layer.kernel[0] * layer.kernel[1]


def used_words(layer: Layer, place: LayerPlace) -> np.ndarray:
    """Return which of a layer's kernel words hold a kernel that is wanted, bool [words].

    The others, in front of and between the output processors of a mask with gaps, are free for
    other layers: what the chip computes with them is stored where nobody reads it.
    """
    if not place.has_gaps:
        return np.ones(place.words, bool)
    each = pixels_flattened(layer) * place.passes
    numbers = np.array(place.counted(layer.out_shape[0]))
    kernels = numbers[:, None] * each + np.arange(each)
    byte = kernels.ravel() // (8 // layer.bits) * _taps(layer)
    taps = byte[:, None] + np.arange(_taps(layer))
    used = np.zeros(place.words, bool)
    used[taps // limits.WEIGHT_WORD_BYTES] = True
    return used


def allocate_words(
    graph: Graph, places: Sequence[LayerPlace], reserved: Reserved = NOTHING
) -> list[int]:
    """Return the first kernel word of every layer (0 for layers without weights).

    The order is the public generator's. Beside another network, where no description for that
    generator could be written anyway, the widest and longest layers are tried first as well.

    Raises:
        UserError: a layer does not fit into the 768 words of one of its processors.
    """
    loaded = [i for i, p in enumerate(places) if p.words]
    orders = [sorted(loaded, key=lambda i: places[i].processors != ALL_PROCESSORS)]
    if reserved != NOTHING:
        size = {i: (bit_count(places[i].processors), places[i].words) for i in loaded}
        orders.append(sorted(loaded, key=lambda i: size[i], reverse=True))
        orders.append(sorted(loaded, key=lambda i: size[i][::-1], reverse=True))
    error: UserError | None = None
    for order in orders:
        try:
            return _fill_words(graph, places, order, reserved)
        except UserError as failure:
            error = error or failure
    assert error is not None
    raise error


def _fill_words(
    graph: Graph, places: Sequence[LayerPlace], order: Sequence[int], reserved: Reserved
) -> list[int]:
    """Give each layer in turn the first place that is free in all its processors."""
    used = reserved.table()
    starts = [0] * len(places)
    for i in order:
        place = places[i]
        rows = [p for p in range(limits.PROCESSORS) if place.processors >> p & 1]
        taken = np.asarray(used[rows].any(axis=0))
        start = _first_free(taken, place.words)
        if start is None:
            free = limits.WEIGHT_WORDS - int(taken.sum())
            raise UserError(
                f"{at(graph.layers[i])}its weights take {place.words} kernel words in each of "
                f"{len(rows)} processors, but only {free} of {limits.WEIGHT_WORDS} are free there; "
                "use fewer weight bits or fewer channels in this or an earlier layer"
            )
        used[rows, start : start + place.words] |= used_words(graph.layers[i], place)
        starts[i] = start
    return starts


def _first_free(used: np.ndarray, words: int) -> int | None:
    blocked = np.concatenate([[0], np.cumsum(used)])
    for start in range(0, limits.WEIGHT_WORDS - words + 1, KERNEL_ALIGNMENT):
        if blocked[start + words] == blocked[start]:
            return start
    return None


def allocate_biases(
    graph: Graph,
    places: Sequence[LayerPlace],
    quadrants: Sequence[int],
    wishes: Sequence[tuple[int, ...] | None] | None = None,
    reserved: Reserved = NOTHING,
) -> list[tuple[int, int] | None]:
    """Return (quadrant, first byte) of every layer's biases, None for layers without bias.

    Biases that are all zero take no place.

    Raises:
        UserError: the bias memories overflow.
    """
    allowed = [
        tuple(wish) if wish else tuple(quadrants) for wish in (wishes or [None] * len(places))
    ]
    need: list[tuple[float, int, int]] = []
    for i, (layer, place) in enumerate(zip(graph.layers, places, strict=True)):
        if layer.bias is not None and layer.bias.any():
            size = bias_bytes(layer, place, first=i == 0)
            if layer.flatten:
                key = -1
            elif len(allowed[i]) == 1:
                key = 0
            else:
                key = limits.BIAS_BYTES_PER_QUADRANT - size
            need.append((key, i, size))
    filled = dict(enumerate(reserved.biases))
    result: list[tuple[int, int] | None] = [None] * len(places)
    for _, i, size in sorted(need, key=lambda entry: entry[0]):
        quadrant = min(allowed[i], key=lambda q: filled[q])
        if filled[quadrant] + size > limits.BIAS_BYTES_PER_QUADRANT:
            free = limits.BIAS_BYTES_PER_QUADRANT - filled[quadrant]
            raise UserError(
                f"{at(graph.layers[i])}its {size} biases do not fit: the emptiest bias memory has "
                f"{free} of {limits.BIAS_BYTES_PER_QUADRANT} bytes free; remove the bias of a layer"
            )
        result[i] = (quadrant, filled[quadrant])
        filled[quadrant] += size
    return result


def reserve(graph: Graph, placement: Placement) -> Reserved:
    """Return what a placed network takes, and what it has left to others already."""
    words = list(placement.reserved.words)
    biases = list(placement.reserved.biases)
    for i, (layer, place) in enumerate(zip(graph.layers, placement.layers, strict=True)):
        used = used_words(layer, place)
        taken = sum(1 << int(word) for word in np.flatnonzero(used)) << place.first_word
        for processor in bits_of(place.processors):
            words[processor] |= taken
        if place.bias_quadrant is not None:
            end = place.bias_offset + bias_bytes(layer, place, first=i == 0)
            biases[place.bias_quadrant] = max(biases[place.bias_quadrant], end)
    return Reserved(tuple(words), tuple(biases))


def bias_bytes(layer: Layer, place: LayerPlace, first: bool) -> int:
    """Return the bytes of bias memory a layer takes, alignment included."""
    return bias_numbers(layer, place, first)[-1] + 1


def bias_numbers(layer: Layer, place: LayerPlace, first: bool) -> list[int]:
    """Return the byte of every channel's bias, counted from the layer's first.

    Biases are counted as outputs are, unwanted ones included. A streaming first layer skips one
    byte (work-around of the generator for this device).
    """
    late = 1 if first and place.streaming else 0
    return [number + late for number in place.counted(layer.out_shape[0])]
