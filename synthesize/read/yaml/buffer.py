"""The ``data_buffer`` of a network description: what a network keeps between inferences."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import UserError
from common.texts import shown
from synthesize.graph.hints import BufferPlace
from synthesize.graph.ir import DataBuffer, Shape
from synthesize.read.yaml import values
from synthesize.read.yaml.entries import Entry
from synthesize.read.yaml.nodes import Item

_NEEDED = ("name", "processors", "dim", "channels", "offset")
_BITS = 8


def read_buffer(top: Mapping[str, Item], placed: bool) -> tuple[DataBuffer, BufferPlace] | None:
    """Return the data buffer of a description and where it lies, None when it has none.

    Args:
        top: the description by key.
        placed: whether its layers are placed by hand.

    Raises:
        UserError: a key is missing, unknown or has a wrong value; there is more than one buffer.
    """
    if "data_buffer" not in top:
        return None
    item = top["data_buffer"]
    entries = item.value if isinstance(item.value, list) else [item]
    if len(entries) != 1:
        values.refuse(
            item, f"'data_buffer' lists {len(entries)} buffers; a network has one, so join them"
        )
    if not placed:
        values.refuse(
            item, "a data buffer has a place of its own, so every layer needs 'processors' as well"
        )
    fields = values.mapping(entries[0], "a data buffer")
    for key, entry in fields.items():
        if key not in (*_NEEDED, "width"):
            values.refuse(entry, f"unknown key {shown(key)} in 'data_buffer'; check the spelling")
    for key in _NEEDED:
        if key not in fields:
            values.refuse(entries[0], f"'data_buffer' needs {key!r}; add it")
    if "width" in fields and values.integer(fields["width"], "width", 8, 32) != _BITS:
        values.refuse(fields["width"], "a data buffer holds 8-bit data; leave 'width' out")
    rows, cols = values.dimensions(fields["dim"])
    channels = values.integer(fields["channels"], "channels", 1, 1024)
    place = BufferPlace(
        values.processor_mask(fields["processors"], "processors"),
        values.integer(fields["offset"], "offset", 0, 0x7FFC) // 4 * 4,
    )
    name = values.layer_name(fields["name"])
    return DataBuffer(name, (channels, rows, cols), entries[0].where), place


def check_layer(
    entry: Entry, name: str, inputs: tuple[str, ...], buffer: DataBuffer | None
) -> None:
    """Refuse a layer that moves rows of a data buffer which it does not have."""
    key = "buffer_shift" if entry.buffer_shift else "buffer_insert"
    if buffer is None:
        if entry.buffer_shift or entry.buffer_insert:
            raise UserError(
                f"{entry.where}: layer {name}: {key} needs a data buffer; describe 'data_buffer'"
            )
        return
    if buffer.name.lower() == name.lower():
        raise UserError(
            f"{entry.where}: layer {name}: the data buffer has this name; rename one of the two"
        )
    if not entry.buffer_shift:
        return
    if inputs != (buffer.name,) or entry.op != "passthrough" or entry.pool or entry.join:
        raise UserError(
            f"{entry.where}: layer {name}: buffer_shift needs a pass-through layer that reads "
            f"{buffer.name} and nothing else, without pooling"
        )
    if entry.buffer_shift >= buffer.shape[1]:
        raise UserError(
            f"{entry.where}: layer {name}: a buffer_shift of {entry.buffer_shift} leaves "
            f"nothing of the {buffer.shape[1]} rows of {buffer.name}; shift by less"
        )


def rows_read(shape: Shape, entry: Entry) -> Shape:
    """Return the shape of what a layer reads: one that shifts leaves the first rows out."""
    return shape[0], shape[1] - entry.buffer_shift, shape[2]
