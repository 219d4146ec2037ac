"""A convolution with stride s elsewhere: the same with stride 1, then every s-th sample.

The samples are picked by a pass-through layer whose pooling window is 1x1 with stride s.
"""

from __future__ import annotations

from dataclasses import replace

from common.errors import UserError
from synthesize.graph import shapes
from synthesize.graph.ir import Graph, Layer, Pool, at


def stride_as_pool(graph: Graph) -> Graph:
    """Replace every strided convolution that is left; a pooling reader cannot absorb the step."""
    if not any(_strided(layer) for layer in graph.layers):
        return graph
    layers: list[Layer] = []
    renamed: dict[str, str] = {}
    taken = {layer.name for layer in graph.layers}
    for layer in graph.layers:
        layer = replace(layer, inputs=tuple(renamed.get(n, n) for n in layer.inputs))
        if not _strided(layer):
            layers.append(layer)
            continue
        if layer.kernel == (1, 1) and layer.pad == (0, 0) and layer.pool is None:
            # A 1x1 kernel may as well skip its input.
            layers.append(replace(layer, stride=(1, 1), pool=Pool("max", (1, 1), layer.stride)))
            continue
        if layer.wide:
            raise UserError(
                f"{at(layer)}stride {layer.stride[0]} cannot be combined with 32-bit output; use "
                "8-bit output, or pool before it"
            )
        dense = replace(layer, stride=(1, 1))
        dense = replace(dense, out_shape=shapes.result_shape(dense))
        layers.append(dense)
        name = _fresh(f"{layer.name}_step", taken)
        layers.append(
            Layer(
                name=name,
                op="passthrough",
                inputs=(layer.name,),
                in_shape=dense.out_shape,
                out_shape=layer.out_shape,
                pool=Pool("max", (1, 1), layer.stride),
                where=layer.where,
            )
        )
        renamed[layer.name] = name
    outputs = tuple(replace(o, layer=renamed.get(o.layer, o.layer)) for o in graph.outputs)
    return replace(graph, layers=tuple(layers), outputs=outputs)


def _strided(layer: Layer) -> bool:
    return layer.op in ("conv2d", "conv1d") and layer.stride != (1, 1)


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
