"""Random legal networks, built from a seed so that a failing one can be repeated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from common.errors import UserError
from synthesize.chip import limits
from synthesize.graph import ir, shapes
from synthesize.graph.ir import INPUT, Graph, Input, Layer, Output, Pool

CHANNELS = (1, 2, 3, 4, 5, 8, 12, 16, 19, 31, 32, 48, 60, 64, 65, 72, 96, 100, 128)


class Builder:
    """Grows a graph layer by layer; every layer it adds keeps the accelerator's limits."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.layers: list[Layer] = []
        self.shapes: dict[str, ir.Shape] = {}

    def pick(self, *options: object) -> object:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def channels(self, most: int = 128) -> int:
        return int(self.rng.choice([c for c in CHANNELS if c <= most]))

    def weights(self, layer: Layer, out: int, inputs: int) -> Layer:
        """Give a layer random weights, bias, bits and a shift that keeps its output lively."""
        bits = int(self.rng.choice([1, 2, 4, 8]))
        low, high = -(1 << (bits - 1)), max((1 << (bits - 1)) - 1, 0)
        weight = self.rng.integers(low, high + 1, (out, inputs, *layer.kernel))
        bias = self.rng.integers(-128, 128, out) if self.chance(0.7) else None
        spread = np.sqrt(inputs * layer.kernel[0] * layer.kernel[1]) * 50 * max(1, -low / 2)
        shift = int(np.clip(np.log2(60 * 128 / spread), -15, 15))
        activation = str(self.pick("none", "relu", "abs"))
        return replace(
            layer,
            weight=weight,
            bias=bias,
            bits=bits,
            output_shift=shift - 8 + bits,
            activation=activation,
        )

    def add(self, layer: Layer, out: int | None = None) -> str | None:
        """Add a layer when its shape is possible; return its name."""
        joined = shapes.joined_shape(layer.join, [self.shapes[n] for n in layer.inputs])
        layer = replace(layer, in_shape=joined)
        rows, cols = layer.pooled
        if min(rows, cols) < 1:
            return None
        if out is not None:
            inputs = joined[0] * (rows * cols if layer.flatten else 1)
            layer = self.weights(layer, out, inputs)
        try:
            layer = replace(layer, out_shape=shapes.result_shape(layer))
        except UserError:
            return None
        self.layers.append(layer)
        self.shapes[layer.name] = layer.out_shape
        return layer.name

    def layer(self, op: ir.Op, *inputs: str, **options: object) -> Layer:
        name = f"n{len(self.layers)}"
        return Layer(name, op, inputs, (1, 1, 1), (1, 1, 1), **options)  # type: ignore[arg-type]

    def pool(self, shape: ir.Shape, one_d: bool = False) -> Pool | None:
        if not self.chance(0.4):
            return None
        size = int(self.rng.integers(1, 4))
        stride = int(self.rng.integers(1, 4))
        if size == stride == 1 or min(shape[1:] if not one_d else shape[1:2]) < size:
            return None
        kind = "max" if self.chance(0.6) else "avg"
        if one_d:
            return Pool(kind, (size, 1), (stride, 1))  # type: ignore[arg-type]
        return Pool(kind, (size, size), (stride, stride))  # type: ignore[arg-type]

    def conv(self, source: str, most: int = 128) -> str | None:
        shape = self.shapes[source]
        if shape[2] == 1 and shape[1] > 1 and self.chance(0.8):
            length = int(self.rng.integers(1, 10))
            pad = int(self.rng.integers(0, min(3, length)))
            options = {"kernel": (length, 1), "pad": (pad, 0), "pool": self.pool(shape, True)}
            return self.add(self.layer("conv1d", source, **options), self.channels(most))
        if self.chance(0.1) and shape[1] <= 12:
            options = {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "output_pad": (1, 1)}
            return self.add(self.layer("convtranspose2d", source, **options), self.channels(most))
        if self.chance(0.1) and shape[0] <= 64 and max(shape[1:]) <= 8:
            return self.add(self.layer("upsample", source, stride=(2, 2)))
        if self.chance(0.1) and not (shape[1] % 2 or shape[2] % 2):
            options = {"kernel": (2, 2), "stride": (2, 2)}
            return self.add(self.layer("conv2d", source, **options), self.channels(min(most, 64)))
        kernel = 3 if self.chance(0.7) else 1
        if self.chance(0.1) and min(shape[1:]) >= 3:
            options = {"kernel": (kernel, kernel), "stride": (2, 2), "pad": (kernel // 2,) * 2}
            return self.add(self.layer("conv2d", source, **options), self.channels(min(most, 64)))
        pad = int(self.rng.integers(0, min(3, kernel)))
        options = {"kernel": (kernel, kernel), "pad": (pad, pad), "pool": self.pool(shape)}
        return self.add(self.layer("conv2d", source, **options), self.channels(most))

    def eltwise(self, source: str) -> str | None:
        """Two or three layers of equal shape combined, sometimes convolved in flight."""
        count = 2 if self.chance(0.8) else 3
        out = self.channels(64)
        parts = [source] if self.chance(0.3) and self.shapes[source][0] <= 64 else []
        if parts:
            out = self.shapes[source][0]
        while len(parts) < count:
            options = {"kernel": (3, 3), "pad": (1, 1)}
            name = self.add(self.layer("conv2d", source, **options), out)
            assert name is not None
            parts.append(name)
        join = str(self.pick("add", "sub", "or", "xor"))
        if self.chance(0.5):
            return self.add(self.layer("passthrough", *parts, join=join))
        options = {"kernel": (3, 3), "pad": (1, 1), "join": join}
        return self.add(self.layer("conv2d", *parts, **options), self.channels(64))

    def concat(self, source: str) -> str | None:
        widths = [4 * int(self.rng.integers(1, 5)) for _ in range(2)]
        if self.chance(0.3):
            widths = [48, 48]
        parts = []
        for width in widths:
            name = self.add(self.layer("conv2d", source), width)
            assert name is not None
            parts.append(name)
        options = {"kernel": (3, 3), "pad": (1, 1)}
        return self.add(self.layer("conv2d", *parts, **options), self.channels(64))

    def tail(self, source: str) -> str | None:
        """Sometimes end with a linear layer.

        It has at least two outputs: with one, the cycle model distinguishes flattened pixels from
        passes, which the registers of a small layer do not show.
        """
        channels, rows, cols = self.shapes[source]
        if not self.chance(0.3):
            return None
        passes = -(-channels // 64)
        flatten = rows * cols > 1
        if rows * cols * passes > 256 or channels * rows * cols > 1024:
            return None
        return self.add(
            self.layer("linear", source, flatten=flatten), int(self.rng.integers(2, 100))
        )


def random_graph(seed: int) -> Graph:
    """Return a random network of 1 to about 8 layers that keeps all rules."""
    b = Builder(seed)
    rows, cols = (int(n) for n in b.rng.integers(1, 17, 2))
    if b.chance(0.2):
        cols = 1
    shape = (b.channels(), rows, cols)
    fold = b.chance(0.15)
    if fold:
        shape = (int(b.rng.integers(1, 5)), 2 * int(b.rng.integers(1, 9)), 2 * rows)
    b.shapes[ir.INPUT] = shape
    current: str = ir.INPUT
    if fold:
        options = {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1)}
        current = b.add(b.layer("conv2d", current, **options), b.channels()) or current
    for _ in range(int(b.rng.integers(1, 5))):
        kind = b.rng.random()
        if kind < 0.15:
            step = b.eltwise(current)
        elif kind < 0.27:
            step = b.concat(current)
        else:
            step = b.conv(current)
        current = step or current
    if not b.layers:
        b.add(b.layer("conv2d", current, kernel=(3, 3), pad=(1, 1)), b.channels())
    b.tail(current)
    read = {n for layer in b.layers for n in layer.inputs}
    layers = []
    for layer in b.layers:
        last = layer.name not in read
        plain = layer.weight is not None and layer.stride == (1, 1)
        if last and plain and b.chance(0.3):
            layer = replace(layer, wide=True, activation="none")
        layers.append(layer)
    outputs = [
        Output(layer.name, layer.name, 0, layer.out_shape[0])
        for layer in layers
        if layer.name not in read
    ]
    return Graph(f"random{seed}", Input(shape), tuple(layers), tuple(outputs))


def random_chain(seed: int) -> Graph:
    """A network whose input of 1 to 16 channels is large enough that its first layers stream."""
    b = Builder(seed)
    before = int(b.rng.integers(4))  # layers before the first pooling
    # An input that is pooled at once may be stored up to 32768 pixels, one channel per memory.
    low, high = (183, 200) if before == 0 else (91, 131)
    rows, cols = (int(n) for n in b.rng.integers(low, high, 2))
    b.shapes[INPUT] = (int(b.rng.integers(1, 17)), rows, cols)
    current: str = INPUT
    for i in range(max(2, before + int(b.rng.integers(1, 3)))):
        kernel = 3 if i == 0 or b.chance(0.7) else 1
        size = 1 if i < before else int(b.rng.integers(2, 4))
        pool = Pool(str(b.pick("max", "avg")), (size, size), (size, size)) if size > 1 else None  # type: ignore[arg-type]
        options = {"kernel": (kernel, kernel), "pad": (kernel // 2,) * 2, "pool": pool}
        name = b.add(b.layer("conv2d", current, **options), b.channels(32))
        assert name is not None
        current = name
    layers = list(b.layers)
    rows, cols = layers[-1].out_shape[1:]
    if 4 * rows * cols <= limits.DATA_INSTANCE_WORDS and b.chance(0.5):
        layers[-1] = replace(layers[-1], wide=True, activation="none")
    outputs = (Output("y", current, 0, layers[-1].out_shape[0]),)
    return Graph(f"chain{seed}", ir.Input(b.shapes[INPUT]), tuple(layers), outputs)
