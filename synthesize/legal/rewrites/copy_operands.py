"""Operands that lie interleaved with others get a copy of their own when somebody else reads them.

The operands of an element-wise layer, and the parts of a concatenation beyond 64 channels, lie
interleaved word by word in data memory, and no other layer of the MAX78000 can read such a tensor
(its read pointer has no gap). Parts of a smaller concatenation lie side by side, which ties their
places, so a tensor can be part of only one. A Conv1d whose dilation is long writes around its
output as well. A pass-through layer makes an interleaved copy. It cannot move data to other
processors, so a part of a concatenation is copied by a convolution with the unit matrix:
64 * 2**1 / 128 = 1, exact for every value. So are tensors that sums, pooling and such copies would
keep on the processors of another part, or of the same part of another concatenation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthesize.chip.limits import PROCESSORS_PER_INSTANCE as _SHARED
from synthesize.graph.hardware import interleaved
from synthesize.graph.ir import INPUT, Graph, Layer


def copy_shared_operands(graph: Graph) -> Graph:
    """Insert copying layers so that every joined input can have the place it needs."""
    work = _Copying(graph)
    layers: list[Layer] = []
    for layer in graph.layers:
        if _has_gaps(graph, layer):
            layer = _as_convolution(layer)
        if len(layer.inputs) > 1:
            inputs = work.joined_inputs(layer, layers)
            layer = replace(layer, inputs=inputs) if inputs != layer.inputs else layer
        if layer.op == "passthrough":
            work.places.tie(layer.inputs[0], layer.name, 0)
        layers.append(layer)
    return replace(graph, layers=tuple(layers)) if layers != list(graph.layers) else graph


class _Places:
    """On which processors tensors begin, as far as they depend on one another."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, int]] = {}

    def _origin(self, name: str) -> tuple[str, int]:
        """Return the tensor that a place is counted from, and the distance."""
        distance = 0
        while name in self._seen:
            name, step = self._seen[name]
            distance += step
        return name, distance

    def tie(self, first: str, second: str, distance: int) -> bool:
        """Let ``second`` begin so many processors behind ``first``; False if it cannot."""
        (origin, before), (other, behind) = self._origin(first), self._origin(second)
        if origin == other:
            return behind - before == distance
        self._seen[other] = (origin, before + distance - behind)
        return True


class _Copying:
    """What is known of a graph while copies are made."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.outputs = {o.layer for o in graph.outputs}
        self.taken = {layer.name for layer in graph.layers}
        self.joined: set[str] = set()
        self.places = _Places()

    def joined_inputs(self, layer: Layer, made: list[Layer]) -> tuple[str, ...]:
        """Return what a layer reads, a copy in place of what cannot lie there; ``made`` grows."""
        together = interleaved(layer)
        inputs: list[str] = []
        position = 0
        for name in layer.inputs:
            copied = self._needs_copy(name, layer)
            moved = copied and not together
            if inputs and not moved and not self.places.tie(inputs[0], name, position):
                copied = moved = True
            channels = self.graph.shape(name)[0]
            if copied:
                name = self._copied(name, layer, moved, made)
            if inputs and moved:
                self.places.tie(inputs[0], name, position)
            self.joined.add(name)
            inputs.append(name)
            position += 0 if together else -(-channels // _SHARED) * _SHARED
        return tuple(inputs)

    def _copied(self, name: str, layer: Layer, moved: bool, made: list[Layer]) -> str:
        """Append a copy of a tensor, on other processors or the same, and return its name."""
        copy = _copy(self.graph, name, layer, self.taken)
        made.append(_as_convolution(copy) if moved else copy)
        if not moved:
            self.places.tie(name, copy.name, 0)
        return copy.name

    def _needs_copy(self, name: str, layer: Layer) -> bool:
        """Whether an input is bound to another place whichever processors it has."""
        uses = sum(other.inputs.count(name) for other in self.graph.layers)
        exclusive = uses == 1 and name not in self.outputs
        bound = name == INPUT or name in self.joined or _spills(self.graph, name)
        return bound or (interleaved(layer) and not exclusive)


def _has_gaps(graph: Graph, layer: Layer) -> bool:
    """Whether a layer only joins parts with processors between them, and is a part itself."""
    parts = layer.inputs[:-1] if layer.op == "passthrough" and not interleaved(layer) else ()
    nested = any(len(reader.inputs) > 1 for reader in graph.readers(layer.name))
    return nested and any(graph.shape(name)[0] % _SHARED for name in parts)


def _spills(graph: Graph, name: str) -> bool:
    """Whether a layer writes more than its output, which others must not lie among."""
    return graph.layer(name).dilation > 1


def _as_convolution(copy: Layer) -> Layer:
    """Return a copying layer that can also move its data to other processors."""
    channels = copy.in_shape[0]
    unit = 64 * np.eye(channels, dtype=np.int64)[:, :, None, None]
    return replace(copy, op="conv2d", weight=unit, output_shift=1)


def _copy(graph: Graph, name: str, reader: Layer, taken: set[str]) -> Layer:
    fresh = f"{name}_for_{reader.name}"
    while fresh in taken:
        fresh += "_"
    taken.add(fresh)
    shape = graph.shape(name)
    return Layer(
        name=fresh, op="passthrough", inputs=(name,), in_shape=shape, out_shape=shape,
        where=reader.where,
    )  # fmt: skip
