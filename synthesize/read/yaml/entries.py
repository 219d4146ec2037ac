"""One layer of a network description: its keys, before shapes and weights are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.texts import shown
from synthesize.graph import ir
from synthesize.graph.hints import LayerHint
from synthesize.read.yaml import language, values
from synthesize.read.yaml.nodes import Item

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


@dataclass(frozen=True)
class Entry:
    """One layer of the description, before shapes and weights are known."""

    name: str | None
    op: ir.Op
    join: ir.Join | None
    operands: int | None
    sources: tuple[int | str, ...] | None
    pool: ir.Pool | None
    pool_first: bool
    kernel: ir.Pair
    dilation: int
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
    sequence: int | None
    after: int | str | None
    weight_source: int | str | None
    buffer_shift: int
    buffer_insert: int
    where: ir.Where
    hint: LayerHint | None


def read_entry(item: Item) -> Entry:
    """Return one layer of a description.

    Raises:
        UserError: a key or value is wrong; the sentence names file and line.
    """
    fields = values.mapping(item, "a layer")
    _check_keys(fields)
    op, join = _operation(fields)
    if "eltwise" in fields:
        join = values.choice(fields["eltwise"], "eltwise", JOINS)
    one_d = op == "conv1d"
    if op == "conv2d" and values.flag(fields, "flatten", False) and _is_point(fields):
        op = "linear"  # a 1x1 kernel on one flattened pixel
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
    return Entry(
        name=values.layer_name(fields["name"]) if "name" in fields else None,
        op=op,
        join=join,
        operands=operands,
        sources=values.input_names(fields["in_sequences"]) if "in_sequences" in fields else None,
        pool=pool,
        pool_first=values.flag(fields, "pool_first", True),
        kernel=kernel,
        dilation=_dilation(fields, op),
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
        sequence=values.optional(fields, "sequence", 0, 1023),
        after=_layer_named(fields, "next_sequence"),
        weight_source=_layer_named(fields, "weight_source"),
        buffer_shift=values.optional(fields, "buffer_shift", 1, 1023) or 0,
        buffer_insert=values.optional(fields, "buffer_insert", 1, 1023) or 0,
        where=item.where,
        hint=_hint(item, fields),
    )


def _check_keys(fields: Mapping[str, Item]) -> None:
    for key, item in fields.items():
        known = language.LAYER.get(key)
        if known is None:
            values.refuse(item, f"unknown key {shown(key)} in a layer; check the spelling")
        if known.kind == "neutral" and not _among(item.plain(), known.values):
            values.refuse(
                item,
                f"'{key}: {item.plain()}' is not available, only {known.values[0]} is: "
                f"{known.text}",
            )
        if known.kind == "refused":
            values.refuse(item, f"key {shown(key)} is not available: {known.text}; remove it")


def _among(value: object, choices: tuple[object, ...]) -> bool:
    """Whether a value is one of the choices; true is no 1 and false is no 0."""
    return any(type(value) is type(choice) and value == choice for choice in choices)


def _layer_named(fields: Mapping[str, Item], key: str) -> int | str | None:
    """Return the name or number of a layer that a key gives, None without the key."""
    if key not in fields:
        return None
    value = fields[key].value
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        values.refuse(fields[key], f"'{key}' takes the name or number of a layer")
    return value


def _dilation(fields: Mapping[str, Item], op: ir.Op) -> int:
    if "dilation" not in fields:
        return 1
    rows, cols = values.pair(fields["dilation"], "dilation")
    if op != "conv1d" and (rows, cols) != (1, 1):
        values.refuse(
            fields["dilation"], f"only Conv1d can be dilated on the MAX78000, not {op}; remove it"
        )
    return rows


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
        if "kernel_size" in fields and not (op == "linear" and _is_point(fields)):
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
            values.refuse(item, f"kernel_size {shown(text)}: Conv1d kernels have length 1 to 9")
        return int(text), 1
    allowed = ("1x1", "3x3") if op == "conv2d" else ("3x3",)
    if text not in allowed:
        values.refuse(
            item, f"kernel_size {shown(text)} is not supported; use {' or '.join(allowed)}"
        )
    return int(text[0]), int(text[2])


def _is_point(fields: Mapping[str, Item]) -> bool:
    """Whether a convolution has a 1x1 kernel and no padding."""
    kernel = str(fields["kernel_size"].value) if "kernel_size" in fields else ""
    return kernel.lower() == "1x1" and "pad" in fields and fields["pad"].value == 0


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
    values.one_of(fields, "in_skip", "read_gap")
    if "processors" not in fields:
        values.flag(fields, "streaming", False)  # the search decides which layers stream
        return None
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
        bias_quadrants=quadrants,
        streaming=values.flag(fields, "streaming", False),
        where=item.where,
    )
