"""How many CNN clock cycles a layer takes.

A re-statement of the model that ai8x-synthesis ships (``izer/latency.py`` and its call in
``izer/backend/max7800x.py``); exact for layers that do not stream. For those that do, the generator
estimates half as long again; chips take less (:data:`STREAMING`).
Pure functions of the layer's geometry, used by the compiler (from its graph) and by the virtual
kit (from decoded registers).

The hardware fills its line buffer row by row: reading one pixel takes one cycle per word plus one
to store it, for padding as for data; columns that complete no output take one more cycle; each
output pixel takes one cycle per output channel and pass.
"""

from __future__ import annotations

from dataclasses import dataclass

STARTUP_CYCLES = 1
"""Cycles before the first layer."""

STREAMING = (118, 100)
"""How much longer a layer takes when it streams: fitted to the two streaming networks whose time on
a chip is published, of which one takes 1.20 and the other 1.16 (see ``chip/measured.py``)."""
GENERATOR_STREAMING = (15, 10)
"""What the public generator reports instead."""


@dataclass(frozen=True)
class LayerGeometry:
    """What the number of cycles depends on.

    kernel: rows, columns; (length, 1) in 1D layers; (1, 1) for linear layers.
    pad: hardware padding (rows, columns); for a transposed convolution that of the equivalent
        convolution on the spread input.
    pooled: rows, columns after pooling; for a transposed convolution after spreading; (1, 1) for a
        flattening layer.
    pool: pooling window (1, 1 without).
    passes: groups of up to 64 input channels, for every flattened pixel.
    outputs: output channels including those that only round up to whole expansions.
    output_columns: columns of the output.
    operands: inputs of an element-wise operation, else 1.
    pool_first: pooling before the element-wise operation (True without one). Without pooling it
        makes no difference: no register tells the two apart, so the chip cannot (the generator's
        estimate can: it counts 1,050 for 1,200).
    passthrough: no convolution.
    time_slots: groups of four channels written one after the other by a pass-through layer.
    expansions: groups of up to 64 output channels (only matters for pass-through layers).
    flatten_long: flattening with at least 16 words (POST.flatten_en set).
    streaming: the layer streams.
    kernel_word: first kernel word, which matters only for pooling after an element-wise operation.
    """

    kernel: tuple[int, int]
    pad: tuple[int, int]
    pooled: tuple[int, int]
    pool: tuple[int, int]
    passes: int
    outputs: int
    output_columns: int
    operands: int = 1
    pool_first: bool = True
    passthrough: bool = False
    time_slots: int = 1
    expansions: int = 1
    flatten_long: bool = False
    streaming: bool = False
    kernel_word: int = 0


def layer_cycles(geometry: LayerGeometry, streaming: tuple[int, int] = STREAMING) -> int:
    """CNN clock cycles of one layer; ``streaming``: factor for a layer that streams, as a ratio."""
    total = _passthrough(geometry) if geometry.passthrough else _convolution(geometry)
    if geometry.streaming:
        factor, base = streaming
        return -(-factor * total // base)
    return total


def _visits(g: LayerGeometry, passes: int) -> tuple[int, int]:
    """Cycles to read one padding pixel and one data pixel."""
    area = g.pool[0] * g.pool[1]
    if g.pool_first or area == 1:
        return passes * g.operands * 2, passes * g.operands * (area + 1)
    return passes * 2, passes * (g.operands * area + 1)


def _passthrough(g: LayerGeometry) -> int:
    passes = g.passes
    if g.expansions > 1 and g.pool != (1, 1):
        passes = 2 * passes - 1
    _, data = _visits(g, passes)
    return g.pooled[0] * g.pooled[1] * (data + passes * g.time_slots)


def _convolution(g: LayerGeometry) -> int:
    pad_visit, data_visit = _visits(g, g.passes)
    pad_rows, pad_columns = g.pad
    rows, columns = g.pooled
    repeats = 1 if g.pool_first else g.passes
    lead_rows = g.kernel[0] - 1 - pad_rows
    lead_columns = g.kernel[1] - 1 - pad_columns

    def idle_row(visit: int) -> int:
        """A row that completes no output."""
        return 2 * pad_columns * (pad_visit + 1) + repeats * columns * (visit + 1)

    def full_row(visit: int) -> int:
        """Reading for a row that completes outputs."""
        left = pad_columns * (pad_visit + 1)
        body = lead_columns * (visit + 1) + (g.output_columns - pad_columns) * visit
        return left + repeats * body + pad_visit * pad_columns

    emit = g.passes * g.output_columns * g.outputs
    if g.outputs == 1 and g.passes == 1:
        emit += 1
    return (
        int(g.flatten_long)
        + _extra_reads(g)
        + pad_rows * idle_row(pad_visit)
        + lead_rows * idle_row(data_visit)
        + (rows - lead_rows) * (full_row(data_visit) + emit)
        + pad_rows * (full_row(pad_visit) + emit)
    )


def _extra_reads(g: LayerGeometry) -> int:
    """Kernel words skipped again for every padding pixel when pooling comes last."""
    if g.pool_first or (g.passes == 1 and g.operands == 1):
        return 0
    down = g.pooled[0] + 2 * g.pad[0] - g.kernel[1] + 1
    across = g.pooled[1] + 2 * g.pad[1] - g.kernel[0] + 1
    return (down * g.pad[1] + across * g.pad[0] - g.pad[0] * g.pad[1]) * g.kernel_word
