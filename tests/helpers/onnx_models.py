"""Small quantised ONNX models, built by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

UNIT = 1.0 / 128


class Model:
    """Collects operators; tensors are named, weights come from a seeded generator."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.shape = shape
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.metadata: dict[str, str] = {}
        self.zero = self.constant(np.zeros((), np.int8))
        self.data = self.quantized("input", UNIT)

    def constant(self, value: np.ndarray, name: str = "") -> str:
        name = name or f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def add(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(
                op, list(inputs), [output], name=name or f"{op}_{output}", **attributes
            )
        )
        return output

    def quantized(self, tensor: str, step: float, worth: float | None = None) -> str:
        whole = self.add("QuantizeLinear", tensor, self.number(step), self.zero)
        scale = self.number(step if worth is None else worth)
        return self.add("DequantizeLinear", whole, scale, self.zero)

    def rounded(self, tensor: str, shift: int = 0) -> str:
        """The chip's rounding of ``tensor * 2**shift`` to 1/128."""
        tensor = self.add("Mul", tensor, self.number(128 * 2.0**shift))
        tensor = self.add("Floor", self.add("Add", tensor, self.number(0.5)))
        return self.quantized(tensor, 1.0, UNIT)

    def weight(self, *shape: int, step: float = 2.0**-7, low: int = -128, high: int = 127) -> str:
        whole = self.constant(self.rng.integers(low, high + 1, shape).astype(np.int8))
        return self.add("DequantizeLinear", whole, self.number(step), self.zero)

    def bias(self, count: int) -> str:
        """Biases that the chip holds exactly beside 8-bit weights."""
        return self.constant((self.rng.integers(-60, 60, count) / 128).astype(np.float32))

    def conv(self, tensor: str, weight: str, count: int, name: str = "", **attributes: Any) -> str:
        return self.add("Conv", tensor, weight, self.bias(count), name=name, **attributes)

    def proto(self, *outputs: str, opset: int = 18) -> Any:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, *self.shape))],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 9
        helper.set_model_props(model, self.metadata)
        return model

    def save(self, path: Path, *outputs: str, opset: int = 18) -> Path:
        path.write_bytes(self.proto(*outputs, opset=opset).SerializeToString())
        return path
