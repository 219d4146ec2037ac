"""What one stands for in every tensor: real factors that bring data into the chip's range.

The chip's data stands for -1 to 127/128. A tensor of a float network is divided by a factor that
its range on the calibration data asks for; the factor goes into the weights that compute it and
the weights that read it. Tensors that are added share one. A range is chosen by the least squared
error of clipping and rounding together. Input and 8-bit outputs, whose factors the application
must know, get powers of two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from common.console import progress
from quantize.ptq.evaluate import values
from quantize.ptq.net import CONVOLUTIONS, INPUT, Net, Op

BATCH = 16
SAMPLES = 20_000
"""Values of a tensor that its range is chosen by."""
_CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
_TOP = 127.0 / 128.0


@dataclass
class Range:
    """What was seen of a tensor: the largest magnitude, and a sample of magnitudes."""

    most: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    sample: list[np.ndarray] = field(default_factory=list)

    def see(self, value: Tensor, share: int) -> None:
        """Take one batch into account; ``share`` values are kept."""
        self.low, self.high = min(self.low, float(value.min())), max(self.high, float(value.max()))
        flat = value.detach().abs().flatten()
        self.most = max(self.most, float(flat.max()))
        self.sample.append(flat[:: max(1, len(flat) // share)][:share].numpy())

    def clip(self) -> float:
        """Magnitude to clip at."""
        if self.most == 0.0:
            return 1.0
        seen = np.concatenate(self.sample).astype(np.float64)
        return min((c * self.most for c in _CLIPS), key=lambda c: _error(seen, c))


def _error(seen: np.ndarray, clip: float) -> float:
    beyond = np.maximum(seen - clip, 0.0)
    return float((beyond**2).mean() + (clip / 128) ** 2 / 12)


def ranges(net: Net, data: Tensor) -> dict[str, Range]:
    """Watch every tensor on the calibration data, [N, C, H, W]."""
    found = {name: Range() for name in net.ops}
    batches = -(-len(data) // BATCH)
    for start in progress(range(0, len(data), BATCH), title="ranges", unit="batch"):
        for op, value in values(net, data[start : start + BATCH]):
            found[op.name].see(value, max(1, SAMPLES // batches))
    return found


def factors(net: Net, seen: dict[str, Range], wide: set[str]) -> dict[str, np.ndarray]:
    """The factor of every tensor, float64 [channels].

    Args:
        net: the network.
        seen: what :func:`ranges` returned.
        wide: operations whose results leave the chip at full width; their factor is 1.
    """
    group = _groups(net)
    limits: dict[str, float] = {}
    for name, op in net.ops.items():
        if _decides(op):
            limits[group[name]] = max(limits.get(group[name], 0.0), _limit(op, seen[name]))
    whole = {group[INPUT]} | {group[op] for _, op in net.outputs}
    for name in whole & limits.keys():
        limits[name] = power_of_two(limits[name] * _TOP)
    result: dict[str, np.ndarray] = {}
    for name, op in net.ops.items():
        if name in wide:
            result[name] = np.ones(op.shape[0])
        elif _decides(op):
            result[name] = np.full(op.shape[0], limits[group[name]])
        elif op.kind == "concat":
            result[name] = np.concatenate([result[n] for n in op.inputs])
        elif op.kind == "flatten":
            pixels = op.shape[0] // len(result[op.inputs[0]])
            result[name] = np.repeat(result[op.inputs[0]], pixels)
        else:
            result[name] = result[op.inputs[0]]
    return result


def power_of_two(most: float) -> float:
    """The least power of two that holds a magnitude, but for the last step of 8 bits."""
    if most <= 0:
        return 1.0
    below = 2.0 ** math.floor(math.log2(most))
    return below if most <= below * (1 + 1 / 64) else 2 * below


def _limit(op: Op, seen: Range) -> float:
    clip = seen.clip()
    if op.name == INPUT:
        clip = seen.most
    bound = op.high if op.activation == "relu" else max(abs(op.low), abs(op.high))
    if math.isfinite(bound) and seen.most >= 0.99 * bound:
        clip = bound
    return max(clip / _TOP, 1e-6)


def _decides(op: Op) -> bool:
    """Whether a tensor has a factor of its own; pooled and joined data has that of its parts."""
    return op.kind in (*CONVOLUTIONS, "sum", "input") and not op.copies


def _groups(net: Net) -> dict[str, str]:
    """Tensors that share a factor, by name of one of them."""
    parent = {name: name for name in net.ops}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    def unite(name: str, other: str) -> None:
        """Unite a tensor with all that make up another."""
        op = net.ops[other]
        if not _decides(op):
            for part in op.inputs:
                unite(name, part)
        parent[root(other)] = root(name)

    for op in net.of("sum"):
        for part in op.inputs:
            unite(op.name, part)
    for _, name in net.outputs:
        if not _decides(net.ops[name]):  # one factor for all channels of joined or pooled data
            unite(name, name)
    return {name: root(name) for name in net.ops}


def binding(op: Op, seen: Range) -> bool:
    """Whether the limits of an operation were reached on the calibration data."""
    return seen.high >= 0.99 * op.high or (op.activation == "none" and seen.low <= 0.99 * op.low)
