"""Rules of layers that write to the data buffer, which lives from one inference to the next."""

from __future__ import annotations

from typing import Any

from synthesize.graph.ir import Graph, Layer, shape_text

Values = dict[str, Any] | None


def inserted_rows(graph: Graph, layer: Layer) -> Values:
    """its {output} output is not {rows} rows of the data buffer, which is {buffer}; make
    buffer_insert and the shapes agree"""
    if not layer.buffer_insert or graph.buffer is None:
        return None
    channels, rows, cols = graph.buffer.shape
    pixels = layer.out_shape[1] * layer.out_shape[2]
    fits = layer.buffer_insert <= rows and pixels == layer.buffer_insert * cols
    if fits and layer.out_shape[0] == channels and not layer.wide:
        return None
    output = shape_text(layer.out_shape) + (" 32-bit" if layer.wide else "")
    return {
        "output": output,
        "rows": layer.buffer_insert,
        "buffer": shape_text(graph.buffer.shape),
    }


KEPT_RULES = (inserted_rows,)
