"""What a Conv1d with a long dilation reads and writes, derived anew from how it runs."""

from __future__ import annotations

from dataclasses import replace

from synthesize.graph.ir import Layer

_LONGEST = 3
"""Length of a kernel whose first row of outputs is of no use."""


def _rows(layer: Layer) -> int:
    """Return the rows in which a dilated Conv1d sees its samples."""
    return -(-layer.in_shape[1] // layer.dilation)


def read_pixels(layer: Layer) -> int:
    """Return the pixels a layer reads: a dilated Conv1d whole rows."""
    if layer.dilation > 1:
        return _rows(layer) * layer.dilation
    return layer.in_shape[1] * layer.in_shape[2]


def pixels_written(layer: Layer) -> tuple[int, int]:
    """Return the first pixel a layer writes, counted from its output's, and how many there are."""
    if layer.dilation > 1:
        return -layer.dilation * (layer.kernel[0] == _LONGEST), _rows(layer) * layer.dilation
    return 0, layer.out_shape[1] * layer.out_shape[2]


def in_rows(layer: Layer) -> Layer:
    """Return the convolution in two dimensions, 3x3 with padding 1, that a dilated one is."""
    if layer.dilation == 1:
        return layer
    size = (_rows(layer), layer.dilation)
    return replace(
        layer, dilation=1, kernel=(3, 3), pad=(1, 1),
        in_shape=(layer.in_shape[0], *size), out_shape=(layer.out_shape[0], *size),
    )  # fmt: skip
