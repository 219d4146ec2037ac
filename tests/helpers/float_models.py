"""Float models in ONNX, put together operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(7)


class Float:
    """A float model under construction; its weights are the same whatever was built before."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.last = "x"
        self.rng = np.random.default_rng(7)

    def constant(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def random(self, *shape: int) -> str:
        return self.constant(self.rng.normal(0, 0.4, shape).astype(np.float32))

    def whole(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def real(self, *values: float) -> str:
        return self.constant(np.array(values, np.float32))

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        given = list(inputs) if inputs else [self.last]
        name = f"{op}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, given, names, name=name, **attributes))
        self.last = names[0]
        return names[0]

    def conv(self, inputs: int, outputs: int, *size: int, source: str = "", **more: Any) -> str:
        weight = self.random(outputs, inputs // more.get("group", 1), *size)
        return self.add("Conv", source or self.last, weight, self.random(outputs), **more)

    def save(self, path: Path, *outputs: str, opset: int = 17) -> Path:
        path.write_bytes(self.content(*outputs, opset=opset))
        return path

    def content(self, *outputs: str, opset: int = 17) -> bytes:
        names = outputs or (self.last,)
        graph = helper.make_graph(
            self.nodes, "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, *self.shape))],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names],
            self.constants,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 9
        content: bytes = model.SerializeToString()
        return content
