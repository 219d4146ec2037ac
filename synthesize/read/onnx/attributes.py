"""Attributes of ONNX operators in the chip's terms: rows and columns, equal at both ends."""

from __future__ import annotations

from synthesize.chip.limits import MAX_POOL
from synthesize.graph.ir import Pair
from synthesize.read.onnx.build import Builder
from synthesize.read.onnx.model import Node


def only(node: Node, key: str, value: int) -> None:
    """Check that an integer attribute has the only value the chip knows."""
    if node.integer(key, value) != value:
        raise node.refuse(
            f"attribute {key} is {node.integer(key, value)}; only {value} is possible"
        )


def per_axis(node: Node, key: str, rank: int, default: int) -> Pair:
    """Return an attribute for rows and columns; 1D data has one column."""
    values = node.integers(key) or (default,) * (rank - 2)
    least = min(default, 1)  # a window or a stride of 0 is none; a margin may be
    if len(values) != rank - 2 or any(n < least or n > 1023 for n in values):
        raise node.refuse(f"attribute {key} is {list(values)}; expected {rank - 2} small numbers")
    if rank == 3:
        return values[0], default
    return values[0], values[1]


def pads(node: Node, rank: int, taps: tuple[int, ...], strides: Pair) -> Pair:
    """Return the padding of rows and columns, equal at both ends."""
    if rank == 4 and any(n != 1 for n in node.integers("dilations") or ()):
        raise node.refuse("attribute dilations; the chip has dilation 1 only in 2D")
    automatic = node.attributes.get("auto_pad", "NOTSET")
    if automatic == "SAME_UPPER" or automatic == "SAME_LOWER":
        if any(n % 2 == 0 for n in taps) or strides != (1, 1):
            raise node.refuse(f"auto_pad {automatic} pads unevenly here; give equal pads")
        return taps[0] // 2, taps[1] // 2
    if automatic == "VALID":
        return 0, 0
    values = node.integers("pads") or (0,) * (2 * (rank - 2))
    half = rank - 2
    if len(values) != 2 * half or values[:half] != values[half:] or min(values) < 0:
        raise node.refuse(f"pads {list(values)}; the chip pads both ends alike")
    return (values[0], 0) if rank == 3 else (values[0], values[1])


def window(b: Builder, node: Node) -> tuple[Pair, Pair]:
    """Return (window, stride) of a pooling operator."""
    rank = b.exact(node).rank
    only(node, "ceil_mode", 0)
    for key, neutral in (("pads", 0), ("dilations", 1)):
        if any(n != neutral for n in node.integers(key) or ()):
            raise node.refuse(f"attribute {key}; the chip pools without padding and dilation")
    if node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise node.refuse("attribute auto_pad; the chip pools without padding")
    if node.integers("kernel_shape") is None:
        raise node.refuse("attribute kernel_shape is missing")
    return per_axis(node, "kernel_shape", rank, 1), per_axis(node, "strides", rank, 1)


def whole(b: Builder, node: Node) -> tuple[Pair, Pair]:
    """Return (window, stride) of pooling over everything."""
    rows, cols = b.exact(node).shape[1:]
    if max(rows, cols) > MAX_POOL:
        raise node.refuse(
            f"it pools over {rows}x{cols}, the chip over at most {MAX_POOL}; python -m quantize "
            f"{node.path} --calibrate DATA -o q.onnx pools in steps (each truncates the mean), or "
            "write two AveragePool"
        )
    return (rows, cols), (1, 1)


def repeats(b: Builder, node: Node, shape: tuple[int, int, int]) -> int | None:
    """Return how often a Resize repeats every pixel along both axes, None when it does not."""
    if node.attributes.get("mode", "nearest") != "nearest":
        return None
    way = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    rounding = str(node.attributes.get("nearest_mode", "round_prefer_floor"))
    even = way in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round")
    if not even and (way != "asymmetric" or rounding not in ("floor", "round_prefer_floor")):
        return None
    scales, sizes = b.optional(node, 2, "the scales"), b.optional(node, 3, "the sizes")
    if scales is not None and scales.array.size == 4:
        factors = [float(f) for f in scales.real.flat]
    elif sizes is not None and sizes.array.size == 4:
        factors = [float(n) / m for n, m in zip(sizes.real.flat, (1, *shape), strict=True)]
    else:
        return None
    same = factors[:2] == [1, 1] and factors[2] == factors[3]
    return int(factors[2]) if same and factors[2] in (1, 2, 4, 8) else None
