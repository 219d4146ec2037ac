"""Reads any float (or QDQ) ONNX model into a :class:`quantize.ptq.net.Net`.

Nothing is refused that can be understood: what the chip does not have becomes a ``foreign``
operation, so that all obstacles can be listed at once. Only what leaves nothing to list is an
error: a file that is no model, several inputs, sizes that are not fixed.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from common.errors import UserError
from quantize.ptq.net import INPUT, Net, Obstacle, Op, Shape
from quantize.ptq.read import constants, views
from synthesize.read.onnx import model as onnx_model
from synthesize.read.onnx.model import Model, Node

MAX_SIZE = 4096
MAX_AXES = 8
MAX_VALUES = 1 << 24
"""Of one result; the chip's data memory holds half a million."""

TYPES = (
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64"),
)
"""Of inputs that can be given."""

_STEPS = ("strides", "kernel_shape", "dilations")


class Reader:
    """What is known while operators are read: constants, and the operation behind each tensor."""

    def __init__(self, model: Model, net: Net, view: str) -> None:
        self.model, self.net = model, net
        self.constants = {name: _array(value) for name, value in model.constants.items()}
        self.tensors: dict[str, str] = {}
        self.views = {INPUT: view}
        self.orders: dict[str, np.ndarray] = {}
        """Where the values of flat data lie, by operation, that was flattened with channels last.

        Every operation but a linear layer hands it on; a linear layer's weights are put in order.
        """
        self.whole = {net.input_name} if net.whole else set()
        """Tensors of the model that hold whole numbers by their type."""
        self.grouped: set[str] = set()
        """Tensors whose channels were put into groups for a norm."""
        self.vague: set[str] = set()
        """Tensors within what is read as one thing, whose sizes nobody knows."""
        self.made_by: dict[str, Node] = {}
        """The node that computes a tensor of the model."""
        self.steps: dict[str, tuple[np.ndarray | None, np.ndarray | None]] = {}
        """Scale and zero point of what a QuantizeLinear made, by tensor of the model."""

    def constant(self, node: Node, index: int) -> np.ndarray | None:
        """A constant input, None when it is data or missing."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        return self.constants.get(name)

    def is_data(self, node: Node, index: int) -> bool:
        """Whether an input is data."""
        return index < len(node.inputs) and node.inputs[index] in self.tensors

    def data(self, node: Node, index: int = 0) -> Op:
        """The operation behind an input.

        Raises:
            UserError: nothing computes it.
        """
        name = node.inputs[index] if index < len(node.inputs) else ""
        if name in self.tensors:
            return self.net.ops[self.tensors[name]]
        what = "it is a constant" if name in self.constants else "no operator before computes it"
        raise node.refuse(f"input {index + 1} ({name!r}) should be data, but {what}")

    def rank(self, op: Op) -> int:
        """Axes of an operation's result in the model, the batch included."""
        return len(self.views[op.name])

    def view(self, op: Op) -> str:
        """How an operation's result lies in the model."""
        return self.views[op.name]

    def seen_as(self, node: Node, source: Op, view: str) -> Op:
        """The same data in another view."""
        if view == self.view(source):
            return source
        op = Op(f"{source.name}.{view}", "affine", [source.name], source.shape)
        op.weight, op.bias = np.ones(1), np.zeros(1)
        op.tensor = source.tensor
        return self.add(node, op, view)

    def add(self, node: Node, op: Op, view: str | None = None) -> Op:
        """Append an operation; its view is that of its first input unless it is given.

        Raises:
            UserError: its result holds nothing, or more than any that is looked at.
        """
        size = "x".join(map(str, op.shape))
        if min(op.shape) < 1:
            raise node.refuse(f"its result of {size} holds nothing; check its sizes and its inputs")
        if math.prod(op.shape) > MAX_VALUES:
            raise node.refuse(f"its result of {size} is too large; at most {MAX_VALUES} values")
        op.node = op.node or label(node)
        if op.kind == "foreign":
            read = {self.tensors[name] for name in node.inputs if name in self.tensors}
            op.others = len(read) > 1 and op.substitute == "none"
        first = self.views[op.inputs[0]] if view is None else view
        source = op.inputs[0]
        self.net.add(op)
        self.views[op.name] = first
        if source in self.orders and op.kind != "linear":
            self.orders[op.name] = self.orders[source]
        return op

    def as_it_lies(self, source: Op, values: np.ndarray) -> np.ndarray:
        """Numbers for every channel of an operation's result, along the last axis, in its order."""
        return views.as_it_lies(values, self.orders.get(source.name))

    def uncertain(self, op: Op) -> bool:
        """Whether something before that the chip does not have may make another size of data."""
        waiting, seen = [op], {op.name}
        while waiting:
            one = waiting.pop()
            if one.kind == "foreign":
                return True
            waiting += [self.net.ops[name] for name in one.inputs if name not in seen]
            seen.update(one.inputs)
        return False

    def order(self, op: Op) -> np.ndarray | None:
        """Where the values of flat data lie (see ``orders``), None for the order of channels."""
        return self.orders.get(op.name)

    def obstacle(self, node: Node, reason: str, nearest: str) -> None:
        """Note something that the chip cannot do."""
        self.net.obstacles.append(Obstacle(label(node), reason, nearest))

    def avoidable(self, node: Node, reason: str, nearest: str) -> None:
        """Note something that the chip cannot do, but nearly; the nearest thing is read already."""
        self.net.obstacles.append(Obstacle(label(node), reason, nearest, True))

    def note(self, text: str) -> None:
        """Tell the user something, once."""
        if text not in self.net.notes:
            self.net.notes.append(text)


def label(node: Node) -> str:
    """How a node is called in sentences."""
    return f"node {node.name} ({node.op})"


def read(path: str | Path) -> Net:
    """Read a model.

    Raises:
        UserError: unreadable file, several inputs, sizes that are not fixed, or inputs of an
            operator that do not go together.
    """
    from quantize.ptq.read import attention
    from quantize.ptq.read.operators import operator_of

    model = onnx_model.read(path)
    net, view = _start(model)
    reader = Reader(model, net, view)
    reader.tensors[net.input_name] = INPUT
    blocks, inside = attention.find(model), dict[int, attention.Block]()
    for place, node in enumerate(model.nodes):
        if place in blocks:
            inside |= attention.settled(reader, blocks[place])
        value = _constant(reader, node)
        if value is not None:
            reader.constants[node.outputs[0]] = value
            continue
        if not any(name in reader.tensors for name in node.inputs):
            raise node.refuse("it depends on nothing this program can compute; simplify the model")
        _check_attributes(node)
        function = operator_of(reader, node)
        if place in inside:
            function = attention.part(inside[place], place, function)
        result = function(reader, node)
        results = result if isinstance(result, list) else [result]
        reader.made_by.update(dict.fromkeys(node.outputs, node))
        for name, op in zip(node.outputs, results, strict=False):
            reader.tensors[name] = op.name
            op.tensor = op.tensor or name
            net.views.setdefault(name, reader.view(op))
    _outputs(reader)
    return net


def _check_attributes(node: Node) -> None:
    """Refuse steps, windows and margins that no operator can have."""
    for key in (*_STEPS, "pads"):
        least = 1 if key in _STEPS else -MAX_SIZE
        values = node.integers(key) or ()
        if any(not least <= n <= MAX_SIZE for n in values):
            raise node.refuse(f"{key} are {list(values)}; from {least} to {MAX_SIZE} is possible")


def per_axis(node: Node, key: str, count: int, usual: int = 1) -> tuple[int, ...]:
    """An attribute with a number for every axis, ``usual`` ones when it is absent.

    Raises:
        UserError: it has more or fewer.
    """
    values = node.integers(key) or (usual,) * count
    if len(values) != count:
        raise node.refuse(f"{key} are {list(values)}; its data asks for {count} numbers")
    return values


def _start(model: Model) -> tuple[Net, str]:
    if len(model.inputs) != 1:
        names = ", ".join(model.inputs) or "none"
        raise UserError(
            f"{model.path}: it has {len(model.inputs)} inputs ({names}); a network for the chip "
            "has one"
        )
    name, dims = next(iter(model.inputs.items()))
    said = "x".join("?" if d in (None, 0, -1) else str(d) for d in dims)
    if len(dims) not in (2, 3, 4):
        raise UserError(
            f"{model.path}: input {name} is {said}; expected a batch, channels and up to two axes"
        )
    if dims[0] not in (1, None, 0, -1):
        raise UserError(
            f"{model.path}: input {name} is {said}; export it with a batch of 1 or an open one"
        )
    sizes = [0 if d is None else int(d) for d in dims[1:]]
    if any(not 0 < n <= MAX_SIZE for n in sizes):
        raise UserError(
            f"{model.path}: input {name} is {said}; only the batch may be open, so export with "
            f"fixed sizes (at most {MAX_SIZE})"
        )
    view = views.FIRST[len(dims)]
    if len(dims) > 2 and _channel_axis(model, name, [1, *sizes]) == len(dims) - 1:
        view = views.LAST[len(dims)]
    found = dict(zip(view[1:], sizes, strict=True))
    shape: Shape = (found["C"], found.get("H", 1), found.get("W", 1))
    net = Net(model.name, name, views.LAYOUTS[view], input_type=_type_of(model, name))
    net.add(Op(INPUT, "input", [], shape))
    return net, view


def _type_of(model: Model, name: str) -> str:
    """Type of the numbers that an input holds.

    Raises:
        UserError: text, or numbers that nobody could give.
    """
    kind = model.types.get(name) or "float32"
    if kind not in TYPES:
        raise UserError(
            f"{model.path}: input {name} holds {kind}; export it with float32, or with whole "
            "numbers and a Cast behind them"
        )
    return kind


_EACH = (
    *("QuantizeLinear", "DequantizeLinear", "Cast", "Identity", "Dropout", "Add", "Sub", "Mul"),
    *("Div", "Pow", "Neg", "Abs", "Sqrt", "Exp", "Relu", "Clip", "LeakyRelu", "PRelu", "Elu"),
    *("Selu", "Gelu", "Erf", "Sigmoid", "HardSigmoid", "HardSwish", "Softplus", "Tanh", "Min"),
    "Max",
)
"""Operators that leave every value where it is."""

_IN_FRONT = ("Conv", "ConvTranspose", "BatchNormalization", "MaxPool", "AveragePool")
"""Operators that take the second axis for channels."""

Places = list[int | None]
"""Which axis of the input stands at each axis of a tensor; None: one that was put in."""


def _channel_axis(model: Model, name: str, sizes: list[int]) -> int:
    """The axis of the input that its first layer takes for channels: Keras has them last."""
    data = {name}
    for node in model.nodes:
        if data.intersection(node.inputs):
            data.update(node.outputs)
    known: dict[str, Places] = {name: list(range(len(sizes)))}
    for node in model.nodes:
        found = next((n for n in node.inputs if n in known), "")
        if not found:
            continue
        weighted = not data.intersection(n for n in node.inputs if n != found)
        decided = _decided(model, node, known[found], sizes, node.inputs[0] == found)
        if decided and weighted:
            return decided
        behind = _behind(model, node, known[found])
        if behind:
            known[node.outputs[0]] = behind
    return 1


def _decided(model: Model, node: Node, places: Places, sizes: list[int], first: bool) -> int | None:
    """The axis of the input that a layer takes for channels; None where it takes none.

    ``first``: whether data is what the layer reads first.
    """
    if node.op == "MatMul":  # a linear layer for every pixel
        return places[-1 if first else -2] or 1
    if node.op in _IN_FRONT and first and len(places) > 1:
        return places[1] or 1
    whole = _whole(model, node)
    if node.op == "Reshape" and whole[1:2] == [1] and len(whole) == len(sizes) == 4:
        one = [n for n in places[1:] if n is not None and sizes[n] == 1]
        return one[0] if one and whole[2:] == sizes[1:3] else 1
    return None


def _behind(model: Model, node: Node, places: Places) -> Places | None:
    """Where the axes of the input lie behind an operator that computes no layer."""
    perm = node.integers("perm")
    if node.op == "Transpose" and perm is not None and sorted(perm) == list(range(len(places))):
        return [places[n] for n in perm]
    if node.op == "Unsqueeze":
        added = _whole(model, node) or list(node.integers("axes") or ())
        behind = list(places)
        for place in sorted(n % (len(places) + len(added)) for n in added):
            behind.insert(place, None)
        return behind
    return places if node.op in _EACH else None


def _whole(model: Model, node: Node) -> list[int]:
    """The second input, where that is constant whole numbers."""
    given = model.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    if given is None or given.array.dtype.kind not in "iu":
        return []
    return [int(n) for n in given.array.reshape(-1)]


def _constant(reader: Reader, node: Node) -> np.ndarray | None:
    """Value of a node that depends on constants only."""
    if not node.outputs or not node.outputs[0]:
        raise node.refuse("it has no output")
    if node.op == "Constant":
        return constants.value_of(node)
    if node.op == "Shape" and node.inputs[0] in reader.vague:
        return np.ones(MAX_AXES, np.int64)
    if node.op == "Shape" and reader.is_data(node, 0):
        return np.array(_dims(reader, reader.data(node)))
    known = [reader.constants.get(name) for name in node.inputs]
    if any(value is None and name for name, value in zip(node.inputs, known, strict=True)):
        return None
    return constants.folded(node, known)


def _dims(reader: Reader, op: Op) -> tuple[int, ...]:
    """Dimensions in the model, batch 1."""
    return views.dims(reader.view(op), op.shape)


def _outputs(reader: Reader) -> None:
    net, model = reader.net, reader.model
    for op in net.ops.values():
        if op.name in reader.orders:
            net.orders[op.tensor] = reader.orders[op.name]
    for name in model.outputs:
        if name not in reader.tensors:
            raise UserError(f"{model.path}: output {name} does not depend on the input; remove it")
        op = net.ops[reader.tensors[name]]
        if op.kind == "input":
            raise UserError(f"{model.path}: output {name} is the input itself; remove it")
        twisted = op.name in reader.orders or views.moved(reader.view(op), op.shape)
        if twisted and op.kind != "foreign":
            net.turned.add(name)
        if op.tensor != name:  # what only moved data is not computed here
            net.cut[name] = op.tensor
        net.outputs.append((name, op.name))
    if not net.outputs:
        raise UserError(f"{model.path}: it has no outputs; export it with outputs")


def _array(value: onnx_model.Constant) -> np.ndarray:
    return value.array
