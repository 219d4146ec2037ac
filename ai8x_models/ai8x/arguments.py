"""Arguments that the chip does not know are refused when a layer is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def only(what: str, value: Any, neutral: Any) -> None:
    """Raise a ValueError for any other value, or pair of values."""
    if value not in (neutral, (neutral, neutral)):
        raise ValueError(f"{what} is {value}; the MAX78000 has {neutral} only")


def one_of(what: str, value: Any, allowed: Any) -> Any:
    """The value, or what ``allowed`` maps it to; a ValueError for one that is not there."""
    if value not in allowed:
        raise ValueError(f"{what} is {value!r}; it must be one of {list(allowed)}")
    return allowed[value] if isinstance(allowed, Mapping) else value


def square(size: int | tuple[int, int]) -> int:
    """Side of a kernel; a ValueError for one with two."""
    if isinstance(size, int):
        return size
    if size[0] != size[1]:
        raise ValueError(f"kernel_size is {size}; the chip has 1 and 3, square")
    return size[0]
