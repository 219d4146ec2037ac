"""Writes an integer student as ONNX that computes what the chip computes.

Every layer is weights (int8) -> DequantizeLinear, Conv, Relu, ``Floor(x * 2**k + 0.5)``,
QuantizeLinear with scale 1, DequantizeLinear with scale 1/128. The Floor is there because
QuantizeLinear rounds halves to even where the chip rounds them up; behind it QuantizeLinear only
limits to int8, so nothing is rounded twice. A sum of inputs is quantised with its own step, which
only limits it. Input and outputs are real numbers: the input is
``(pixel - 128) / 128``, a wide output is what :meth:`ai8x_models.students.Student.maps` returns.

Float32 holds every sum exactly as long as it has at most 24 bits; a layer whose weights could
exceed that for some input is refused rather than written inexactly.

``python -m quantize.onnx_export STUDENT-q.pth.tar OUT.onnx`` is the command line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ai8x_models.layers import ONE, FusedConv1d, FusedConvTranspose2d, FusedLayer, FusedLinear
from ai8x_models.spec.layer import both
from ai8x_models.students import INPUT, LayerSpec, Student
from common.arguments import Parser, to_file
from common.console import command_line, say
from common.errors import UserError
from common.files import write_file

OPSET = 17
IR_VERSION = 8
BITS_KEY = "pose78.weight_bits"
"""Metadata: JSON with the bits of every weight initialiser, which int8 tensors do not tell."""
_EXACT_SUM = 1 << 24


def to_onnx(
    student: Student, exact: bool = True, factors: Mapping[str, float] | None = None
) -> Any:
    """Return the ONNX model of a student in integer mode.

    Args:
        student: as :func:`quantize.integer.to_integer` leaves it.
        exact: refuse what ONNX Runtime would compute a little differently than the chip: average
            pooling (the chip truncates the mean) and sums beyond the integers of float32.
        factors: powers of two by which input and outputs are larger than the student's, by name.

    Returns:
        ``onnx.ModelProto`` with input ``input`` [1, C, H, W] ([1, C, L] where it has 1D
        convolutions) float32 and one float32 output per entry of ``spec.outputs``, named like its
        layer.

    Raises:
        UserError: another mode, or a layer that ONNX cannot state (exactly).
    """
    from onnx import TensorProto, helper

    if student.mode != "integer":
        raise UserError(f"the student is in {student.mode} mode; convert it with make quantize")
    one_d = any(spec.op == "conv1d" for spec in student.spec.layers)
    graph = _Graph(helper, exact, one_d)
    factors = factors or {}
    step = factors.get(INPUT, 1.0) / ONE
    source = graph.quantized(INPUT, step, 1.0 / ONE, f"{INPUT}_data")
    values = {INPUT: source}
    for spec, layer in student.steps():
        values[spec.name] = _add_layer(graph, spec, layer, [values[n] for n in spec.sources])
    for name in student.spec.outputs:
        factor = factors.get(name, 1.0)
        if factor != 1.0 and values[name] != name:
            number = graph.number(f"{name}_worth", factor)
            graph.node("Mul", [values[name], number], name, f"{name}_output")
        elif values[name] != name:
            graph.node("Identity", [values[name]], name, f"{name}_output")
    channels, rows, columns = student.spec.input_shape
    shape = [1, channels, rows] if one_d else [1, channels, rows, columns]
    proto = helper.make_graph(
        graph.nodes,
        student.spec.name,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in student.spec.outputs
        ],
        graph.initializers,
    )
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="pose78"
    )
    model.ir_version = IR_VERSION
    helper.set_model_props(model, {BITS_KEY: json.dumps(graph.bits)})
    return model


def save(student: Student, path: Path) -> None:
    """Write a student as an ONNX file, whole or not at all.

    Raises:
        UserError: as :func:`to_onnx`, or it cannot be written.
    """
    write_file(path, to_onnx(student).SerializeToString())


class _Graph:
    """Nodes and initialisers being collected."""

    def __init__(self, helper: Any, exact: bool, one_d: bool) -> None:
        self.helper, self.exact, self.one_d = helper, exact, one_d
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.bits: dict[str, int] = {}
        self.flat: set[str] = set()
        """Tensors without rows and columns: results of linear layers."""
        self.zero = self.constant("zero_point", np.zeros((), np.int8))

    def constant(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def number(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, np.float32))

    def sizes(self, pair: tuple[int, int]) -> list[int]:
        """Rows and columns; rows alone where data has no columns."""
        return [pair[0]] if self.one_d else list(pair)

    def node(
        self, op: str, inputs: list[str], output: str, name: str = "", **attributes: Any
    ) -> str:
        self.nodes.append(
            self.helper.make_node(op, inputs, [output], name=name or output, **attributes)
        )
        return output

    def quantized(self, tensor: str, step: float, worth: float, result: str) -> str:
        """Quantise with scale ``step`` and give the integers the scale ``worth``."""
        scale = self.number(f"{result}_step", step)
        whole = self.node("QuantizeLinear", [tensor, scale, self.zero], f"{result}_int8")
        worth_name = self.number(f"{result}_scale", worth)
        return self.node("DequantizeLinear", [whole, worth_name, self.zero], result)


def _add_layer(graph: _Graph, spec: LayerSpec, layer: FusedLayer, sources: list[str]) -> str:
    """Add one fused layer and return the tensor that holds its result."""
    name = spec.name
    flat = isinstance(layer, FusedLinear) or layer.op is None
    if not (flat and graph.flat.issuperset(sources)):
        sources = [_as_pixel(graph, source, f"{name}_{i}") for i, source in enumerate(sources)]
        flat = isinstance(layer, FusedLinear)
    value = _gathered(graph, name, layer, sources)
    if layer.op is not None:
        value = _computed(graph, name, layer, _add_operation(graph, name, layer, value))
    graph.flat.update([value] * flat)
    return value


def _as_pixel(graph: _Graph, source: str, name: str) -> str:
    """Data with rows and columns: those of one pixel where a linear layer gave none."""
    if source not in graph.flat:
        return source
    shape = np.array([0, -1, 1] if graph.one_d else [0, -1, 1, 1])
    return graph.node("Reshape", [source, graph.constant(f"{name}_shape", shape)], f"{name}_pixel")


def _computed(graph: _Graph, name: str, layer: FusedLayer, value: str) -> str:
    """Activation, factor and rounding of a layer behind its sums."""
    shift = int(layer.output_shift)
    if layer.wide:
        factor = graph.number(f"{name}_factor", 2.0**shift)
        return graph.node("Mul", [value, factor], name, f"{name}_scaled")
    if layer.activation == "relu":
        value = graph.node("Relu", [value], f"{name}_relu")
    factor = graph.number(f"{name}_factor", ONE * 2.0**shift)
    value = graph.node("Mul", [value, factor], f"{name}_scaled")
    value = graph.node("Add", [value, graph.number(f"{name}_half", 0.5)], f"{name}_up")
    value = graph.node("Floor", [value], f"{name}_floor")
    value = graph.quantized(value, 1.0, 1.0 / ONE, f"{name}_data")
    if layer.activation == "abs":
        value = graph.node("Abs", [value], f"{name}_abs")
        # |-128| is one too many for the chip's bytes.
        most = graph.number(f"{name}_most", 127.0 / ONE)
        value = graph.node("Clip", [value, "", most], f"{name}_clip")
    return value


_JOINS = {"add": "Add", "sub": "Sub"}


def _gathered(graph: _Graph, name: str, layer: FusedLayer, sources: list[str]) -> str:
    """Fold, pool and join the inputs of a layer."""
    values = [
        _pooled(graph, name if len(sources) == 1 else f"{name}_{number}", layer, source)
        for number, source in enumerate(sources)
    ]
    if len(values) == 1:
        return values[0]
    if layer.joined == "concat":
        return graph.node("Concat", values, f"{name}_joined", axis=1)
    if layer.joined not in _JOINS:
        raise UserError(f"layer {name}: '{layer.joined}' has no form in ONNX {OPSET}; use add")
    value = values[0]
    for number, other in enumerate(values[1:], 1):
        value = graph.node(_JOINS[layer.joined], [value, other], f"{name}_sum{number}")
    return graph.quantized(value, 1.0 / ONE, 1.0 / ONE, f"{name}_joined")


def _pooled(graph: _Graph, name: str, layer: FusedLayer, source: str) -> str:
    if layer.fold > 1:
        source = graph.node("SpaceToDepth", [source], f"{name}_folded", blocksize=layer.fold)
    size, steps = both(layer.pool), both(layer.pool_stride)
    if (size, steps) == ((1, 1), (1, 1)):
        return source
    if layer.pooling == "avg" and graph.exact:
        raise UserError(f"layer {name}: ONNX averages without truncation; use maximum pooling")
    kind = "MaxPool" if layer.pooling == "max" else "AveragePool"
    return graph.node(
        kind, [source], f"{name}_pool",
        kernel_shape=graph.sizes(size), strides=graph.sizes(steps),
    )  # fmt: skip


def _add_operation(graph: _Graph, name: str, layer: FusedLayer, source: str) -> str:
    bits = int(layer.weight_bits)
    op = layer.op
    weight = op.weight.detach().numpy()
    step = 2.0 ** (1 - bits)
    stored = np.zeros(layer.by_output().shape[0], np.float32)
    if op.bias is not None:
        # Bias memory holds floor(bias / 2**(bits - 1)), one of which is worth one step of weight.
        stored = np.floor(op.bias.detach().numpy() * step)
    if graph.exact:
        _check_exact(name, layer, stored)
    graph.bits[f"{name}_weight"] = bits
    inputs = [
        graph.constant(f"{name}_weight", weight.astype(np.int8)),
        graph.number(f"{name}_weight_scale", step),
        graph.zero,
    ]
    real = graph.node("DequantizeLinear", inputs, f"{name}_weight_real")
    bias = [graph.constant(f"{name}_bias", (stored * step).astype(np.float32))]
    # The node's name becomes the layer's name when the model is read back.
    if isinstance(layer, FusedLinear):  # the data loses its two axes of length 1
        flat = graph.node("Flatten", [source], f"{name}_flat")
        return graph.node("Gemm", [flat, real, *bias], f"{name}_sum", name, transB=1)
    attributes: dict[str, Any] = {
        "kernel_shape": list(op.kernel_size),
        "strides": list(op.stride),
        "pads": [int(p) for p in op.padding] * 2,
    }
    if isinstance(layer, FusedConv1d) and op.dilation[0] > 1:
        attributes["dilations"] = list(op.dilation)
    kind = "Conv"
    if isinstance(layer, FusedConvTranspose2d):
        kind, attributes["output_padding"] = "ConvTranspose", list(op.output_padding)
    given = [source, real, *(bias if op.bias is not None else [])]
    return graph.node(kind, given, f"{name}_sum", name, **attributes)


def _check_exact(name: str, layer: FusedLayer, stored: np.ndarray) -> None:
    """Refuse sums that some input could drive beyond the integers of float32."""
    sums = layer.by_output().detach().abs().sum(dim=(1, 2)).numpy()
    largest = ONE * float((sums + np.abs(stored)).max())
    if not layer.wide:
        # One half of the result, in steps of the accumulator, is added for rounding.
        largest += 64 * 2.0 ** -(int(layer.output_shift) + 8 - int(layer.weight_bits))
    if largest >= _EXACT_SUM:
        raise UserError(
            f"layer {name}: sums of up to {largest:.0f} are not exact in float32 (below "
            f"{_EXACT_SUM}); use fewer weight bits"
        )


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Export one checkpoint; exit status 2 with one sentence for bad input."""
    parser = Parser(prog="python -m quantize.onnx_export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="integer student (-q.pth.tar)")
    parser.add_argument("out", type=to_file, help="ONNX file to write")
    options = parser.parse_args(arguments)
    from ai8x_models.student_file import load_student

    student, _ = load_student(options.checkpoint)
    save(student, options.out)
    say(f"ONNX model written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
