"""Builds the graph of one of our own students from its checkpoint alone.

Students store their description as plain data: ``extras['network']`` is a list of mappings with
the keys ``name``, ``op``, ``in`` (names, ``input`` for the input), ``kernel``, ``stride``, ``pad``,
``pool`` (None or kind, window, stride), ``act``, ``wide``, ``join`` (of several inputs) and, for 1D
convolutions, ``dilation`` (the kernel then has zeros in between).
``extras['input']['shape']`` is the input [channels, rows, columns], whose blocks of n x n pixels
become channels before the first layer where ``extras['input']['fold']`` is n;
``extras['outputs']`` the outputs' names (default: the layers nobody reads).
No torch module is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.errors import UserError
from common.texts import shown
from synthesize.graph import ir
from synthesize.graph.shapes import layer_reading
from synthesize.read.checkpoint import Checkpoint, LayerWeights, spread

_KEYS = {
    *("name", "op", "in", "kernel", "stride", "pad", "pool", "act", "wide", "flatten", "join"),
    *("in_channels", "out_channels", "output_pad", "dilation"),
}
_MAX_LAYERS = 256


def load(checkpoint: Checkpoint) -> ir.Graph:
    """Return the graph a student's checkpoint describes.

    Raises:
        UserError: the checkpoint carries no (or a malformed) description, or weights that do not
            belong to it.
    """
    network = checkpoint.extras.get("network")
    if not isinstance(network, list) or not network:
        raise UserError(
            f"{checkpoint.path}: it does not describe its network (architecture "
            f"{checkpoint.arch or 'unknown'}); give a network description in YAML as well"
        )
    if len(network) > _MAX_LAYERS:
        raise UserError(f"{checkpoint.path}: {len(network)} layers; the chip runs at most 32")
    where = ir.Where(checkpoint.path)
    source = _input(checkpoint, where)
    shapes: dict[str, ir.Shape] = {ir.INPUT: source.shape}
    layers: list[ir.Layer] = []
    for entry in network:
        layer = _layer(checkpoint, entry, shapes, where)
        shapes[layer.name] = layer.out_shape
        layers.append(layer)
    unused = {w.name for w in checkpoint.layers} - {layer.name for layer in layers}
    if unused:
        raise UserError(
            f"{checkpoint.path}: it holds weights of {', '.join(sorted(unused))}, which its own "
            "description does not name; the checkpoint is of another architecture"
        )
    names = checkpoint.extras.get("outputs") or _unread(layers)
    if not isinstance(names, (list, tuple)) or not all(
        isinstance(n, str) and n in shapes for n in names
    ):
        raise UserError(f"{checkpoint.path}: extras['outputs'] names layers that do not exist")
    outputs = tuple(ir.Output(str(n), str(n), 0, shapes[n][0]) for n in names)
    return ir.Graph(checkpoint.arch or "student", source, tuple(layers), outputs)


def _input(checkpoint: Checkpoint, where: ir.Where) -> ir.Input:
    channels, rows, columns = _shape(checkpoint)
    fold = checkpoint.extras["input"].get("fold", 1)
    if not isinstance(fold, int) or fold < 1 or rows % fold or columns % fold:
        raise UserError(
            f"{checkpoint.path}: extras['input']['fold'] is {shown(fold)}; it must be a "
            "whole number "
            f"that divides {rows} rows and {columns} columns"
        )
    folded = (channels * fold * fold, rows // fold, columns // fold)
    return ir.Input(folded, fold, where)


def _shape(checkpoint: Checkpoint) -> ir.Shape:
    described = checkpoint.extras.get("input")
    shape = described.get("shape") if isinstance(described, Mapping) else None
    if (
        not isinstance(shape, (list, tuple))
        or len(shape) != 3
        or not all(isinstance(n, int) and 0 < n <= 65536 for n in shape)
    ):
        raise UserError(
            f"{checkpoint.path}: extras['input']['shape'] must be channels, rows, columns"
        )
    return shape[0], shape[1], shape[2]


def _layer(
    checkpoint: Checkpoint, entry: Any, shapes: Mapping[str, ir.Shape], where: ir.Where
) -> ir.Layer:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise UserError(f"{checkpoint.path}: extras['network'] must list layers with names")
    name = entry["name"]
    prefix = f"{checkpoint.path}: layer {name}: "
    for key in entry:
        if key not in _KEYS:
            raise UserError(f"{prefix}unknown key {shown(key)} in its description")
    op = _one_of(prefix, "op", entry.get("op", "conv2d"), (*ir.OPERATIONS, "upsample"))
    inputs = entry.get("in", ())
    inputs = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(inputs, (list, tuple)) or not inputs:
        raise UserError(f"{prefix}'in' must name its inputs")
    for source in inputs:
        if not isinstance(source, str) or source not in shapes:
            raise UserError(f"{prefix}it reads {shown(source)}, which no earlier layer computes")
    stored = checkpoint.layer(name)
    if op not in ir.WEIGHTLESS and stored is None:
        raise UserError(f"{prefix}the checkpoint holds no weights of this name")
    join = _one_of(prefix, "join", entry.get("join", "concat"), ir.JOINS)
    kernel = _pair(prefix, "kernel", entry.get("kernel", 1), 1)
    weight = bias = None
    dilation = 1
    if stored is not None:
        weight, bias = _weights(prefix, op, kernel, stored)
        dilation = _pair(prefix, "dilation", entry.get("dilation", 1), 1)[0]
        if dilation > 1 and op != "conv1d":
            raise UserError(
                f"{prefix}'dilation' is {dilation}, but only conv1d can be dilated on the "
                f"MAX78000, not {op}; remove it and train again"
            )
        if op == "conv1d":
            weight, dilation = spread(weight, dilation)
            kernel = int(weight.shape[2]), 1
    return layer_reading(
        [shapes[source] for source in inputs],
        name=name,
        op=op,
        inputs=tuple(inputs),
        join=join,
        pool=_pool(prefix, entry.get("pool")),
        kernel=kernel,
        stride=_pair(prefix, "stride", entry.get("stride", 1), 1),
        pad=_pair(prefix, "pad", entry.get("pad", 0), 0),
        dilation=dilation,
        output_pad=_pair(prefix, "output_pad", entry.get("output_pad", 0), 0),
        flatten=bool(entry.get("flatten", False)),
        weight=weight,
        bias=bias,
        bits=stored.bits if stored else 8,
        output_shift=stored.output_shift if stored else 0,
        activation=_one_of(prefix, "act", entry.get("act", "none"), ir.ACTIVATIONS),
        wide=bool(entry.get("wide", False)),
        where=where,
    )


def _weights(
    prefix: str, op: ir.Op, kernel: ir.Pair, stored: LayerWeights
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return weights [out, in, rows, columns] and biases [out] as bias memory holds them."""
    weight = stored.weight
    while weight.ndim < 4:
        weight = weight[..., None]
    if op == "convtranspose2d":
        weight = np.flip(weight, axis=(2, 3)).swapaxes(0, 1)
    if weight.shape[2:] != kernel:
        raise UserError(
            f"{prefix}its weights have kernel {weight.shape[2]}x{weight.shape[3]}, its description "
            f"{kernel[0]}x{kernel[1]}; the checkpoint is of another architecture"
        )
    bias = stored.stored_bias()
    if bias is not None and len(bias) != len(weight):
        raise UserError(f"{prefix}{len(bias)} biases for {len(weight)} outputs; fix the checkpoint")
    return weight, bias


def _unread(layers: list[ir.Layer]) -> list[str]:
    read = {name for layer in layers for name in layer.inputs}
    return [layer.name for layer in layers if layer.name not in read]


def _pool(prefix: str, value: Any) -> ir.Pool | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 3 or value[0] not in ("max", "avg"):
        raise UserError(f"{prefix}'pool' must be kind (max or avg), window and stride")
    size, stride = (_pair(prefix, "pool", v, 1) for v in value[1:])
    return None if size == stride == (1, 1) else ir.Pool(value[0], size, stride)


def _pair(prefix: str, key: str, value: Any, low: int) -> ir.Pair:
    pair = (value, value) if isinstance(value, int) else value
    if (
        not isinstance(pair, (list, tuple))
        or len(pair) != 2
        or not all(isinstance(n, int) and low <= n <= 1023 for n in pair)
    ):
        raise UserError(f"{prefix}'{key}' must be one whole number or two, from {low} to 1023")
    return pair[0], pair[1]


def _one_of(prefix: str, key: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    if not isinstance(value, str) or value not in allowed:
        raise UserError(
            f"{prefix}'{key}' is {shown(value)}; it must be one of {', '.join(allowed)}"
        )
    return value
