"""Operators that pool, resize and reshape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from quantize.ptq.net import Net, Op, Pair
from quantize.ptq.read import views
from quantize.ptq.read.reader import Reader, label, per_axis
from synthesize.chip.limits import MAX_POOL
from synthesize.read.onnx.model import Node

Operator = Callable[[Reader, Node], Op]
Pooling = Literal["max", "avg"]


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


def _pool(reader: Reader, node: Node, kind: Pooling) -> Op:
    from quantize.ptq.read.operators import foreign, out

    source = reader.data(node)
    window = node.integers("kernel_shape")
    letters = views.spatial(reader.view(source))
    if window is None or not letters or len(window) != len(letters):
        return foreign(reader, node, "pooling of data without rows", "pooling of rows and columns")
    step = per_axis(node, "strides", len(letters))
    pads = _pool_pads(node, views.dims(letters, source.shape), window, step)
    if letters == "WH":
        window, step = window[::-1], step[::-1]
        pads = tuple(pads[n] for n in (1, 0, 3, 2))
    spatial = 1 if source.shape[2] == 1 and window[1:] in ((), (1,)) else 2
    size, stride = _pair(window), _pair(step, 1)
    floor, ceil = (
        _sizes(source, size, stride, pads, False),
        _sizes(source, size, stride, pads, True),
    )
    result = ceil if node.integer("ceil_mode", 0) else floor
    trouble = _pool_trouble(node, pads, size, stride, result != floor, spatial)
    if trouble:
        nearest = "a window without padding, of 1 to 16 rows and columns, equal strides"
        reader.obstacle(node, trouble, nearest)
        size, stride = _stand_in(source, result)
    op = Op(out(node), "pool", [source.name], (source.shape[0], *result), pooling=kind)
    op.window, op.step = size, stride
    return reader.add(node, op)


def _pool_trouble(
    node: Node, pads: tuple[int, ...], size: Pair, stride: Pair, cut: bool, spatial: int
) -> str:
    if any(pads):
        return f"pooling with pads {list(pads)}"
    if any(n != 1 for n in node.integers("dilations") or ()):
        return "pooling with dilation"
    if cut:
        return "pooling beyond the edge (ceil_mode)"
    if max(*size, *stride) > MAX_POOL:
        return f"a pooling window or stride of {max(*size, *stride)}"
    if spatial == 2 and stride[0] != stride[1]:
        return f"pooling strides {list(stride)}"
    return ""


def _stand_in(source: Op, result: Pair) -> tuple[Pair, Pair]:
    """Window and strides of a pooling the chip has that gives data of the same size."""
    flat = source.shape[2] == 1
    for step in range(MAX_POOL, 0, -1):
        rows, columns = (
            _window(n, wanted, step) for n, wanted in zip(source.shape[1:], result, strict=True)
        )
        if rows and columns:
            return (rows, columns), (step, 1 if flat else step)
    step = max(1, min(MAX_POOL, source.shape[1] // max(result[0], 1)))
    return (step, 1 if flat else step), (step, 1 if flat else step)


def _window(size: int, wanted: int, step: int) -> int:
    """The window nearest to its stride that makes ``wanted`` of ``size`` values; 0: none does."""
    least, most = max(1, size - wanted * step + 1), min(MAX_POOL, size - (wanted - 1) * step)
    return max(least, min(most, step)) if least <= most else 0


def _pool_pads(
    node: Node, sizes: tuple[int, ...], window: tuple[int, ...], step: tuple[int, ...]
) -> tuple[int, ...]:
    if str(node.attributes.get("auto_pad", "NOTSET")).startswith("SAME"):
        totals = [
            max((-(-n // s) - 1) * s + k - n, 0)
            for n, k, s in zip(sizes, window, step, strict=True)
        ]
        return tuple([t // 2 for t in totals] + [t - t // 2 for t in totals])
    return per_axis(node, "pads", 2 * len(window), 0)


def _sizes(source: Op, size: Pair, stride: Pair, pads: tuple[int, ...], up: bool) -> Pair:
    half = len(pads) // 2
    sizes = []
    for axis in range(2):
        n, k, s = source.shape[1 + axis], size[axis], stride[axis]
        around = pads[axis] + pads[half + axis] if axis < half else 0
        steps = (n + around - k) / s
        sizes.append(max(0, math.ceil(steps) if up else math.floor(steps)) + 1)
    return sizes[0], sizes[1]


def _pair(values: tuple[int, ...], default: int = 1) -> Pair:
    return (values[0], values[1]) if len(values) == 2 else (values[0], default)


def max_pool(reader: Reader, node: Node) -> Op:
    """MaxPool."""
    return _pool(reader, node, "max")


def average_pool(reader: Reader, node: Node) -> Op:
    """AveragePool; the chip truncates the mean."""
    return _pool(reader, node, "avg")


def global_pool(kind: Pooling) -> Operator:
    """Pooling over all rows and columns."""

    def make(reader: Reader, node: Node) -> Op:
        source = reader.data(node)
        if views.spatial(reader.view(source)) is None:
            from quantize.ptq.read.operators import foreign

            return foreign(reader, node, f"{node.op} of axes {reader.view(source)}",
                           "channels in front")  # fmt: skip
        return _whole(reader, node, source, source.shape[1:], kind, reader.view(source))

    return make


def reduce_(kind: Pooling) -> Operator:
    """ReduceMean and ReduceMax over rows, columns or both."""

    def make(reader: Reader, node: Node) -> Op:
        from quantize.ptq.read.operators import foreign

        source = reader.data(node)
        view = reader.view(source)
        given = reader.constant(node, 1)
        axes = node.integers("axes") if given is None else tuple(int(n) for n in given.reshape(-1))
        letters = views.axes(view, axes or range(len(view)))
        if not letters or not set(letters) <= set("HW1") or source.name in reader.orders:
            return foreign(reader, node, f"{node.op} over axes {list(axes or ())}",
                           "rows and columns")  # fmt: skip
        window = tuple(views.size(a, source.shape) if a in letters else 1 for a in "HW")
        if not node.integer("keepdims", 1):
            gone = {n % len(view) for n in axes or ()}
            view = "".join(letter for n, letter in enumerate(view) if n not in gone)
        return _whole(reader, node, source, (window[0], window[1]), kind, view)

    return make


def _whole(reader: Reader, node: Node, source: Op, window: Pair, kind: Pooling, view: str) -> Op:
    """Pooling over a window of any size, in as many steps as it takes."""
    from quantize.ptq.read.operators import out

    steps = [_factors(n) for n in window]
    if any(not found for found in steps):
        reader.obstacle(node, f"pooling over {window[0]}x{window[1]}", "sides whose factors are at "
                        "most 16")  # fmt: skip
        steps = [[min(n, MAX_POOL)] for n in window]
    count = max(len(found) for found in steps)
    if count > 1:
        size = f"{window[0]}x{window[1]}"
        reader.note(f"{label(node)}: pooling over {size} in {count} steps, each truncates the mean")
    for number in range(count):
        rows, columns = (f[number] if number < len(f) else 1 for f in steps)
        shape = (source.shape[0], source.shape[1] // rows, source.shape[2] // columns)
        op = Op(out(node), "pool", [source.name], shape, pooling=kind)
        op.window = (rows, columns)
        square = max(rows, columns) if source.shape[2] > 1 else 0
        op.step = (square, square) if square else (rows, 1)
        if number == count - 1 and count == 1:
            op.step = (1, 1)  # one window; nothing to step over
        source = reader.add(node, op, view)
    return source


def _factors(size: int) -> list[int]:
    """Sides of at most 16 whose product is ``size``, largest first; empty when there are none."""
    if size <= MAX_POOL:
        return [size]
    for side in range(MAX_POOL, 1, -1):
        if size % side == 0:
            rest = _factors(size // side)
            if rest:
                return [side, *rest]
    return []


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
    if seen is None:
        return foreign(reader, node, f"Reshape to {wanted}", "Flatten")
    return reader.seen_as(node, source, seen)


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
