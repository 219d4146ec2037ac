"""Where the layers of a hand-written network description lie, as it says.

The vocabulary is that of :mod:`synthesize.place.placement`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from synthesize.graph.ir import Where


@dataclass(frozen=True)
class LayerHint:
    """What a hand-written network description says about one layer's place."""

    processors: int
    output_processors: int | None = None
    in_offset: int | None = None
    out_offset: int = 0
    write_gap: int = 0
    bias_quadrants: tuple[int, ...] | None = None
    streaming: bool = False
    where: Where = field(default_factory=Where)


@dataclass(frozen=True)
class BufferPlace:
    """Where a data buffer lies: a mask of 64 processors, and a byte offset in the data memories."""

    processors: int
    offset: int


@dataclass(frozen=True)
class Hints:
    """Placement written by hand, one entry per layer; ``chw``: input format of the first layer."""

    layers: tuple[LayerHint, ...]
    chw: bool = False
    fifo: bool = False
    """The input comes through the FIFOs, whether or not the first layer streams."""
    buffer: BufferPlace | None = None
    """Where the data buffer lies, if the network has one."""
