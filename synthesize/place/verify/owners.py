"""Processors, kernel words and bias bytes: each has one owner."""

from __future__ import annotations

import numpy as np

from synthesize.chip import limits
from synthesize.graph.ir import Graph, at
from synthesize.place.placement import Placement
from synthesize.place.verify.finding import Finding

_NOBODY = -1
_OTHER = -2


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
            if written // max(1, written & -written) != packed:
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
        region = owner[rows, place.first_word : end]
        taken = np.argwhere(region != _NOBODY)
        if len(taken):
            row, word = taken[0]
            index = int(region[row, word])
            other = "another network" if index == _OTHER else graph.layers[index].name
            sentence = (
                f"{at(layer)}kernel word {place.first_word + word} of processor {rows[row]} "
                f"belongs to {other}"
            )
            return [Finding(layer.name, sentence)]
        owner[rows, place.first_word : end] = index
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
        for byte in range(place.bias_offset, place.bias_offset + layer.out_shape[0]):
            other = owner.setdefault((place.bias_quadrant, byte), layer.name)
            if other != layer.name or byte >= limits.BIAS_BYTES_PER_QUADRANT:
                what = f"belongs to {other}" if other != layer.name else "does not exist"
                sentence = f"{at(layer)}bias byte {byte} of quadrant {place.bias_quadrant} {what}"
                return [Finding(layer.name, sentence)]
    return []
