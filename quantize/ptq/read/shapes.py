"""Operators that resize, reshape and pad."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from quantize.ptq.net import Net, Op
from quantize.ptq.read import views
from quantize.ptq.read.reader import Reader
from synthesize.read.onnx.model import Node

Operator = Callable[[Reader, Node], Op]


def per_channel(array: np.ndarray, view: str) -> np.ndarray | None:
    """One number, or one per channel, of a constant that is combined with data; else None."""
    if array.size == 1:
        return array.reshape(1)
    dims = (1,) * (len(view) - array.ndim) + array.shape
    if len(dims) != len(view) or any(
        n != 1 for n, letter in zip(dims, view, strict=True) if letter != "C"
    ):
        return None
    return array.reshape(-1)


def depends(net: Net, gate: Op, data: Op) -> bool:
    """Whether a factor is computed from the data it multiplies, pixel by pixel."""
    while gate.kind in ("act", "affine", "foreign"):
        if gate.inputs[0] == data.name:
            return True
        gate = net.source(gate)
    return False


def curve_of(net: Net, gate: Op) -> str:
    """What a factor makes of the data it is computed from: a name people know."""
    while gate.kind in ("act", "affine", "foreign"):
        if math.isfinite(gate.high) or gate.word == "HardSigmoid":
            return "HardSwish"
        if gate.word == "Gelu":
            return "Gelu"
        gate = net.source(gate)
    return "SiLU"


def flatten(reader: Reader, node: Node) -> Op:
    """Flatten all but the batch."""
    from quantize.ptq.read.operators import foreign

    source = reader.data(node)
    if node.integer("axis", 1) not in (1, 1 - reader.rank(source)):
        return foreign(reader, node, f"Flatten at axis {node.integer('axis', 1)}", "axis 1")
    return _flat(reader, node, source)


def _flat(reader: Reader, node: Node, source: Op, view: str = "NC") -> Op:
    """All values as channels; in another order than C, H, W a linear layer has to know it."""
    from quantize.ptq.read.operators import out

    if reader.view(source) == "NC":
        return reader.seen_as(node, source, view)
    size = math.prod(source.shape)
    order = views.order(reader.view(source))
    made = reader.add(node, Op(out(node), "flatten", [source.name], (size, 1, 1)), view)
    places = views.columns(order, source.shape)
    if (np.diff(places) != 1).any():
        reader.orders[made.name] = places
    return made


def reshape(reader: Reader, node: Node) -> Op:
    """Reshape that flattens, adds or drops axes of length 1, or changes nothing."""
    from quantize.ptq.read.operators import foreign

    source, given = reader.data(node), reader.constant(node, 1)
    if given is None:
        return foreign(reader, node, "Reshape to a shape that is data", "a constant shape")
    view, size = reader.view(source), math.prod(source.shape)
    wanted = _resolved([int(n) for n in given.reshape(-1)], views.dims(view, source.shape))
    if wanted[1:2] == [size] and wanted[0] == 1 and all(n == 1 for n in wanted[2:]):
        return _flat(reader, node, source, "NC" + "1" * (len(wanted) - 2))
    seen = None if source.name in reader.orders else views.reshaped(view, source.shape, wanted)
    if seen is None and _for_groups(reader, node):
        return source
    if seen is None:
        return foreign(reader, node, f"Reshape to {wanted}", "Flatten")
    return reader.seen_as(node, source, seen)


def _for_groups(reader: Reader, node: Node) -> bool:
    """Whether channels are put into groups for a norm, which torch writes so before opset 18."""
    behind = reader.model.reader(node.outputs[0])
    if behind is None or behind.op != "InstanceNormalization":
        return False
    reader.grouped.add(node.outputs[0])
    return True


def _resolved(wanted: list[int], now: tuple[int, ...]) -> list[int]:
    """A target of Reshape with 0 and -1 replaced; the batch is 1."""
    wanted = [now[i] if n == 0 and i < len(now) else n for i, n in enumerate(wanted)]
    rest = math.prod(n for n in wanted if n != -1)
    total = math.prod(now)
    if rest == total and -1 in wanted:
        return [1 if n == -1 else n for n in wanted]
    return [total // max(rest, 1) if n == -1 else n for n in wanted]


def squeeze(reader: Reader, node: Node) -> Op:
    """Squeeze and Unsqueeze: axes of length 1 come and go."""
    from quantize.ptq.read.operators import foreign

    source = reader.data(node)
    view = reader.view(source)
    given = reader.constant(node, 1)
    axes = (node.integers("axes") or ()) if given is None else tuple(int(n) for n in given)
    if node.op == "Unsqueeze":
        seen = views.inserted(view, axes)
    else:
        seen = views.dropped(view, source.shape, axes)
    if seen is None:
        return foreign(reader, node, f"{node.op} of axes {list(axes)}", "axes behind the channels")
    return reader.seen_as(node, source, seen)


def pad(reader: Reader, node: Node) -> Op:
    """Pad with zeros, which the convolution behind it takes over."""
    from quantize.ptq.read.operators import foreign, out

    source = reader.data(node)
    view = reader.view(source)
    rank = len(view)
    given, value = reader.constant(node, 1), reader.constant(node, 2)
    pads = node.integers("pads") if given is None else tuple(int(n) for n in given.reshape(-1))
    zeros = node.attributes.get("mode", "constant") == "constant" and (
        value is None or value.size == 0 or float(value.reshape(-1)[0]) == 0.0
    )
    if (
        pads is None
        or len(pads) != 2 * rank
        or not zeros
        or any(
            a or b
            for letter, a, b in zip(view, pads[:rank], pads[rank:], strict=True)
            if letter not in "HW"
        )
    ):
        return foreign(reader, node, "padding with anything but zeros around rows and columns",
                       "zeros, as part of a convolution")  # fmt: skip
    ends = dict(zip(view, zip(pads[:rank], pads[rank:], strict=True), strict=True))
    (top, bottom), (left, right) = ends.get("H", (0, 0)), ends.get("W", (0, 0))
    shape = (source.shape[0], source.shape[1] + top + bottom, source.shape[2] + left + right)
    op = Op(out(node), "pad", [source.name], shape, pads=(top, left, bottom, right))
    return source if not any(op.pads) else reader.add(node, op)


def resize(reader: Reader, node: Node) -> Op:
    """Resize by a power of two: transposed convolutions that copy."""
    from quantize.ptq.read.operators import foreign
    from quantize.ptq.read.upsample import enlarged, scales_of, smoothed

    source = reader.data(node)
    factor = scales_of(reader, node, source)
    mode = str(node.attributes.get("mode", "nearest"))
    if factor == 1:
        return source
    if factor is None or factor & (factor - 1) or set(reader.view(source)) != set("NCHW"):
        return foreign(reader, node, "Resize by other factors than 2, 4 or 8 in both directions",
                       "Resize by 2, 4 or 8, or ConvTranspose")  # fmt: skip
    way = str(node.attributes.get("coordinate_transformation_mode", "half_pixel"))
    if mode == "nearest" and _repeats(node, way):
        return enlarged(reader, node, source, factor)
    if mode == "linear" and way in ("half_pixel", "pytorch_half_pixel"):
        return smoothed(reader, node, source, factor)
    return foreign(reader, node, f"Resize in mode {mode} with {way}",
                   "mode nearest with asymmetric coordinates, or ConvTranspose")  # fmt: skip


def _repeats(node: Node, way: str) -> bool:
    """Whether nearest-neighbour resizing repeats every pixel, as torch's does."""
    rounding = str(node.attributes.get("nearest_mode", "round_prefer_floor"))
    if node.op == "Upsample":
        return True
    if way == "asymmetric":
        return rounding in ("floor", "round_prefer_floor")
    if way == "tf_half_pixel_for_nn":
        return rounding == "floor"
    return way in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round")
