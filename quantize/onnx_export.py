"""Writes an integer student as ONNX that computes what the chip computes.

Every layer is weights (int8) -> DequantizeLinear, Conv, Relu, ``Floor(x * 2**k + 0.5)``,
QuantizeLinear with scale 1, DequantizeLinear with scale 1/128. The Floor is there because
QuantizeLinear rounds halves to even where the chip rounds them up; behind it QuantizeLinear only
limits to int8, so nothing is rounded twice. Input and outputs are real numbers: the input is
``(pixel - 128) / 128``, a wide output is what :meth:`ai8x_models.students.Student.maps` returns.

Float32 holds every sum exactly as long as it has at most 24 bits; a layer whose weights could
exceed that for some input is refused rather than written inexactly.

``python -m quantize.onnx_export STUDENT-q.pth.tar OUT.onnx`` is the command line.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ai8x_models.layers import ONE, FusedConv2d
from ai8x_models.linear import FusedLinear
from ai8x_models.students import INPUT, LayerSpec, Student
from common.console import command_line
from common.errors import UserError
from common.files import write_file

OPSET = 17
IR_VERSION = 8
BITS_KEY = "pose78.weight_bits"
"""Metadata: JSON with the bits of every weight initialiser, which int8 tensors do not tell."""
_EXACT_SUM = 1 << 24


def to_onnx(student: Student) -> Any:
    """Return the ONNX model of a student in integer mode.

    Args:
        student: as :func:`quantize.integer.to_integer` leaves it.

    Returns:
        ``onnx.ModelProto`` with input ``input`` [1, C, H, W] float32 and one float32 output per
        entry of ``spec.outputs``, named like its layer.

    Raises:
        UserError: another mode, or a layer that ONNX cannot state exactly.
    """
    from onnx import TensorProto, helper

    if student.mode != "integer":
        raise UserError(f"the student is in {student.mode} mode; convert it with make quantize")
    graph = _Graph(helper)
    source = graph.quantized(INPUT, 1.0 / ONE, 1.0 / ONE, f"{INPUT}_data")
    values = {INPUT: source}
    for spec, layer in student.layers():
        values[spec.name] = _add_layer(graph, spec, layer, values[spec.source])
    for name in student.spec.outputs:
        if values[name] != name:
            graph.node("Identity", [values[name]], name, f"{name}_output")
    shape = [1, *student.spec.input_shape]
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

    def __init__(self, helper: Any) -> None:
        self.helper = helper
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.bits: dict[str, int] = {}
        self.zero = self.constant("zero_point", np.zeros((), np.int8))

    def constant(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def number(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, np.float32))

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


def _add_layer(graph: _Graph, spec: LayerSpec, layer: FusedConv2d, source: str) -> str:
    """Add one fused layer and return the tensor that holds its result."""
    name = spec.name
    if layer.fold > 1:
        source = graph.node("SpaceToDepth", [source], f"{name}_folded", blocksize=layer.fold)
    if layer.pooling == "avg" and layer.pool > 1:
        raise UserError(f"layer {name}: ONNX averages without truncation; use maximum pooling")
    if layer.pool > 1 or layer.pool_stride > 1:
        source = graph.node(
            "MaxPool", [source], f"{name}_pool",
            kernel_shape=[layer.pool] * 2, strides=[layer.pool_stride] * 2,
        )  # fmt: skip
    value = _add_convolution(graph, name, layer, source)
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


def _add_convolution(graph: _Graph, name: str, layer: FusedConv2d, source: str) -> str:
    bits = int(layer.weight_bits)
    weight = layer.op.weight.detach().numpy()
    step = 2.0 ** (1 - bits)
    stored = np.zeros(len(weight), np.float32)
    if layer.op.bias is not None:
        # Bias memory holds floor(bias / 2**(bits - 1)), one of which is worth one step of weight.
        stored = np.floor(layer.op.bias.detach().numpy() * step)
    _check_exact(name, layer, weight, stored)
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
    return graph.node(
        "Conv", [source, real, *(bias if layer.op.bias is not None else [])], f"{name}_sum", name,
        kernel_shape=list(layer.op.kernel_size), strides=list(layer.op.stride),
        pads=[int(p) for p in layer.op.padding] * 2,
    )  # fmt: skip


def _check_exact(name: str, layer: FusedConv2d, weight: np.ndarray, stored: np.ndarray) -> None:
    """Refuse sums that some input could drive beyond the integers of float32."""
    sums = np.abs(weight).reshape(len(weight), -1).sum(axis=1)
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
    parser = argparse.ArgumentParser(prog="python -m quantize.onnx_export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="integer student (-q.pth.tar)")
    parser.add_argument("out", type=Path, help="ONNX file to write")
    options = parser.parse_args(arguments)
    from ai8x_models.student_file import load_student

    student, _ = load_student(options.checkpoint)
    save(student, options.out)
    print(f"ONNX model written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
