"""Reads the network description language of ai8x-synthesis.

The language is documented in ai8x-synthesis README, "YAML Network Description". A description
holds the operations *and* a placement by hand; this module returns both: a graph and
:class:`~synthesize.placement.Hints`. A description that leaves out ``processors`` everywhere holds
only operations (strides included): the compiler legalises and places it. Everything that the accelerator of the MAX78000 cannot do, and
every key this compiler does not know, is refused with file and line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from synthesize import ir
from synthesize import yaml_values as values
from synthesize.checkpoint import Checkpoint, LayerWeights
from synthesize.chip.errors import UserError
from synthesize.placement import Hints, LayerHint
from synthesize.yaml_nodes import Item, read

TOP_KEYS = {"arch", "dataset", "layers", "output_map"}
LATER_TOP_KEYS = {"bias", "weights", "unload", "snoop", "data_buffer"}
LAYER_KEYS = {
    *("name", "processors", "output_processors", "in_offset", "out_offset", "write_gap"),
    *("max_pool", "avg_pool", "pool_stride", "pool_first", "quantization", "output_shift"),
    *("in_channels", "in_dim", "out_channels", "pad", "output_pad", "eltwise", "operands"),
    *("data_format", "output_width", "kernel_size", "stride", "streaming", "flatten", "output"),
    *("in_sequences", "bias_group", "bias_quadrant", "in_skip", "read_gap"),
    *("activate", "activation", "op", "operation", "operator", "convolution", "sequence"),
}
NEUTRAL_KEYS: dict[str, tuple[Any, ...]] = {
    "dilation": (1, [1, 1]),
    "pool_dilation": (1, [1, 1]),
    "groups": (1,),
    "conv_groups": (1,),
    "bypass": (False,),
    "calcx4": (False,),
    "readahead": (False,),
    "tcalc": (False,),
    "in_channel_skip": (0,),
    "in_crop": ([0, 0],),
}
"""Keys accepted only with the value that means "not used"."""

REFUSED_KEYS = {
    *("next_sequence", "snoop_sequence", "simulated_sequence"),
    *("weight_source", "buffer_shift", "buffer_insert"),
}
OPERATIONS: dict[str, tuple[ir.Op, ir.Join | None]] = {
    "conv1d": ("conv1d", None),
    "conv2d": ("conv2d", None),
    "convtranspose2d": ("convtranspose2d", None),
    "none": ("passthrough", None),
    "passthrough": ("passthrough", None),
    "linear": ("linear", None),
    "fc": ("linear", None),
    "mlp": ("linear", None),
    "add": ("passthrough", "add"),
    "sub": ("passthrough", "sub"),
    "or": ("passthrough", "or"),
    "bitwiseor": ("passthrough", "or"),
    "bitwise_or": ("passthrough", "or"),
    "xor": ("passthrough", "xor"),
    "bitwisexor": ("passthrough", "xor"),
    "bitwise_xor": ("passthrough", "xor"),
}
JOINS: dict[str, ir.Join] = {"add": "add", "sub": "sub", "or": "or", "xor": "xor"}
MAX_LAYERS_READ = 128


@dataclass(frozen=True)
class Description:
    """A network as described by hand: the graph and its placement, None when it has none."""

    graph: ir.Graph
    hints: Hints | None


@dataclass(frozen=True)
class _Entry:
    """One layer of the description, before shapes and weights are known."""

    name: str | None
    op: ir.Op
    join: ir.Join | None
    operands: int | None
    sources: tuple[int | str, ...] | None
    pool: ir.Pool | None
    pool_first: bool
    kernel: ir.Pair
    pad: ir.Pair
    output_pad: ir.Pair
    stride: ir.Pair
    flatten: bool
    in_dim: ir.Pair | None
    in_channels: int | None
    out_channels: int | None
    bits: int | None
    output_shift: int | None
    activation: ir.Activation
    wide: bool
    output: bool
    chw: bool
    where: ir.Where
    hint: LayerHint | None


def load(
    path: str | Path, checkpoint: Checkpoint | None, input_shape: tuple[int, ...] | None = None
) -> Description:
    """Read a network description and join it with its weights.

    Args:
        path: the YAML file.
        checkpoint: integer checkpoint; weights are taken in order. Without one (a network that is
            not trained yet) all weights are zero and every layer needs ``out_channels``.
        input_shape: shape of the sample input, needed when the description has no ``in_dim``.

    Raises:
        UserError: anything wrong with the description, with file and line.
    """
    root = read(path)
    top = values.mapping(root, "the network description")
    for key, item in top.items():
        if key in LATER_TOP_KEYS:
            values.refuse(item, f"key {key!r} is not supported; remove it")
        if key not in TOP_KEYS:
            values.refuse(
                item, f"unknown key {key!r}; known keys are {', '.join(sorted(TOP_KEYS))}"
            )
    if "layers" not in top:
        values.refuse(root, "there is no 'layers' list; describe at least one layer")
    layers = top["layers"]
    if not isinstance(layers.value, list) or not layers.value:
        values.refuse(layers, "'layers' must be a list with at least one layer")
    if len(layers.value) > MAX_LAYERS_READ:
        values.refuse(
            layers, f"{len(layers.value)} layers; the chip runs at most 32, so shorten it"
        )
    entries = [_entry(item) for item in layers.value]
    _check_hints(entries)
    final = entries[-1].hint
    if "output_map" in top and final is not None:
        mask = values.processor_mask(top["output_map"], "output_map")
        entries[-1] = replace(entries[-1], hint=replace(final, output_processors=mask))
    name = top["arch"].value if "arch" in top else Path(path).stem
    return _build(str(name), str(path), entries, checkpoint, input_shape)


def _entry(item: Item) -> _Entry:
    fields = values.mapping(item, "a layer")
    _check_keys(fields)
    op, join = _operation(fields)
    if "eltwise" in fields:
        join = values.choice(fields["eltwise"], "eltwise", JOINS)
    one_d = op == "conv1d"
    pool = _pool(fields, one_d)
    kernel = _kernel(fields, op)
    pad = values.integer(fields["pad"], "pad", 0, 1023) if "pad" in fields else _default_pad(op)
    activation = values.one_of(fields, "activate", "activation")
    operands = (
        values.integer(fields["operands"], "operands", 2, 16) if "operands" in fields else None
    )
    if operands is not None and join is None:
        values.refuse(
            fields["operands"], "'operands' needs an element-wise operation (eltwise: add)"
        )
    transposed = op == "convtranspose2d"
    out_pad = (
        values.integer(fields["output_pad"], "output_pad", 0, 1) if "output_pad" in fields else 1
    )
    return _Entry(
        name=values.layer_name(fields["name"]) if "name" in fields else None,
        op=op,
        join=join,
        operands=operands,
        sources=values.input_names(fields["in_sequences"]) if "in_sequences" in fields else None,
        pool=pool,
        pool_first=values.flag(fields, "pool_first", True),
        kernel=kernel,
        pad=(pad, 0 if one_d else pad),
        output_pad=(out_pad, out_pad) if transposed else (0, 0),
        stride=_stride(fields, op),
        flatten=values.flag(fields, "flatten", False),
        in_dim=values.dimensions(fields["in_dim"]) if "in_dim" in fields else None,
        in_channels=values.optional(fields, "in_channels", 1, 65536),
        out_channels=values.optional(fields, "out_channels", 1, 65536),
        bits=values.weight_bits(fields["quantization"]) if "quantization" in fields else None,
        output_shift=values.optional(fields, "output_shift", -64, 64),
        activation=values.activation(activation) if activation else "none",
        wide=values.is_wide(fields["output_width"]) if "output_width" in fields else False,
        output=values.flag(fields, "output", False),
        chw=values.is_chw(fields["data_format"]) if "data_format" in fields else False,
        where=item.where,
        hint=_hint(item, fields),
    )


def _check_hints(entries: list[_Entry]) -> None:
    """Refuse a placement that is given for some layers only."""
    without = [entry for entry in entries if entry.hint is None]
    if without and len(without) < len(entries):
        raise UserError(
            f"{without[0].where}: 'processors' is missing; give a mask of the 64 processors, e.g. "
            "0xffff, or leave it out in all layers to have them placed"
        )


def _check_keys(fields: Mapping[str, Item]) -> None:
    for key, item in fields.items():
        if key in NEUTRAL_KEYS:
            if item.plain() not in NEUTRAL_KEYS[key]:
                values.refuse(
                    item,
                    f"'{key}: {item.plain()}' is not available on the MAX78000; "
                    f"only {NEUTRAL_KEYS[key][0]} is",
                )
        elif key in REFUSED_KEYS:
            values.refuse(item, f"key {key!r} is not available on the MAX78000; remove it")
        elif key not in LAYER_KEYS:
            values.refuse(item, f"unknown key {key!r} in a layer; check the spelling")


def _operation(fields: Mapping[str, Item]) -> tuple[ir.Op, ir.Join | None]:
    item = values.one_of(fields, "op", "operation", "operator", "convolution")
    if item is None:
        return "conv2d", None
    return values.choice(item, "operation", OPERATIONS)


def _pool(fields: Mapping[str, Item], one_d: bool) -> ir.Pool | None:
    if "max_pool" in fields and "avg_pool" in fields:
        values.refuse(fields["avg_pool"], "a layer has either 'max_pool' or 'avg_pool', not both")
    key = "max_pool" if "max_pool" in fields else "avg_pool"
    size = values.pair(fields[key], key) if key in fields else (1, 1)
    stride = (
        values.pair(fields["pool_stride"], "pool_stride") if "pool_stride" in fields else (1, 1)
    )
    if one_d:
        size, stride = (size[0], 1), (stride[0], 1)
    if size == (1, 1) and stride == (1, 1):
        return None
    return ir.Pool("avg" if key == "avg_pool" and key in fields else "max", size, stride)


def _kernel(fields: Mapping[str, Item], op: ir.Op) -> ir.Pair:
    if op in ("linear", "passthrough"):
        if "kernel_size" in fields:
            values.refuse(
                fields["kernel_size"], f"'kernel_size' has no meaning for {op}; remove it"
            )
        return 1, 1
    if "kernel_size" not in fields:
        return (9, 1) if op == "conv1d" else (3, 3)
    item = fields["kernel_size"]
    text = str(item.value).lower()
    if op == "conv1d":
        if not text.isdigit() or not 1 <= int(text) <= 9:
            values.refuse(item, f"kernel_size {text!r}: Conv1d kernels have length 1 to 9")
        return int(text), 1
    allowed = ("1x1", "3x3") if op == "conv2d" else ("3x3",)
    if text not in allowed:
        values.refuse(item, f"kernel_size {text!r} is not supported; use {' or '.join(allowed)}")
    return int(text[0]), int(text[2])


def _default_pad(op: ir.Op) -> int:
    return 0 if op in ("linear", "passthrough") else 1


def _stride(fields: Mapping[str, Item], op: ir.Op) -> ir.Pair:
    wanted = (2, 2) if op == "convtranspose2d" else (1, 1)
    if "stride" not in fields:
        return wanted
    stride = values.pair(fields["stride"], "stride")
    if op == "conv1d":
        stride = (stride[0], 1)
    if stride != wanted and ("processors" in fields or op not in ("conv2d", "conv1d")):
        values.refuse(
            fields["stride"],
            f"stride {stride[0]}x{stride[1]} is not supported for {op}; the chip has stride "
            f"{wanted[0]} only, use pool_stride to drop samples",
        )
    return stride


def _hint(item: Item, fields: Mapping[str, Item]) -> LayerHint | None:
    if "processors" not in fields:
        if values.flag(fields, "streaming", False):
            values.refuse(fields["streaming"], "streaming needs a placement; give 'processors'")
        return None
    gap = values.one_of(fields, "in_skip", "read_gap")
    group = values.one_of(fields, "bias_group", "bias_quadrant")
    quadrants: tuple[int, ...] | None = None
    if group is not None:
        entries = group.value if isinstance(group.value, list) else [group]
        quadrants = tuple(values.integer(e, "bias_quadrant", 0, 3) for e in entries)
    outputs = fields.get("output_processors")
    return LayerHint(
        processors=values.processor_mask(fields["processors"], "processors"),
        output_processors=values.processor_mask(outputs, "output_processors") if outputs else None,
        in_offset=values.optional(fields, "in_offset", 0, 0x7FFF),
        out_offset=values.optional(fields, "out_offset", 0, 0x7FFF) or 0,
        write_gap=values.optional(fields, "write_gap", 0, 15) or 0,
        read_gap=values.integer(gap, "read_gap", 0, 15) if gap else 0,
        bias_quadrants=quadrants,
        streaming=values.flag(fields, "streaming", False),
        where=item.where,
    )


def _build(
    name: str,
    path: str,
    entries: list[_Entry],
    checkpoint: Checkpoint | None,
    input_shape: tuple[int, ...] | None,
) -> Description:
    weights: list[LayerWeights | None] = [None] * len(entries)
    if checkpoint is not None:
        weights = _assign_weights(path, entries, checkpoint)
    names = _names(entries, weights)
    source = _input(path, entries[0], weights[0], input_shape)
    shapes: dict[str, ir.Shape] = {ir.INPUT: source.shape}
    layers: list[ir.Layer] = []
    for i, entry in enumerate(entries):
        inputs = _inputs(entry, i, names)
        stored = weights[i]
        if checkpoint is None and entry.op != "passthrough":
            stored = _untrained(entry, names[i], inputs, shapes)
        layer = _layer(entry, names[i], inputs, stored, shapes, first=i == 0)
        shapes[names[i]] = layer.out_shape
        layers.append(layer)
    chosen = [i for i, e in enumerate(entries) if e.output] or [len(entries) - 1]
    outputs = tuple(ir.Output(names[i], names[i], 0, layers[i].out_shape[0]) for i in chosen)
    chw = entries[0].chw
    for entry in entries[1:]:
        if entry.chw:
            raise UserError(f"{entry.where}: data_format CHW is possible for the first layer only")
    graph = ir.Graph(name, source, tuple(layers), outputs)
    hints = tuple(entry.hint for entry in entries if entry.hint is not None)
    return Description(graph, Hints(hints, chw) if hints else None)


def _untrained(
    entry: _Entry, name: str, inputs: tuple[str, ...], shapes: Mapping[str, ir.Shape]
) -> LayerWeights:
    """Return zero weights and biases of the size that a layer will have."""
    if entry.out_channels is None:
        raise UserError(
            f"{entry.where}: layer {name}: without a checkpoint every layer needs 'out_channels'"
        )
    parts = [shapes[source] for source in inputs]
    channels = parts[0][0] if entry.join else sum(part[0] for part in parts)
    rows, cols = ir.pooled_size(entry.in_dim or parts[0][1:], entry.pool)
    if entry.flatten:
        channels *= max(rows, 1) * max(cols, 1)
    out = entry.out_channels
    shape = (channels, out) if entry.op == "convtranspose2d" else (out, channels)
    # A bias of zeros would take no memory, but the trained network will have one.
    bits = entry.bits or 8
    bias = np.full(out, 1 << (bits - 1), np.int64)
    weight = np.zeros((*shape, *entry.kernel), np.int64)
    return LayerWeights(name, weight, bias, 0, bits)


def _assign_weights(
    path: str, entries: list[_Entry], checkpoint: Checkpoint
) -> list[LayerWeights | None]:
    needing = [i for i, entry in enumerate(entries) if entry.op != "passthrough"]
    if len(needing) != len(checkpoint.layers):
        raise UserError(
            f"{path}: it describes {len(needing)} layers with weights but {checkpoint.path} holds "
            f"{len(checkpoint.layers)}; use the checkpoint that belongs to the description"
        )
    result: list[LayerWeights | None] = [None] * len(entries)
    stored = {layer.name for layer in checkpoint.layers}
    for i, weights in zip(needing, checkpoint.layers, strict=True):
        named = entries[i].name
        if named is not None and named != weights.name and named in stored:
            raise UserError(
                f"{entries[i].where}: layer {named}: the checkpoint has {weights.name} in "
                "this place; list the layers in the order of the checkpoint"
            )
        result[i] = weights
    return result


def _names(entries: list[_Entry], weights: list[LayerWeights | None]) -> list[str]:
    names: list[str] = []
    for i, entry in enumerate(entries):
        stored = weights[i]
        name = entry.name or (stored.name if stored else f"layer{i}")
        if name.lower() in (ir.INPUT, "stop"):
            raise UserError(f"{entry.where}: {name!r} is a reserved name; choose another")
        if name.lower() in (n.lower() for n in names):
            raise UserError(f"{entry.where}: the layer name {name!r} is used twice; rename one")
        names.append(name)
    return names


def _input(
    path: str, first: _Entry, weights: LayerWeights | None, sample: tuple[int, ...] | None
) -> ir.Input:
    if sample is not None and len(sample) not in (1, 2, 3):
        raise UserError(
            f"the sample input has {len(sample)} axes; expected channels, rows, columns"
        )
    padded = (*sample, 1, 1)[:3] if sample is not None else None
    if first.in_dim is not None:
        rows, cols = first.in_dim
    elif padded is not None:
        rows, cols = padded[1], padded[2]
    else:
        raise UserError(
            f"{first.where}: the size of the input is unknown; give 'in_dim' in the first "
            "layer or a sample input"
        )
    if first.in_channels is not None:
        channels = first.in_channels
    elif padded is not None:
        channels = padded[0]
    elif weights is not None and not first.flatten:
        channels = weights.weight.shape[0 if first.op == "convtranspose2d" else 1]
    else:
        raise UserError(f"{first.where}: give 'in_channels' in the first layer")
    shape = (int(channels), int(rows), int(cols))
    if padded is not None and int(np.prod(padded)) != int(np.prod(shape)):
        raise UserError(
            f"{first.where}: the network expects {shape[0]}x{shape[1]}x{shape[2]} but the "
            f"sample input is {'x'.join(map(str, sample or ()))}; use a matching sample"
        )
    return ir.Input(shape, 1, first.where)


def _inputs(entry: _Entry, index: int, names: list[str]) -> tuple[str, ...]:
    where = entry.where
    if entry.sources is None:
        if entry.join is not None:
            raise UserError(
                f"{where}: layer {names[index]}: an element-wise operation needs 'in_sequences' "
                "with the names of its operands"
            )
        return (names[index - 1] if index else ir.INPUT,)
    lower = {name.lower(): name for name in names[:index]}
    inputs = []
    for source in entry.sources:
        if source == -1 or (isinstance(source, str) and source.lower() == ir.INPUT):
            inputs.append(ir.INPUT)
        elif isinstance(source, int) and 0 <= source < index:
            inputs.append(names[source])
        elif isinstance(source, str) and source.lower() in lower:
            inputs.append(lower[source.lower()])
        else:
            raise UserError(
                f"{where}: layer {names[index]}: in_sequences names {source!r}, which is no "
                "earlier layer; layers run in the order they are listed"
            )
    if entry.join is not None and len(inputs) != (entry.operands or 2):
        raise UserError(
            f"{where}: layer {names[index]}: in_sequences names {len(inputs)} inputs but the "
            f"operation has {entry.operands or 2} operands; set 'operands'"
        )
    return tuple(inputs)


def _layer(
    entry: _Entry,
    name: str,
    inputs: tuple[str, ...],
    stored: LayerWeights | None,
    shapes: Mapping[str, ir.Shape],
    first: bool,
) -> ir.Layer:
    bits = entry.bits or (stored.bits if stored else 8)
    shift = entry.output_shift if entry.output_shift is not None else None
    layer = ir.Layer(
        name=name,
        op=entry.op,
        inputs=inputs,
        in_shape=(1, 1, 1),
        out_shape=(1, 1, 1),
        join=entry.join or "concat",
        pool=entry.pool,
        pool_first=entry.pool_first,
        kernel=entry.kernel,
        stride=entry.stride,
        pad=entry.pad,
        output_pad=entry.output_pad,
        flatten=entry.flatten,
        reshape=None if first else entry.in_dim,
        bits=bits,
        output_shift=shift if shift is not None else (stored.output_shift if stored else 0),
        activation=entry.activation,
        wide=entry.wide,
        where=entry.where,
    )
    if stored is not None:
        weight = _weight(layer, stored)
        bias = stored.stored_bias(bits)
        if bias is not None and len(bias) != len(weight):
            raise UserError(
                f"{ir.at(layer)}{len(bias)} biases for {len(weight)} outputs; fix the checkpoint"
            )
        layer = replace(layer, weight=weight, bias=bias)
    try:
        joined = ir.joined_shape(layer.join, [shapes[n] for n in inputs])
    except ValueError as error:
        raise UserError(f"{ir.at(layer)}{error}; make the shapes equal") from error
    layer = replace(layer, in_shape=joined)
    if layer.reshape is not None:
        layer = replace(layer, in_shape=ir.reshaped(layer, joined))
    layer = replace(layer, out_shape=ir.result_shape(layer))
    channels, rows, cols = layer.in_shape
    # The public generator counts the channels of a flattening layer after flattening.
    flattened = channels * rows * cols if layer.flatten else channels
    for key, stated, actual in (
        ("in_channels", entry.in_channels, (channels, flattened)),
        ("out_channels", entry.out_channels, (layer.out_shape[0],)),
    ):
        if stated is not None and stated not in actual:
            raise UserError(f"{ir.at(layer)}{key} is {stated} but the network gives {actual[0]}")
    return layer


def _weight(layer: ir.Layer, stored: LayerWeights) -> np.ndarray:
    """Return the weights as [out, in, rows, columns]."""
    raw = stored.weight
    low, high = -(1 << (layer.bits - 1)), max((1 << (layer.bits - 1)) - 1, 0)
    if raw.min() < low or raw.max() > high:
        raise UserError(
            f"{ir.at(layer)}quantization is {layer.bits} bits ({low} to {high}) but the weights "
            f"reach from {raw.min()} to {raw.max()}; quantise the checkpoint at these bits"
        )
    if raw.ndim == 2:
        raw = raw[:, :, None, None]
    elif raw.ndim == 3:
        raw = raw[:, :, :, None]
    if raw.shape[2:] != layer.kernel:
        raise UserError(
            f"{ir.at(layer)}the description says kernel {layer.kernel[0]}x{layer.kernel[1]} but "
            f"{stored.name} in the checkpoint has {raw.shape[2]}x{raw.shape[3]}; make them agree"
        )
    if layer.op == "convtranspose2d":
        raw = np.flip(raw, axis=(2, 3)).swapaxes(0, 1)
    return raw
