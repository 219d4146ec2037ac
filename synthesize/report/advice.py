"""What to change in a network: sentences about cycles and memory that are left unused."""

from __future__ import annotations

from dataclasses import dataclass

from synthesize.chip import limits
from synthesize.compiler import Compiled
from synthesize.graph.ir import INPUT, Layer
from synthesize.place import geometry
from synthesize.place.placement import LayerPlace
from synthesize.report.table import data_bytes, kernel_words

NOTABLE_SHARE = 0.03
"""Layers with a smaller share of the cycles are not worth a sentence."""
NARROW = 0.9
"""Processors in use above this share count as all."""
READING = 0.35
"""Share of a layer's cycles that go into reading, above which it is worth a sentence."""
FULL = 0.9


@dataclass(frozen=True)
class Advice:
    """One sentence about some layers (none: the whole network) with ``share`` of all cycles."""

    layers: tuple[str, ...]
    sentence: str
    share: float


def advice(compiled: Compiled) -> list[Advice]:
    """Return what is worth knowing about a compiled network, the most cycles first."""
    found: dict[str, list[tuple[str, float]]] = {}
    for layer, spot, info in zip(
        compiled.legal.layers, compiled.placement.layers, compiled.program.layers, strict=True
    ):
        share = info.cycles / compiled.program.cycles
        if layer.weight is not None and share >= NOTABLE_SHARE:
            for sentence in filter(None, (_idle(layer, spot), _reading(layer, spot), _one(layer))):
                found.setdefault(sentence, []).append((layer.name, share))
    grouped = [
        Advice(tuple(name for name, _ in layers), sentence, sum(share for _, share in layers))
        for sentence, layers in found.items()
    ]
    return _memories(compiled) + sorted(grouped, key=lambda entry: -entry.share)


def _idle(layer: Layer, spot: LayerPlace) -> str:
    """Say when processors stand idle, or many passes are needed."""
    channels = layer.in_shape[0]
    every = limits.PROCESSORS
    used = f"{channels} input channels"
    if INPUT in layer.inputs and spot.in_per_pass < NARROW * every:
        return (
            f"{used} are what the picture has and use {spot.in_per_pass} of {every} processors; "
            "fewer pixels cost less here, by a smaller picture or one folded further (rows and "
            "columns halved, four times the channels)"
        )
    if spot.in_per_pass >= NARROW * every:
        if spot.passes < 3:
            return ""
        return (
            f"{used} take {spot.passes} passes of {spot.in_per_pass} processors; every pass costs "
            f"as much as {every} channels, so fewer channels here save time in proportion"
        )
    wasted = _percent(1 - spot.in_per_pass / every)
    if spot.passes == 1:
        return (
            f"{used} use {spot.in_per_pass} of {every} processors and leave {wasted} of the "
            f"arithmetic idle; up to {every} channels would take no longer"
        )
    full = spot.passes * every
    return (
        f"{used} are more than the {every} processors, so they take {spot.passes} passes of "
        f"{spot.in_per_pass} processors and leave {wasted} of the arithmetic idle; {full} channels "
        f"would take no longer, {full - every} channels one pass less"
    )


def _reading(layer: Layer, spot: LayerPlace) -> str:
    """Say when reading the data takes long beside computing the outputs."""
    shape = geometry.geometry(layer, spot)
    computing = shape.passes * shape.outputs * layer.out_shape[1] * layer.out_shape[2]
    cycles = geometry.cycles(layer, spot)
    share = 1 - computing / cycles
    if share < READING or layer.flatten:
        return ""
    why = f"{layer.out_shape[0]} output channels per pixel are few beside the reading"
    if layer.pool is not None:
        rows, cols = layer.pool_size
        why = f"the {rows}×{cols} pooling reads {rows * cols} pixels for each one it keeps"
    return f"{_percent(share)} of the cycles go into reading: {why}"


def _one(layer: Layer) -> str:
    if layer.op != "conv2d" or layer.kernel != (1, 1):
        return ""
    return (
        "1×1 kernels use one of the nine multipliers of every processor; 3×3 kernels would take "
        "about the same time, but nine times the weight memory"
    )


def _memories(compiled: Compiled) -> list[Advice]:
    sentences = []
    words = kernel_words(compiled)
    if words >= FULL * limits.WEIGHT_WORDS:
        sentences.append(
            f"The fullest processor has {limits.WEIGHT_WORDS - words} of {limits.WEIGHT_WORDS} "
            "kernel words left; further channels need fewer bits elsewhere"
        )
    data = data_bytes(compiled)
    if data >= FULL * limits.DATA_BYTES:
        sentences.append(f"{_percent(data / limits.DATA_BYTES)} of data memory is written")
    if compiled.program.fifo is not None:
        sentences.append("The input is streamed; the cycles of streaming layers are estimates")
    return [Advice((), sentence, 1.0) for sentence in sentences]


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
