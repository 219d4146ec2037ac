"""Processors, kernel words and bias bytes: each has one owner."""

from __future__ import annotations

import numpy as np

from synthesize.chip import limits
from synthesize.graph.ir import INPUT, Graph, Layer, at
from synthesize.place.placement import LayerPlace, Placement
from synthesize.place.verify.finding import Finding

_LANES = limits.PROCESSORS_PER_INSTANCE
_NOBODY = -1
_OTHER = -2
_TAPS_2D = 9
"""A dilated Conv1d has a kernel in two dimensions."""


def passthrough(graph: Graph, placement: Placement) -> list[Finding]:
    """Check that layers without convolution write to the processors they read from.

    Per quadrant, the output processors must be the input processors without their gaps.
    """
    findings = []
    per = limits.PROCESSORS_PER_QUADRANT
    for layer, place in zip(graph.layers, placement.layers, strict=True):
        if layer.op != "passthrough":
            continue
        for quadrant in range(limits.QUADRANTS):
            read, written = (
                mask >> (quadrant * per) & ((1 << per) - 1)
                for mask in (place.processors, place.output_processors)
            )
            packed = (1 << bin(read).count("1")) - 1
            lowest = written & -written
            aligned = not written or (lowest.bit_length() - 1) % _LANES == 0
            if written // max(1, lowest) != packed or not aligned:
                sentence = (
                    f"{at(layer)}in quadrant {quadrant} it reads processors 0x{read:04x} and "
                    f"writes 0x{written:04x}; a layer without convolution cannot move data to "
                    "other processors, so use the same ones"
                )
                findings.append(Finding(layer.name, sentence))
    return findings


def weights(graph: Graph, placement: Placement) -> list[Finding]:
    """Check that no kernel word has two owners and none lies outside the memory."""
    owner = np.full((limits.PROCESSORS, limits.WEIGHT_WORDS), _NOBODY)
    owner[placement.reserved.table()] = _OTHER
    for index, (layer, place) in enumerate(zip(graph.layers, placement.layers, strict=True)):
        if not place.words:
            continue
        end = place.first_word + place.words
        if end > limits.WEIGHT_WORDS:
            sentence = f"{at(layer)}kernel word {end - 1} does not exist"
            return [Finding(layer.name, sentence)]
        rows = np.flatnonzero([place.processors >> p & 1 for p in range(limits.PROCESSORS)])
        needed = _kernel_words_needed(layer, place)
        region = owner[rows, place.first_word : end]
        taken = np.argwhere((region != _NOBODY) & needed)
        if len(taken):
            row, word = taken[0]
            index = int(region[row, word])
            other = "another network" if index == _OTHER else graph.layers[index].name
            sentence = (
                f"{at(layer)}kernel word {place.first_word + word} of processor {rows[row]} "
                f"belongs to {other}"
            )
            return [Finding(layer.name, sentence)]
        region[:, needed] = index
        owner[rows, place.first_word : end] = region
    return []


def biases(graph: Graph, placement: Placement) -> list[Finding]:
    """Check that no bias byte has two owners and none lies outside the memory."""
    owner = {
        (quadrant, byte): "another network"
        for quadrant, count in enumerate(placement.reserved.biases)
        for byte in range(count)
    }
    for layer, place in zip(graph.layers, placement.layers, strict=True):
        if place.bias_quadrant is None:
            continue
        for byte in _bias_bytes_needed(layer, place):
            other = owner.setdefault((place.bias_quadrant, byte), layer.name)
            if other != layer.name or byte >= limits.BIAS_BYTES_PER_QUADRANT:
                what = f"belongs to {other}" if other != layer.name else "does not exist"
                sentence = f"{at(layer)}bias byte {byte} of quadrant {place.bias_quadrant} {what}"
                return [Finding(layer.name, sentence)]
    return []


def _kernel_words_needed(layer: Layer, place: LayerPlace) -> np.ndarray:
    """Return which words behind the first hold a kernel of a wanted output, bool [words].

    The mask counter steps through outputs from the first byte of the first data memory, all input
    passes (and flattened pixels) of one output after the other.
    """
    outputs = np.flatnonzero([place.output_processors >> p & 1 for p in range(limits.PROCESSORS)])
    first = outputs[0] // _LANES * _LANES
    per_pass = outputs[-1] - first + 1
    if per_pass == len(outputs):
        return np.ones(place.words, bool)
    size = layer.kernel[0] * layer.kernel[1] if layer.dilation == 1 else _TAPS_2D
    masks = place.passes * (layer.pooled[0] * layer.pooled[1] if layer.flatten else 1)
    needed = np.zeros(place.words, bool)
    for channel in range(layer.out_shape[0]):
        number, position = divmod(channel, len(outputs))
        output = number * per_pass + outputs[position] - first
        begin = output * masks * layer.bits // 8 * size
        end = ((output + 1) * masks * layer.bits - 1) // 8 * size + size
        needed[begin // limits.WEIGHT_WORD_BYTES : -(-end // limits.WEIGHT_WORD_BYTES)] = True
    return needed


def _bias_bytes_needed(layer: Layer, place: LayerPlace) -> list[int]:
    """Return the bias bytes that the counter of outputs reaches for a wanted output."""
    outputs = np.flatnonzero([place.output_processors >> p & 1 for p in range(limits.PROCESSORS)])
    first = outputs[0] // _LANES * _LANES
    per_pass = outputs[-1] - first + 1
    late = int(place.streaming and INPUT in layer.inputs)
    return [
        int(place.bias_offset + late + number * per_pass + outputs[position] - first)
        for number, position in (divmod(c, len(outputs)) for c in range(layer.out_shape[0]))
    ]
