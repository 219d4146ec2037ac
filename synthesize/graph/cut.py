"""A network that ends early, to look at what a layer in the middle computes."""

from __future__ import annotations

import difflib
from dataclasses import replace

from common.errors import UserError
from synthesize.graph.hints import Hints
from synthesize.graph.ir import Graph, Output


def stop_after(graph: Graph, hints: Hints | None, name: str) -> tuple[Graph, Hints | None]:
    """Return the network up to a layer, whose result is then the only output.

    Layers that this one does not need are left out. A placement by hand stays as it is.

    Args:
        graph: the network as it was described.
        hints: its placement by hand, one entry per layer, or None.
        name: of the layer, or its number in running order from 0.

    Raises:
        UserError: there is no such layer.
    """
    last = _find(graph, name)
    wanted = {graph.layers[last].name}
    for layer in reversed(graph.layers[: last + 1]):
        buffered = graph.buffer is not None and graph.buffer.name in wanted
        if layer.name in wanted or (buffered and (layer.buffer_shift or layer.buffer_insert)):
            wanted.update((layer.name, *layer.inputs))
    kept = [i for i, layer in enumerate(graph.layers[: last + 1]) if layer.name in wanted]
    layers = tuple(graph.layers[i] for i in kept)
    final = layers[-1]
    output = Output(final.name, final.name, 0, final.out_shape[0])
    cut = replace(graph, name=f"{graph.name}-{final.name}", layers=layers, outputs=(output,))
    if hints is None:
        return cut, None
    entries = list(hints.layers)
    for i, entry in enumerate(entries[:-1]):
        if entry.output_processors is None:  # it writes where the next layer reads, kept or not
            entries[i] = replace(entry, output_processors=entries[i + 1].processors)
    return cut, replace(hints, layers=tuple(entries[i] for i in kept))


def _find(graph: Graph, name: str) -> int:
    names = [layer.name for layer in graph.layers]
    if name in names:
        return names.index(name)
    if name.isascii() and name.isdecimal() and int(name) < len(names):
        return int(name)
    near = difflib.get_close_matches(name, names, 3, 0.3) or names[:3]
    raise UserError(
        f"--stop-after {name}: the network {graph.name} has no such layer; name one of its "
        f"{len(names)} layers ({', '.join(near)}, ...) or its number, 0 to {len(names) - 1}"
    )
