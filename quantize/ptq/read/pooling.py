"""Operators that pool."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from quantize.ptq.net import Op, Pair
from quantize.ptq.read import borders, views
from quantize.ptq.read.reader import Reader, label, per_axis
from synthesize.chip.limits import MAX_POOL
from synthesize.read.onnx.model import Node

Operator = Callable[[Reader, Node], Op]
Pooling = Literal["max", "avg"]


def _pool(reader: Reader, node: Node, kind: Pooling) -> Op:
    from quantize.ptq.read.operators import foreign, out

    source = reader.data(node)
    window = node.integers("kernel_shape")
    letters = views.spatial(reader.view(source))
    flat = not letters or source.name in reader.orders
    if window is None or letters is None or flat or len(window) != len(letters):
        return foreign(reader, node, "pooling of data without rows", "pooling of rows and columns")
    step = per_axis(node, "strides", len(letters))
    pads = _pool_pads(node, views.dims(letters, source.shape), window, step)
    if letters == "WH":
        window, step = window[::-1], step[::-1]
        pads = tuple(pads[n] for n in (1, 0, 3, 2))
    spatial = 1 if source.shape[2] == 1 and window[1:] in ((), (1,)) else 2
    if letters == "W":  # one row, of which nothing is above or below
        window, step, pads = (1, *window), step * 2, (0, pads[0], 0, pads[1])
        spatial = 2
    size, stride = _pair(window), _pair(step, 1)
    floor, ceil = (
        _sizes(source, size, stride, pads, False),
        _sizes(source, size, stride, pads, True),
    )
    result = ceil if node.integer("ceil_mode", 0) else floor
    nearest = "a window without padding, of 1 to 16 rows and columns, equal strides"
    trouble = _pool_trouble(node, size, stride, spatial)
    moves = _Moves(kind, size[:spatial], stride[:spatial], pads, result[:spatial])
    inner = nearest if trouble else _bordered(reader, node, source, moves)
    if isinstance(inner, str):
        padded = f"pooling with pads {list(pads)}"
        unpadded = padded if any(pads) else "pooling beyond the edge (ceil_mode)"
        reader.obstacle(node, trouble or unpadded, inner)
        inner, (size, stride) = source, _stand_in(source, result)
    op = Op(out(node), "pool", [inner.name], (source.shape[0], *result), pooling=kind)
    op.window, op.step = size, stride
    return reader.add(node, op, reader.view(source))


_UNPADDED = {
    "max": "a ReLU in front of it, behind which zeros change nothing, or a window without padding",
    "avg": "a window without padding, or one that counts it (count_include_pad)",
}


_UNEVEN = "rows and columns that need as many zeros as each other, two or four, or no padding"


@dataclass(frozen=True)
class _Moves:
    """A window and how it goes, by axis; ``pads`` are those in front, then those behind."""

    kind: Pooling
    size: tuple[int, ...]
    stride: tuple[int, ...]
    pads: tuple[int, ...]
    result: tuple[int, ...]


def _bordered(reader: Reader, node: Node, source: Op, moves: _Moves) -> Op | str:
    """What a pooling without padding has to read; a text where nothing can stand for its padding.

    The text says what is nearest.

    Zeros that a Pad in front adds are real ones, whatever is pooled.
    """
    count = len(moves.size)
    front, behind = list(moves.pads[:count]), list(moves.pads[len(moves.pads) // 2 :][:count])
    if source.kind == "pad" and (count == 2 or source.pads[1] == source.pads[3] == 0):
        front = [a + b for a, b in zip(front, source.pads[:2], strict=False)]
        behind = [a + b for a, b in zip(behind, source.pads[2:], strict=False)]
        source = reader.net.source(source)
    axes = [
        borders.reach(*sides)
        for sides in zip(
            source.shape[1 : 1 + count], moves.size, moves.stride, front, moves.result, strict=True
        )
    ]
    beyond = any(axis.least > n for axis, n in zip(axes, behind, strict=True))
    if moves.kind == "max":
        possible = not (any(moves.pads) or beyond) or reader.net.positive(source)
    else:
        counted = bool(node.integer("count_include_pad", 0))
        possible = not beyond and (counted or not any(moves.pads))
    possible = possible or all(axis.fits(0) for axis in axes)
    if not possible:
        return _UNPADDED[moves.kind]
    return borders.bordered(reader, node, source, axes) or _UNEVEN


def _pool_trouble(node: Node, size: Pair, stride: Pair, spatial: int) -> str:
    if any(n != 1 for n in node.integers("dilations") or ()):
        return "pooling with dilation"
    if max(*size, *stride) > MAX_POOL:
        return f"a pooling window or stride of {max(*size, *stride)}"
    if spatial == 2 and stride[0] != stride[1]:
        return f"pooling strides {list(stride)}"
    return ""


def resized(reader: Reader, node: Node, source: Op, result: Pair) -> Op:
    """Data of another size, by a pooling that stands for something the chip does not have."""
    op = Op(f"{node.outputs[0]}.resized", "pool", [source.name], (source.shape[0], *result))
    op.window, op.step = _stand_in(source, result)
    return reader.add(node, op, reader.view(source))


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
    """Rows and columns of the result; ``up`` rounds up, but no window begins behind the data."""
    half = len(pads) // 2
    sizes = []
    for axis in range(2):
        n, k, s = source.shape[1 + axis], size[axis], stride[axis]
        front, behind = (pads[axis], pads[half + axis]) if axis < half else (0, 0)
        steps = max(0, (math.ceil if up else math.floor)((n + front + behind - k) / s))
        sizes.append(steps + 1 - (up and steps > 0 and steps * s >= n + front))
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
        if views.spatial(reader.view(source)) is None and reader.view(source)[:3] != "NCP":
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
        if not letters or not set(letters) <= set("HWP1") or source.name in reader.orders:
            return foreign(reader, node, f"{node.op} over axes {list(axes or ())}",
                           "rows and columns")  # fmt: skip
        pooled = letters.replace("P", "HW")
        window = tuple(views.size(a, source.shape) if a in pooled else 1 for a in "HW")
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
