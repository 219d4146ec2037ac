"""Tiny ONNX files with the signatures of networks that label.

Each finds the brightest spot of one colour and answers with a pose of seventeen points about it,
so that a picture with one coloured spot tells whether channels, scaling and geometry are right. The
score is the spot's brightness, as the network sees it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

#: Where the points lie about the spot, in pixels of the network's input, [17, 2] of x, y.
OFFSETS = np.array(
    [
        (0, -28), (3, -30), (-3, -30), (6, -29), (-6, -29), (10, -18), (-10, -18), (14, -6),
        (-14, -6), (16, 5), (-16, 5), (7, 4), (-7, 4), (8, 18), (-8, 18), (8, 32), (-8, 32),
    ]
)  # fmt: skip


class Graph:
    """Collects nodes and constants."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """A node with one output, whose name is returned."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def const(self, value: Any, kind: Any = np.float32) -> str:
        """A constant."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def spot(self, plane: str, width: int | str) -> tuple[str, str, str]:
        """Column and row (float [1, 1]) of the largest value of a plane, and the value [1, 1]."""
        flat = self.op("Reshape", plane, self.const([1, -1], np.int64))
        index = self.op("ArgMax", flat, axis=1, keepdims=1)
        wide = width if isinstance(width, str) else self.const([[width]], np.int64)
        row, column = self.op("Div", index, wide), self.op("Mod", index, wide)
        value = self.op("ReduceMax", flat, axes=[1], keepdims=1)
        column, row = (self.op("Cast", t, to=TensorProto.FLOAT) for t in (column, row))
        return column, row, value

    def shaped(self, tensor: str, *shape: int) -> str:
        """A tensor in another shape."""
        return self.op("Reshape", tensor, self.const(shape, np.int64))

    def points(self, column: str, row: str, offsets: np.ndarray) -> tuple[str, str]:
        """x and y, float [17, 1]."""
        x = self.op("Add", column, self.const(offsets[:, :1]))
        return x, self.op("Add", row, self.const(offsets[:, 1:]))

    def everywhere(self, value: str) -> str:
        """A value [1, 1] for all points, [17, 1]."""
        return self.op("Mul", value, self.const(np.ones((17, 1))))

    def save(
        self, path: Path, image: tuple[int, tuple[Any, ...]], outputs: dict[str, tuple[Any, ...]]
    ) -> Path:
        """Write the file; ``outputs`` are shapes by tensor."""
        kind, shape = image
        inputs = [helper.make_tensor_value_info("image", kind, shape)]
        made = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()]
        graph = helper.make_graph(self.nodes, "tiny", inputs, made, self.constants)
        opset = [helper.make_opsetid("", 17)]
        save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
        return path


def _plane(graph: Graph, channel: int, last: bool) -> str:
    """One channel of the input as float."""
    image = graph.op("Cast", "image", to=TensorProto.FLOAT)
    return graph.op("Gather", image, graph.const(channel, np.int64), axis=3 if last else 1)


def movenet(path: Path, side: int = 64, factor: float = 1 / 255) -> Path:
    """MoveNet for one person; it looks at red."""
    graph = Graph()
    column, row, value = graph.spot(_plane(graph, 0, True), side)
    x, y = graph.points(column, row, OFFSETS / 2)
    parts = [
        graph.op("Mul", graph.op("Add", t, graph.const(0.5)), graph.const(1 / side)) for t in (y, x)
    ]
    score = graph.op("Mul", graph.everywhere(value), graph.const(factor))
    out = graph.shaped(graph.op("Concat", *parts, score, axis=1), 1, 1, 17, 3)
    return graph.save(path, (TensorProto.INT32, (1, side, side, 3)), {out: (1, 1, 17, 3)})


def multipose(path: Path) -> Path:
    """MoveNet MultiPose that sees one person, in square pictures; it looks at red."""
    graph = Graph()
    width = graph.op("Gather", graph.op("Shape", "image"), graph.const([[2]], np.int64), axis=0)
    side = graph.op("Cast", width, to=TensorProto.FLOAT)
    column, row, value = graph.spot(_plane(graph, 0, True), width)
    parts = []
    for at, offsets in ((row, OFFSETS[:, 1:]), (column, OFFSETS[:, :1])):  # as large at any size
        centre = graph.op("Div", graph.op("Add", at, graph.const(0.5)), side)
        parts.append(graph.op("Add", centre, graph.const(offsets / 256)))
    score = graph.op("Mul", graph.everywhere(value), graph.const(1 / 255))
    person = graph.shaped(graph.op("Concat", *parts, score, axis=1), 1, 51)
    sure = graph.op("Mul", value, graph.const(1 / 255))
    person = graph.op("Concat", person, graph.const(np.zeros((1, 4))), sure, axis=1)
    out = graph.op("Concat", person, graph.const(np.zeros((5, 56))), axis=0)
    out = graph.shaped(out, 1, 6, 56)
    return graph.save(path, (TensorProto.INT32, (1, "h", "w", 3)), {out: (1, 6, 56)})


def rtmpose(path: Path, width: int = 96, height: int = 128) -> Path:
    """RTMPose; it looks at red less its mean, over its deviation."""
    graph = Graph()
    column, row, value = graph.spot(_plane(graph, 0, False), width)
    score = _unscaled(graph, value)
    rows = []
    for at, size in zip(graph.points(column, row, OFFSETS), (width, height), strict=True):
        twice = graph.op("Cast", graph.op("Mul", at, graph.const(2)), to=TensorProto.INT64)
        hot = graph.op(
            "OneHot", graph.shaped(twice, 17), graph.const([2 * size], np.int64),
            graph.const([0, 1]), axis=1,
        )  # fmt: skip
        rows.append(graph.shaped(graph.op("Mul", hot, score), 1, 17, 2 * size))
    shapes = {rows[0]: (1, 17, 2 * width), rows[1]: (1, 17, 2 * height)}
    return graph.save(path, (TensorProto.FLOAT, (1, 3, height, width)), shapes)


def _unscaled(graph: Graph, value: str) -> str:
    """Brightness 0..1 of a normalised red."""
    back = graph.op("Mul", value, graph.const(58.395 / 255))
    return graph.op("Add", back, graph.const(123.675 / 255))


def heatmaps(path: Path, width: int = 96, height: int = 128, factor: float = 1.0) -> Path:
    """ViTPose and its like; it looks at red less its mean, over its deviation."""
    graph = Graph()
    column, row, value = graph.spot(_plane(graph, 0, False), width)
    score = graph.op("Mul", _unscaled(graph, value), graph.const(factor))
    cells = [
        graph.op("Cast", graph.op("Mul", at, graph.const(0.25)), to=TensorProto.INT64)
        for at in graph.points(column, row, OFFSETS)
    ]
    across = graph.const(width // 4, np.int64)
    index = graph.op("Add", graph.op("Mul", cells[1], across), cells[0])
    depth = graph.const([width * height // 16], np.int64)
    hot = graph.op("OneHot", graph.shaped(index, 17), depth, graph.const([0, 1]), axis=1)
    maps = graph.shaped(graph.op("Mul", hot, score), 1, 17, height // 4, width // 4)
    shape = (1, 17, height // 4, width // 4)
    return graph.save(path, (TensorProto.FLOAT, (1, 3, height, width)), {maps: shape})


def _person(graph: Graph, side: int, channel: int, factor: float, shift: float) -> tuple[str, str]:
    """The score [1, 1] and the points [1, 51] of a network of whole pictures."""
    column, row, value = graph.spot(_plane(graph, channel, False), side)
    x, y = graph.points(column, row, OFFSETS + shift)
    sure = graph.op("Mul", value, graph.const(factor))
    points = graph.op("Concat", x, y, graph.everywhere(sure), axis=1)
    return sure, graph.shaped(points, 1, 51)


def rtmo(path: Path, side: int = 160) -> Path:
    """RTMO; it looks at blue, green, red, 0..255, so red is its last channel."""
    graph = Graph()
    sure, points = _person(graph, side, 2, 1 / 255, 0.0)
    boxes = graph.shaped(graph.op("Concat", graph.const(np.zeros((1, 4))), sure, axis=1), 1, 1, 5)
    points = graph.shaped(points, 1, 1, 17, 3)
    shapes = {boxes: (1, "people", 5), points: (1, "people", 17, 3)}
    return graph.save(path, (TensorProto.FLOAT, (1, 3, side, side)), shapes)


def yolo(path: Path, side: int = 160, rows: bool = False, factor: float = 1.0) -> Path:
    """YOLO with key points, as columns or, where doubles are removed inside, as rows."""
    graph = Graph()
    sure, points = _person(graph, side, 0, factor, 0.5)
    box = [graph.const(np.zeros((1, 4))), sure, *([graph.const([[0]])] if rows else [])]
    person = graph.op("Concat", *box, points, axis=1)
    shape = (1, 1, 57) if rows else (1, 56, 1)
    out = graph.shaped(person, *shape)
    open_shape = (1, "people", 57) if rows else (1, 56, "candidates")
    return graph.save(path, (TensorProto.FLOAT, (1, 3, side, side)), {out: open_shape})


def fixed(path: Path, answer: np.ndarray, image: tuple[Any, ...] = (1, 3, "h", "w")) -> Path:
    """A network that answers the same to every picture."""
    graph = Graph()
    nothing = graph.op("Mul", graph.op("ReduceMax", "image", keepdims=0), graph.const(0))
    out = graph.op("Add", graph.const(answer), nothing)
    return graph.save(path, (TensorProto.FLOAT, image), {out: answer.shape})
