"""Reads the network description language of ai8x-synthesis.

The language is documented in ai8x-synthesis README, "YAML Network Description". A description holds
the operations *and* a placement by hand; this module returns both: a graph and
:class:`~synthesize.place.placement.Hints`. A description that leaves out ``processors`` everywhere
holds only operations (strides included): the compiler legalises and places it. Everything that the
accelerator of the MAX78000 cannot do, and every key this compiler does not know, is refused with
file and line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.texts import shown
from synthesize.graph import ir
from synthesize.graph.hints import BufferPlace, Hints
from synthesize.graph.shapes import layer_reading
from synthesize.read.checkpoint import Checkpoint, LayerWeights
from synthesize.read.yaml import language, order, values
from synthesize.read.yaml.buffer import check_layer, read_buffer, rows_read
from synthesize.read.yaml.entries import Entry, read_entry
from synthesize.read.yaml.nodes import Item, read
from synthesize.read.yaml.weights import layer_weights

MAX_LAYERS_READ = 128


@dataclass(frozen=True)
class Description:
    """A network as described by hand: the graph and its placement, None when it has none."""

    graph: ir.Graph
    hints: Hints | None
    notes: tuple[str, ...] = ()


def load(
    path: str | Path,
    checkpoint: Checkpoint | None,
    input_shape: tuple[int, ...] | None = None,
    trained: bool = False,
) -> Description:
    """Read a network description and join it with its weights.

    Args:
        path: the YAML file.
        checkpoint: integer checkpoint; weights are taken in order. Without one (a network that is
            not trained yet) all weights are zero and every layer needs ``out_channels``.
        trained: a layer with weights is refused when there is no checkpoint.
        input_shape: shape of the sample input, needed when the description has no ``in_dim``.

    Raises:
        UserError: anything wrong with the description, with file and line.
    """
    root = read(path)
    top = values.mapping(root, "the network description")
    for key, item in top.items():
        known = language.TOP.get(key)
        if known is None:
            usable = (name for name, found in language.TOP.items() if found.kind != "refused")
            values.refuse(
                item, f"unknown key {shown(key)}; known keys are {', '.join(sorted(usable))}"
            )
        if known.kind == "refused":
            values.refuse(item, f"key {shown(key)} is not available: {known.text}; remove it")
    if "layers" not in top:
        values.refuse(root, "there is no 'layers' list; describe at least one layer")
    layers = top["layers"]
    if not isinstance(layers.value, list) or not layers.value:
        values.refuse(layers, "'layers' must be a list with at least one layer")
    if len(layers.value) > MAX_LAYERS_READ:
        values.refuse(
            layers, f"{len(layers.value)} layers; the chip runs at most 32, so shorten it"
        )
    entries = order.running_order([read_entry(item) for item in layers.value])
    _check_hints(entries)
    final = entries[-1].hint
    if "output_map" in top and final is not None:
        mask = values.processor_mask(top["output_map"], "output_map")
        entries[-1] = replace(entries[-1], hint=replace(final, output_processors=mask))
    name = top["arch"].value if "arch" in top else Path(path).stem
    if checkpoint is not None and "arch" in top:
        _check_architecture(top["arch"], checkpoint)
    kept = read_buffer(top, placed=final is not None)
    return _build(str(name), str(path), entries, checkpoint, input_shape, trained, kept)


def _check_architecture(stated: Item, checkpoint: Checkpoint) -> None:
    if checkpoint.arch and checkpoint.arch.lower() != str(stated.value).lower():
        values.refuse(
            stated,
            f"the description is of {stated.value}, but {checkpoint.path} holds {checkpoint.arch}; "
            "use the checkpoint that belongs to the description",
        )


def _check_hints(entries: list[Entry]) -> None:
    """Refuse a placement that is given for some layers only."""
    without = [entry for entry in entries if entry.hint is None]
    if without and len(without) < len(entries):
        raise UserError(
            f"{without[0].where}: 'processors' is missing; give a mask of the 64 processors, e.g. "
            "0xffff, or leave it out in all layers to have them placed"
        )


def _build(
    name: str,
    path: str,
    entries: list[Entry],
    checkpoint: Checkpoint | None,
    input_shape: tuple[int, ...] | None,
    trained: bool,
    kept: tuple[ir.DataBuffer, BufferPlace] | None,
) -> Description:
    weights: list[LayerWeights | None] = [None] * len(entries)
    if checkpoint is not None:
        weights = _assign_weights(path, entries, checkpoint)
    names = _names(entries, weights)
    if checkpoint is not None:
        weights = order.shared_weights(entries, names, weights)
    source = _input(path, entries[0], weights[0], input_shape)
    shapes: dict[str, ir.Shape] = {ir.INPUT: source.shape}
    buffer, place = kept or (None, None)
    if buffer is not None:
        shapes[buffer.name] = buffer.shape
    layers: list[ir.Layer] = []
    for i, entry in enumerate(entries):
        inputs = _inputs(entry, i, names, buffer)
        check_layer(entry, names[i], inputs, buffer)
        stored = weights[i]
        if checkpoint is None and entry.op != "passthrough":
            if trained:
                raise UserError(
                    f"{entry.where}: layer {names[i]}: it has weights; give the checkpoint as "
                    "well, after the network description"
                )
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
    graph = ir.Graph(name, source, tuple(layers), outputs, buffer)
    hints = tuple(entry.hint for entry in entries if entry.hint is not None)
    notes = () if checkpoint is None else _undescribed(path, entries, checkpoint)
    return Description(graph, Hints(hints, chw, buffer=place) if hints else None, notes)


def _undescribed(path: str, entries: list[Entry], checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return a warning about the layers of a checkpoint that no description uses."""
    count = sum(e.op != "passthrough" and e.weight_source is None for e in entries)
    rest = checkpoint.beyond(count)
    if not rest:
        return ()
    return (
        f"{checkpoint.path}: {', '.join(rest)} behind the first {count} layers are not described "
        f"in {path} and not used",
    )


def _untrained(
    entry: Entry, name: str, inputs: tuple[str, ...], shapes: Mapping[str, ir.Shape]
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
    path: str, entries: list[Entry], checkpoint: Checkpoint
) -> list[LayerWeights | None]:
    needing = [
        i
        for i, entry in enumerate(entries)
        if entry.op != "passthrough" and entry.weight_source is None
    ]
    available = checkpoint.first_layers(len(needing))
    if len(needing) != len(available):
        raise UserError(
            f"{path}: it describes {len(needing)} layers with weights but {checkpoint.path} holds "
            f"{len(available)}; use the checkpoint that belongs to the description"
        )
    result: list[LayerWeights | None] = [None] * len(entries)
    stored = {layer.name for layer in available}
    for i, weights in zip(needing, available, strict=True):
        named = entries[i].name
        if named is not None and named != weights.name and named in stored:
            raise UserError(
                f"{entries[i].where}: layer {named}: the checkpoint has {weights.name} in "
                "this place; list the layers in the order of the checkpoint"
            )
        result[i] = weights
    return result


def _names(entries: list[Entry], weights: list[LayerWeights | None]) -> list[str]:
    names: list[str] = []
    for i, entry in enumerate(entries):
        stored = weights[i]
        name = entry.name or (stored.name if stored else f"layer{i}")
        if name.lower() in (ir.INPUT, "stop"):
            raise UserError(f"{entry.where}: {shown(name)} is a reserved name; choose another")
        if name.lower() in (n.lower() for n in names):
            raise UserError(
                f"{entry.where}: the layer name {shown(name)} is used twice; rename one"
            )
        names.append(name)
    return names


def _input(
    path: str, first: Entry, weights: LayerWeights | None, sample: tuple[int, ...] | None
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
        channels = _stated_channels(first, rows, cols, weights)
    elif padded is not None:
        channels = padded[0]
    elif weights is not None and not first.flatten:
        channels = weights.weight.shape[0 if first.op == "convtranspose2d" else 1]
        channels *= _stacked(first)
    else:
        raise UserError(f"{first.where}: give 'in_channels' in the first layer")
    shape = (int(channels), int(rows), int(cols))
    if padded is not None and int(np.prod(padded)) != int(np.prod(shape)):
        raise UserError(
            f"{first.where}: the network expects {shape[0]}x{shape[1]}x{shape[2]} but the "
            f"sample input is {'x'.join(map(str, sample or ()))}; use a matching sample"
        )
    return ir.Input(shape, 1, first.where)


def _stated_channels(first: Entry, rows: int, cols: int, weights: LayerWeights | None) -> int:
    """Return the input's channels from ``in_channels`` of the first layer.

    The public generator counts them after flattening and per operand; flattening layers may give
    the number before it as well, which the weights tell apart.
    """
    assert first.in_channels is not None
    channels = first.in_channels
    flattened = weights is None or weights.weight.shape[1] == channels
    if first.flatten and flattened and channels % (rows * cols) == 0:
        channels //= rows * cols
    return channels * _stacked(first)


def _stacked(entry: Entry) -> int:
    """Return how many operands an element-wise layer finds in the one input it has."""
    if entry.join is None or (entry.sources is not None and len(entry.sources) > 1):
        return 1
    return entry.operands or 2


def _inputs(
    entry: Entry, index: int, names: list[str], buffer: ir.DataBuffer | None
) -> tuple[str, ...]:
    where = entry.where
    if entry.sources is None:
        if entry.join is not None and entry.hint is None:
            raise UserError(
                f"{where}: layer {names[index]}: operands that lie interleaved in one input need "
                "'processors'; name the operands in 'in_sequences' to have them placed"
            )
        if entry.join is not None and index and entry.in_dim is not None:
            raise UserError(
                f"{where}: layer {names[index]}: operands that lie interleaved in the pixels of "
                "the layer before are not supported, only those in its channels; leave 'in_dim' out"
            )
        return (names[index - 1] if index else ir.INPUT,)
    lower = {name.lower(): name for name in names[:index]}
    if buffer is not None:
        lower.setdefault(buffer.name.lower(), buffer.name)
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
                f"{where}: layer {names[index]}: in_sequences names {shown(source)}, which is no "
                "earlier layer; layers run in the order they are listed"
            )
    if entry.join is not None and len(inputs) not in (1, entry.operands or 2):
        raise UserError(
            f"{where}: layer {names[index]}: in_sequences names {len(inputs)} inputs but the "
            f"operation has {entry.operands or 2} operands; set 'operands'"
        )
    return tuple(inputs)


def _pool(entry: Entry, size: tuple[int, ...]) -> ir.Pool | None:
    """Return the pooling; data with one column is pooled as 1D data is."""
    pool = entry.pool
    if pool is None or entry.op != "passthrough" or size[1] != 1:
        return pool
    return ir.Pool(pool.kind, (pool.size[0], 1), (pool.stride[0], 1))


def _layer(
    entry: Entry,
    name: str,
    inputs: tuple[str, ...],
    stored: LayerWeights | None,
    shapes: Mapping[str, ir.Shape],
    first: bool,
) -> ir.Layer:
    bits = entry.bits or (stored.bits if stored else 8)
    prefix = ir.label(entry.where, name)
    weight = bias = None
    kernel, dilation = entry.kernel, 1
    if stored is not None:
        weight, dilation = layer_weights(prefix, entry, bits, stored)
        kernel = int(weight.shape[2]), int(weight.shape[3])
        bias = stored.stored_bias()
        if bias is not None and len(bias) != len(weight):
            raise UserError(
                f"{prefix}{len(bias)} biases for {len(weight)} outputs; fix the checkpoint"
            )
    shift = entry.output_shift
    if shift is None:
        shift = stored.output_shift if stored else 0
    layer = layer_reading(
        [rows_read(shapes[source], entry) for source in inputs],
        name=name,
        op=entry.op,
        inputs=inputs,
        join=entry.join or "concat",
        pool=_pool(entry, entry.in_dim or shapes[inputs[0]][1:]),
        pool_first=entry.pool_first,
        kernel=kernel,
        stride=entry.stride,
        pad=entry.pad,
        dilation=dilation,
        output_pad=entry.output_pad,
        flatten=entry.flatten,
        reshape=None if first else entry.in_dim,
        stacked=_stacked(entry),
        buffer_shift=entry.buffer_shift,
        buffer_insert=entry.buffer_insert,
        weight=weight,
        bias=bias,
        bits=bits,
        output_shift=shift,
        activation=entry.activation,
        wide=entry.wide,
        where=entry.where,
    )
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
