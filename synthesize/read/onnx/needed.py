"""What of a model its outputs need.

Exporters and people's scripts leave things behind that nothing reads: labels as text, training's
counters, branches that were cut off. They are dropped before anything is looked at, so that none of
them can stand in the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def keep_needed(proto: Any) -> None:
    """Drop operators, constants and inputs that no output depends on.

    Args:
        proto: a ``ModelProto``, changed in place. One with an output that no operator makes stays
            as it is, and so do the inputs where none is needed: what is wrong there can be said.
    """
    graph = proto.graph
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    outputs = [value.name for value in graph.output]
    if not outputs or any(name not in makers for name in outputs):
        return
    nodes, tensors = _needed(graph, makers, outputs)
    _keep(graph.node, [i in nodes for i in range(len(graph.node))])
    _keep(graph.initializer, [t.name in tensors for t in graph.initializer])
    _keep(graph.sparse_initializer, [t.values.name in tensors for t in graph.sparse_initializer])
    read = [value.name in tensors for value in graph.input]
    _keep(graph.input, read if any(read) else [True] * len(read))


def _needed(graph: Any, makers: dict[str, int], outputs: list[str]) -> tuple[set[int], set[str]]:
    """Numbers of the operators and names of the tensors that outputs depend on."""
    nodes: set[int] = set()
    tensors: set[str] = set()
    stack = list(outputs)
    while stack:
        name = stack.pop()
        if name in tensors:
            continue
        tensors.add(name)
        number = makers.get(name)
        if number is not None and number not in nodes:
            nodes.add(number)
            stack += _reads(graph.node[number])
    return nodes, tensors


def _reads(node: Any) -> Iterator[str]:
    """Tensors that an operator reads, those that graphs within it read included."""
    waiting = [node]
    while waiting:
        inner = waiting.pop()
        yield from inner.input
        for attribute in inner.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                waiting += graph.node
                yield from (value.name for value in graph.output)


def _keep(entries: Any, wanted: list[bool]) -> None:
    """Keep some entries of a repeated field."""
    if not all(wanted):
        kept = [entry for entry, keep in zip(entries, wanted, strict=True) if keep]
        del entries[:]
        entries.extend(kept)
