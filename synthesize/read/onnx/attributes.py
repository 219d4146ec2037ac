"""Attributes of ONNX operators in the chip's terms: rows and columns, equal at both ends."""

from __future__ import annotations

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
    if len(values) != rank - 2 or any(n < 0 or n > 1023 for n in values):
        raise node.refuse(f"attribute {key} is {list(values)}; expected {rank - 2} small numbers")
    if rank == 3:
        return values[0], default
    return values[0], values[1]


def pads(node: Node, rank: int, taps: tuple[int, ...], strides: Pair) -> Pair:
    """Return the padding of rows and columns, equal at both ends."""
    if any(n != 1 for n in node.integers("dilations") or ()):
        raise node.refuse("attribute dilations; the chip has dilation 1 only")
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
    return (rows, cols), (1, 1)
