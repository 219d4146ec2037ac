"""Norms with statistics of each input that an exporter wrote out in primitive operators.

``(x - mean(x)) / sqrt(mean((x - mean(x))**2) + e)`` is one norm to whoever wrote the network, and
one line of the list of obstacles.
"""

from __future__ import annotations

from quantize.ptq.net import Op
from quantize.ptq.read import views
from quantize.ptq.read.reader import Reader
from synthesize.read.onnx.model import Node

STATISTICS = "whose statistics are those of each input"
NEAREST = "BatchNorm, whose statistics are fixed after training"

_MEANS = ("ReduceMean",)
_LENGTHS = ("ReduceL1", "ReduceL2", "ReduceSum", "ReduceSumSquare")
_BETWEEN = ("Add", "Sqrt", "Reciprocal", "Clip", "Max", "Expand", "Identity", "Cast", "Div", "Pow")
"""What stands between a statistic and the data that is divided by it."""
_SQUARES = ("Pow", "Mul", "Abs")
_LONGEST = 12
"""Operators of such a norm that follow one another."""


def written_out(reader: Reader, node: Node) -> Op | None:
    """The norm that a Div, or a Mul with a Reciprocal, ends; None where it ends none."""
    if len(node.inputs) < 2:
        return None
    data, other = node.inputs[:2]
    if node.op == "Mul" and (_statistic(reader, other) is None or not _inverted(reader, other)):
        data, other = other, data
    reduced = _statistic(reader, other)
    if reduced is None or data not in reader.tensors:
        return None
    if node.op == "Mul" and not _inverted(reader, other):
        return None
    data = _unscaled(reader, data)
    if not _same(reader, _squared(reader, reduced.inputs[0]), data):
        return None
    centred = _centred(reader, data)
    source = reader.net.ops[reader.tensors[centred or data]]
    name = _name(reader, reduced, source, centred is not None)
    op = Op((node.name or node.outputs[0]).strip("/").replace("/", "."), "foreign", [source.name],
            source.shape, word=f"{name}, {STATISTICS}", nearest=NEAREST)  # fmt: skip
    op = reader.add(node, op, reader.view(source))
    op.others = False
    return op


def is_norm(op: Op) -> bool:
    """Whether an operation is a norm whose own factors follow."""
    return op.kind == "foreign" and op.word.endswith(STATISTICS)


def _statistic(reader: Reader, tensor: str) -> Node | None:
    """The mean or the length that a divisor is computed from."""
    for _ in range(_LONGEST):
        node = reader.made_by.get(tensor)
        if node is None:
            return None
        if node.op in (*_MEANS, *_LENGTHS):
            return node
        if node.op not in _BETWEEN:
            return None
        tensor = next((name for name in node.inputs if name not in reader.constants), "")
    return None


def _inverted(reader: Reader, tensor: str) -> bool:
    """Whether a factor is one over a statistic."""
    node = reader.made_by.get(tensor)
    return node is not None and node.op in ("Reciprocal", "Div", "Pow")


def _squared(reader: Reader, tensor: str) -> str:
    """The data whose squares or magnitudes are summed."""
    node = reader.made_by.get(tensor)
    return node.inputs[0] if node is not None and node.op in _SQUARES else tensor


def _unscaled(reader: Reader, tensor: str) -> str:
    """Data without constant factors."""
    for _ in range(_LONGEST):
        node = reader.made_by.get(tensor)
        if node is None or node.op not in ("Mul", "Div", "Neg"):
            break
        left = [name for name in node.inputs if name not in reader.constants]
        if len(left) != 1:
            break
        tensor = left[0]
    return tensor


def _same(reader: Reader, one: str, other: str) -> bool:
    """Whether two tensors are one, or the same was computed twice."""
    first, second = reader.made_by.get(one), reader.made_by.get(other)
    if one == other or first is None or second is None:
        return one == other
    return first.op == second.op == "Sub" and first.inputs == second.inputs


def _centred(reader: Reader, tensor: str) -> str | None:
    """What a mean of its own was subtracted from."""
    node = reader.made_by.get(tensor)
    if node is None or node.op != "Sub":
        return None
    mean = reader.made_by.get(node.inputs[1])
    known = mean is not None and mean.op in _MEANS and mean.inputs[0] == node.inputs[0]
    return node.inputs[0] if known and node.inputs[0] in reader.tensors else None


def _name(reader: Reader, reduced: Node, source: Op, centred: bool) -> str:
    """How PyTorch calls a norm."""
    if reduced.op not in _MEANS:
        return "normalize"
    given = reader.constant(reduced, 1)
    axes = reduced.integers("axes") if given is None else [int(n) for n in given.reshape(-1)]
    over = views.axes(reader.view(source), axes or ())
    if not centred:
        return "RMSNorm"
    return "InstanceNorm" if over and set(over) <= set("HWP1") else "LayerNorm"
