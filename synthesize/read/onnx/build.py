"""Builds graph layers from pending ONNX values.

A pending value becomes a layer when something reads it that cannot take it in: a second reader, a
graph output, an operator the chip has in another place of a layer. Everything pending in front of a
convolution (pooling, element-wise operations) is fused into it where one reader allows it.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np

from synthesize.chip import limits
from synthesize.graph import ir
from synthesize.graph.shapes import layer_reading
from synthesize.read.onnx.model import Constant, Model, Node
from synthesize.read.onnx.values import Data, Kernel, exponent, integer_weights, stored_bias

_TOLERANCE = 1e-9


class Builder:
    """The graph under construction, and what every tensor of the model is so far."""

    def __init__(self, model: Model, source: ir.Input) -> None:
        self.model = model
        self.source = source
        self.values: dict[str, Data | Constant] = dict(model.constants)
        self.layers: list[ir.Layer] = []
        self.shapes: dict[str, ir.Shape] = {ir.INPUT: source.shape}
        self.notes: list[str] = []
        self._made: dict[tuple[object, ...], tuple[Data, str]] = {}
        self._order: dict[str, int] = {}
        self._taken = {ir.INPUT, "stop"}

    def data(self, node: Node, index: int = 0) -> Data:
        """Return an input of a node that must not be a constant."""
        value = self.value(node, index)
        if isinstance(value, Constant):
            raise node.refuse(f"input {node.inputs[index]} is constant; fold it before exporting")
        return value

    def constant(self, node: Node, index: int, what: str) -> Constant:
        """Return an input of a node that must be a constant."""
        value = self.value(node, index)
        if not isinstance(value, Constant):
            raise node.refuse(f"{what} must be constant; store it in the model")
        return value

    def optional(self, node: Node, index: int, what: str) -> Constant | None:
        """Return a constant input that may be missing."""
        if index >= len(node.inputs) or not node.inputs[index]:
            return None
        return self.constant(node, index, what)

    def exact(self, node: Node, index: int = 0) -> Data:
        """Return an input that must be 8-bit data."""
        value = self.data(node, index)
        if value.state not in ("exact", "integer"):
            raise node.unquantised(
                f"input {node.inputs[index]} is not quantised; put QuantizeLinear and "
                "DequantizeLinear (power-of-two scale, int8, zero point 0) in front"
            )
        return value

    def alone(self, tensor: str) -> bool:
        """Whether a tensor has one reader only."""
        return self.model.uses(tensor) == 1

    def fold_input(self, value: Data, shape: ir.Shape, size: int) -> bool:
        """Turn blocks of the input's pixels into channels; False where something else reads them.

        Args:
            value: what is to be folded; only the input can be.
            shape: of the folded input.
            size: side of a block.
        """
        same = [n for n, v in self.values.items() if isinstance(v, Data)]
        if value.sources != (ir.INPUT,) or not value.plain or value.flatten or self.source.fold > 1:
            return False
        if not all(self.alone(name) for name in same) or self.layers:
            return False
        self.source = replace(self.source, shape=shape, fold=size)
        self.shapes[ir.INPUT] = shape
        return True

    def plain(self, node: Node, index: int = 0) -> Data:
        """Return an 8-bit input as a tensor that exists on the chip."""
        value = self.exact(node, index)
        return value if value.plain else self.landed(node, value)

    def landed(self, node: Node, value: Data) -> Data:
        """Return a value as the output of a layer of its own (flattening stays pending)."""
        name = self.emit(node, value)
        flat = value.flatten and value.kernel is None
        return Data(
            sources=(name,),
            shape=value.shape if flat else self.shapes[name],
            rank=value.rank,
            scale=value.real_scale,
            name=name,
            order=value.order,
            source_shape=self.shapes[name],
            flatten=flat,
        )

    def emit(self, node: Node, value: Data, wide: bool = False) -> str:
        """Make the layer of a pending value (once) and return its name."""
        if value.plain:
            return value.sources[0]
        key = (wide, *value.key)
        if key not in self._made:
            # The value is kept alive beside its layer, so that its kernel's id stays its own.
            self._made[key] = (value, self._layer(node, value, wide))
        return self._made[key][1]

    def in_order(self) -> tuple[ir.Layer, ...]:
        """Return the layers in the order of the model's operators."""
        return tuple(sorted(self.layers, key=lambda layer: self._order[layer.name]))

    def fuses(self, node: Node, value: Data, op: ir.Op) -> bool:
        """Whether an operation may take the pending join and pooling of its input in."""
        if value.plain:
            return True
        if value.kernel is not None or value.repeat > 1:
            return False
        channels = value.source_shape[0]
        if value.join != "concat":
            fits = channels <= limits.PROCESSORS and op == "conv2d"
            return fits and self.alone(node.inputs[0])
        if op == "linear":
            return value.pool is None and self.alone(node.inputs[0])
        # Pooling without convolution runs in one pass only.
        return channels > limits.PROCESSORS or self.alone(node.inputs[0])

    def value(self, node: Node, index: int) -> Data | Constant:
        """Return what an input of a node is."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        if name not in self.values:
            raise node.refuse(
                f"it reads {name!r}, which no operator before it computes"
                if name
                else f"input {index + 1} is missing"
            )
        return self.values[name]

    def _layer(self, node: Node, value: Data, wide: bool) -> str:
        name = self._name(value.name)
        convolution: dict[str, Any] = {"op": "passthrough"}
        if value.repeat > 1:
            convolution = {"op": "upsample", "stride": (value.repeat, value.repeat)}
        if value.kernel is not None:
            convolution = self._convolution(node, name, value, value.kernel, wide)
        layer = layer_reading(
            [value.source_shape],
            name=name,
            inputs=value.sources,
            join=value.join,
            pool=value.pool,
            pool_first=value.pool_first,
            activation=value.activation,
            wide=wide,
            where=ir.Where(self.model.path),
            **convolution,
        )
        self.layers.append(layer)
        self.shapes[layer.name] = layer.out_shape
        self._order[layer.name] = value.order
        return layer.name

    def _convolution(
        self, node: Node, name: str, value: Data, kernel: Kernel, wide: bool
    ) -> dict[str, Any]:
        """Return the fields of a layer that say what it computes with its weights."""
        if value.order < len(self.model.nodes):
            node = self.model.nodes[value.order]  # the layer's own, not the one that reads it
        weight, step, change = integer_weights(node, kernel)
        bias, bias_change = stored_bias(node, kernel, step * value.scale)
        for what, amount in (("weights", change), ("biases", bias_change)):
            if amount > _TOLERANCE:
                self.notes.append(
                    f"{self.model.path}: layer {name}: {what} were rounded to what the chip "
                    f"holds, by {amount:.3g} at most"
                )
        total = step * value.scale * value.factor
        if wide:
            # What the result is worth, in the terms of checkpoints; the chip does not use it.
            shift = exponent(node, total, "the scale of the output") + 7 + kernel.bits - 1
            if abs(shift + 8 - kernel.bits) > limits.MAX_SHIFT:
                shift = kernel.bits - 8
        else:
            ratio = exponent(node, total / value.quantum, "the scale from input to output")
            shift = ratio + 7 - (8 - kernel.bits)
        return {
            "op": kernel.op,
            "weight": weight,
            "bias": bias,
            "bits": kernel.bits,
            "output_shift": shift,
            "kernel": (int(weight.shape[2]), int(weight.shape[3])),
            "stride": kernel.stride,
            "pad": kernel.pad,
            "output_pad": kernel.output_pad,
            "dilation": kernel.dilation,
            "flatten": value.flatten and math.prod(value.source_shape[1:]) > 1,
        }

    def _name(self, wanted: str) -> str:
        name = re.sub(r"[^A-Za-z0-9_.+-]", "_", wanted).strip("_") or "layer"
        while name.lower() in self._taken:
            name += "_"
        self._taken.add(name.lower())
        return name


def batch_norm(kernel: Kernel, statistics: list[np.ndarray], epsilon: float) -> Kernel:
    """Return a kernel with batch norm folded in, in float64.

    Args:
        kernel: convolution whose result is normalised.
        statistics: scale, offset, mean and variance, float64 [out] each.
        epsilon: added to the variance.
    """
    scale, offset, mean, variance = statistics
    gain = scale / np.sqrt(variance + epsilon)
    return replace(
        kernel,
        weight=kernel.weight * gain[:, None, None, None],
        bias=(kernel.bias - mean) * gain + offset,
        has_bias=True,
        scale=None,
    )
