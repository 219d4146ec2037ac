"""Reads a quantised ONNX model into a graph.

Data in the model stands for 8-bit integers times a power of two. It says so with QuantizeLinear and
DequantizeLinear (int8, zero point 0, one power-of-two scale per tensor) around every layer; the
chip's own rounding can be stated exactly with ``Floor(x + 0.5)`` in front of a QuantizeLinear of
scale 1. Weights are dequantised integers, or real numbers, which are then rounded to the bits they
have. A convolution that reaches an output of the model without quantisation becomes a wide layer.

The operators are in :mod:`synthesize.read.onnx.nodes`; layers are fused in
:mod:`synthesize.read.onnx.build`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from synthesize.graph import ir, shapes
from synthesize.read.onnx import model as onnx_model
from synthesize.read.onnx.build import Builder
from synthesize.read.onnx.model import Constant, Model, Node
from synthesize.read.onnx.nodes import OPERATORS
from synthesize.read.onnx.values import Data

MAX_SIZE = 65536


@dataclass(frozen=True)
class Loaded:
    """A graph, and sentences about what had to be rounded."""

    graph: ir.Graph
    notes: tuple[str, ...]


def load(path: str | Path) -> Loaded:
    """Read an ONNX model.

    Raises:
        UserError: unreadable file, an operator the chip does not have, a scale that is no power of
            two, shapes that do not chain; the sentence names the node and the operator.
    """
    try:
        return _load(onnx_model.read(path))
    except UserError as error:
        text = str(error)
        if text.isprintable():
            raise
        # Names in a damaged model may hold anything; the sentence stays one line.
        raise UserError("".join(c if c.isprintable() else "?" for c in text)) from error


def _load(model: Model) -> Loaded:
    name, source, rank = _input(model)
    builder = Builder(model, source)
    builder.values[name] = Data(
        (ir.INPUT,), source.shape, rank, 1.0, name, -1, source.shape, state="raw"
    )
    for node in model.nodes:
        _run(builder, node)
    outputs = _outputs(builder)
    if not builder.layers:
        raise UserError(f"{model.path}: nothing of it runs on the chip; it holds no layers")
    graph_name = re.sub(r"[^A-Za-z0-9_.+-]", "_", model.name)
    graph = ir.Graph(graph_name, builder.source, builder.in_order(), outputs)
    shapes.check_shapes(graph)
    return Loaded(graph, tuple(builder.notes))


def _input(model: Model) -> tuple[str, ir.Input, int]:
    """Return name, input and number of axes of the model's only input."""
    if len(model.inputs) != 1:
        raise UserError(
            f"{model.path}: it has {len(model.inputs)} inputs "
            f"({', '.join(model.inputs) or 'none'}); a network has one"
        )
    name, dims = next(iter(model.inputs.items()))
    if len(dims) not in (2, 3, 4) or dims[0] not in (1, None, 0, -1):
        raise UserError(
            f"{model.path}: input {name} has the dimensions {list(dims)}; expected a batch of 1, "
            "channels, rows, columns"
        )
    sizes = []
    for dim in dims[1:]:
        if dim is None or not 0 < dim <= MAX_SIZE:
            raise UserError(
                f"{model.path}: input {name} has the dimensions {list(dims)}; only the batch may "
                "be open, so export with fixed channels, rows and columns"
            )
        sizes.append(dim)
    channels, rows, cols = (*sizes, 1, 1)[:3]
    return name, ir.Input((channels, rows, cols), 1, ir.Where(model.path)), len(dims)


def _run(builder: Builder, node: Node) -> None:
    operator = OPERATORS.get(node.op)
    if operator is None:
        raise node.refuse(
            "the chip has no such operator; express it by "
            f"{', '.join(sorted(OPERATORS))}, or leave it to the application; python -m quantize "
            f"{node.path} lists everything that stands in the way"
        )
    if not node.outputs or not node.outputs[0]:
        raise node.refuse("it has no output")
    extra = [name for name in node.outputs[1:] if name and builder.model.uses(name)]
    if extra:
        raise node.refuse(f"its further output {extra[0]} is used, which is not possible")
    if node.outputs[0] in builder.values:
        raise node.refuse(f"{node.outputs[0]!r} is computed twice")
    builder.values[node.outputs[0]] = operator(builder, node)


def _outputs(builder: Builder) -> tuple[ir.Output, ...]:
    model = builder.model
    result = []
    for name in model.outputs:
        node = Node(model.path, len(model.nodes), name, "output", (name,), ())
        value = builder.value(node, 0)
        if isinstance(value, Constant) or value.state == "raw":
            raise node.refuse("it does not depend on any layer; remove it")
        wide = value.state == "open"
        bare = value.activation == "none" and value.limits == (-math.inf, math.inf)
        if wide and (value.kernel is None or not bare):
            raise node.refuse(
                "only a convolution without activation can be put out at full width; put "
                "QuantizeLinear and DequantizeLinear in front of the output"
            )
        if value.state in ("half", "rounded"):
            raise node.refuse("the rounded value is not quantised; put QuantizeLinear behind Floor")
        layer = builder.emit(node, value, wide)
        if layer == ir.INPUT:
            raise node.refuse("it is the input itself; remove it")
        result.append(ir.Output(name, layer, 0, builder.shapes[layer][0]))
    if not result:
        raise UserError(f"{model.path}: it has no outputs; export it with outputs")
    return tuple(result)
