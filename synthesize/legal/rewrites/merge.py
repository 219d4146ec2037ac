"""Layers side by side become one: heads with the same input, then their block-diagonal readers.

Two 1x1 convolutions that read the same tensor, with equal scale, activation and width, compute the
same as one whose outputs are those of both, one after the other. Layers that read one of them read
the merged one, with zero weights for the channels of the other. The merged layers keep the integers
of the narrower weights, stored in the wider bits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthesize.chip import limits
from synthesize.graph.ir import Graph, Layer, Output


def merge_parallel(graph: Graph) -> Graph:
    """Merge until no two layers can be merged any more."""
    while True:
        pair = _find(graph)
        if pair is None:
            return graph
        graph = _merge(graph, *pair)


def _find(graph: Graph) -> tuple[Layer, Layer] | None:
    for i, first in enumerate(graph.layers):
        for second in graph.layers[i + 1 :]:
            if _mergeable(graph, first, second):
                return first, second
    return None


def _mergeable(graph: Graph, first: Layer, second: Layer) -> bool:
    for layer in (first, second):
        if layer.op != "conv2d" or layer.kernel != (1, 1) or layer.join != "concat":
            return False
        if layer.stride != (1, 1) or layer.pad != (0, 0) or layer.weight is None:
            return False
        if any(not _absorbs(reader, layer.name) for reader in graph.readers(layer.name)):
            return False
    return (
        first.inputs == second.inputs
        and first.pool == second.pool
        and first.reshape == second.reshape
        and first.activation == second.activation
        and first.wide == second.wide
        and first.shift == second.shift
        and first.out_shape[0] + second.out_shape[0] <= limits.MAX_CHANNELS
    )


def _absorbs(reader: Layer, name: str) -> bool:
    """Whether a reader can ignore further channels behind those of ``name``."""
    return (
        reader.op in ("conv2d", "convtranspose2d", "conv1d")
        and reader.inputs == (name,)
        and reader.reshape is None
    )


def _merge(graph: Graph, first: Layer, second: Layer) -> Graph:
    bits = max(first.bits, second.bits)
    split = first.out_shape[0]
    total = split + second.out_shape[0]
    assert first.weight is not None
    assert second.weight is not None
    merged = replace(
        first,
        name=f"{first.name}+{second.name}",
        weight=np.concatenate([first.weight, second.weight]),
        bias=_biases(first, second),
        bits=bits,
        output_shift=first.shift - 8 + bits,
        out_shape=(total, *first.out_shape[1:]),
    )
    offsets = {first.name: 0, second.name: split}
    layers = []
    for layer in graph.layers:
        if layer is second:
            continue
        layers.append(merged if layer is first else _rewire(layer, offsets, merged))
    outputs = tuple(
        Output(o.name, merged.name, o.first + offsets[o.layer], o.channels)
        if o.layer in offsets
        else o
        for o in graph.outputs
    )
    return replace(graph, layers=tuple(layers), outputs=outputs)


def _biases(first: Layer, second: Layer) -> np.ndarray | None:
    if first.bias is None and second.bias is None:
        return None
    parts = [
        layer.bias if layer.bias is not None else np.zeros(layer.out_shape[0], np.int64)
        for layer in (first, second)
    ]
    return np.concatenate(parts)


def _rewire(layer: Layer, offsets: dict[str, int], merged: Layer) -> Layer:
    """Let a reader of one part read the merged layer instead."""
    if not set(layer.inputs) & set(offsets):
        return layer
    assert layer.weight is not None
    start = offsets[layer.inputs[0]]
    channels = merged.out_shape[0]
    weight = np.zeros((layer.weight.shape[0], channels, *layer.weight.shape[2:]), np.int64)
    weight[:, start : start + layer.in_shape[0]] = layer.weight
    return replace(
        layer,
        inputs=(merged.name,),
        weight=weight,
        in_shape=(channels, *layer.in_shape[1:]),
    )
