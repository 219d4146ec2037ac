"""Readers for the values of a network description; every refusal names file and line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from common.errors import UserError
from common.texts import shown
from synthesize.graph import ir
from synthesize.read.yaml.nodes import Item


def refuse(item: Item, message: str) -> NoReturn:
    """Raise the error ``file:line: message``."""
    raise UserError(f"{item.where}: {message}")


def mapping(item: Item, what: str) -> dict[str, Item]:
    """Return the entries of a mapping."""
    if not isinstance(item.value, dict):
        refuse(item, f"{what} must be a mapping of keys to values")
    return item.value


def one_of(fields: Mapping[str, Item], *keys: str) -> Item | None:
    """Return the value of whichever synonym is given, None without any."""
    found = [key for key in keys if key in fields]
    if len(found) > 1:
        refuse(fields[found[1]], f"{found[0]!r} and {found[1]!r} mean the same; give one of them")
    return fields[found[0]] if found else None


def choice(item: Item, key: str, table: Mapping[str, Any]) -> Any:
    """Return the table entry that a word names."""
    text = str(item.value).lower()
    if isinstance(item.value, (list, dict)) or text not in table:
        refuse(item, f"{key} {shown(item.plain())} is unknown; use one of {', '.join(table)}")
    return table[text]


def integer(item: Item, key: str, low: int, high: int) -> int:
    """Return a whole number within low to high."""
    value = item.value
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(item, f"'{key}' must be a whole number, not {shown(item.plain())}")
    if not low <= value <= high:
        refuse(item, f"'{key}' is {shown(value)}; it must lie in {low} to {high}")
    return value


def optional(fields: Mapping[str, Item], key: str, low: int, high: int) -> int | None:
    """Return a whole number, None when the key is missing."""
    return integer(fields[key], key, low, high) if key in fields else None


def flag(fields: Mapping[str, Item], key: str, default: bool) -> bool:
    """Return true or false."""
    if key not in fields:
        return default
    if not isinstance(fields[key].value, bool):
        refuse(fields[key], f"'{key}' must be true or false, not {shown(fields[key].plain())}")
    return bool(fields[key].value)


def processor_mask(item: Item, key: str) -> int:
    """Return a mask of processors."""
    value = item.value
    if isinstance(value, str):
        try:
            value = int(value.replace(".", "").replace("_", ""), 16)
        except ValueError:
            refuse(item, f"'{key}' must be a mask of 64 bits such as 0xffff, not {shown(value)}")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 64:
        refuse(item, f"'{key}' must be a mask of 64 bits such as 0xffff, not {shown(item.plain())}")
    return value


def pair(item: Item, key: str) -> ir.Pair:
    """Return one number or two as (rows, columns)."""
    if isinstance(item.value, list):
        if len(item.value) != 2:
            refuse(item, f"'{key}' must be one number or two")
        rows, cols = (integer(e, key, 1, 1023) for e in item.value)
        return rows, cols
    number = integer(item, key, 1, 1023)
    return number, number


def dimensions(item: Item) -> ir.Pair:
    """Return the rows and columns of ``in_dim``; one number means one column."""
    if isinstance(item.value, list):
        if len(item.value) == 1:
            return integer(item.value[0], "in_dim", 1, 65536), 1
        return pair(item, "in_dim")
    return integer(item, "in_dim", 1, 65536), 1


def input_names(item: Item) -> tuple[int | str, ...]:
    """Return the names or numbers of ``in_sequences``."""
    entries = item.value if isinstance(item.value, list) else [item]
    result: list[int | str] = []
    for entry in entries:
        if isinstance(entry.value, bool) or not isinstance(entry.value, (int, str)):
            refuse(
                entry, f"'in_sequences' takes layer names or numbers, not {shown(entry.plain())}"
            )
        result.append(entry.value)
    if not result or len(result) > 16:
        refuse(item, "'in_sequences' must name 1 to 16 layers")
    return tuple(result)


def layer_name(item: Item) -> str:
    """Return a name."""
    if not isinstance(item.value, str) or not item.value:
        refuse(item, f"'name' must be a text, not {shown(item.plain())}")
    return item.value


def weight_bits(item: Item) -> int:
    """Return the weight bits of ``quantization``."""
    if item.value not in (1, 2, 4, 8) or isinstance(item.value, bool):
        refuse(
            item, f"quantization {shown(item.plain())}: the chip has weights of 1, 2, 4 or 8 bits"
        )
    return int(item.value)


def activation(item: Item) -> ir.Activation:
    """Return an activation."""
    table: dict[str, ir.Activation] = {"relu": "relu", "abs": "abs", "none": "none"}
    result: ir.Activation = choice(item, "activation", table)
    return result


def is_wide(item: Item) -> bool:
    """Return whether ``output_width`` asks for 32 bits."""
    if item.value not in (8, 32) or isinstance(item.value, bool):
        refuse(item, f"output_width {shown(item.plain())}: the chip writes 8 or 32 bits")
    return bool(item.value == 32)


def is_chw(item: Item) -> bool:
    """Return whether ``data_format`` asks for one channel per data memory."""
    table = {"chw": True, "big": True, "hwc": False, "little": False}
    return bool(choice(item, "data_format", table))
