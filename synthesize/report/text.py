"""Graph and placement as stable text."""

from __future__ import annotations

from synthesize.compiler import Compiled
from synthesize.graph.ir import Graph
from synthesize.place.placement import Placement


def text(compiled: Compiled) -> str:
    """Return the described graph, the legal one when it differs, and the placement."""
    parts = [compiled.described.text()]
    if compiled.legal is not compiled.described:
        parts.append("legalised:\n" + compiled.legal.text())
    parts.append(placement_text(compiled.legal, compiled.placement))
    return "\n".join(parts)


def placement_text(graph: Graph, placement: Placement) -> str:
    """Return one line per layer: masks, offsets, passes, kernel words, bias."""
    form = "CHW" if placement.chw else "HWC"
    lines = [f"placement: input {form}{' through FIFO' if placement.fifo else ''}"]
    for layer, place in zip(graph.layers, placement.layers, strict=True):
        bias = "none"
        if place.bias_quadrant is not None:
            bias = f"quadrant {place.bias_quadrant} byte {place.bias_offset}"
        words = f"{place.first_word}+{place.words}"
        extra = f" gap {place.write_gap}" if place.write_gap else ""
        extra += " streaming" if place.streaming else ""
        lines.append(
            f"  {layer.name}: in 0x{place.processors:016x}@0x{place.in_offset:04x} x{place.passes} "
            f"out 0x{place.output_processors:016x}@0x{place.out_offset:04x} x{place.out_passes}"
            f"{extra} kernels {words} bias {bias}"
        )
    return "\n".join(lines) + "\n"
