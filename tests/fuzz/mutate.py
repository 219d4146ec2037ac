"""Changes to seeds: to their bytes, and to trees of plain data before they are written."""

from __future__ import annotations

import random
from typing import Any

ODD_NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 3, 5, 7, 16, 31, 32, 63, 64, 127, 128, 255, 256, 1023, 1024, 4096, 65535, 65536),
    *(1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, -(1 << 63), 1 << 64, 10**30, 10**400),
    *(0.5, -0.0, 1e-300, 1e300, float("inf"), float("-inf"), float("nan")),
)
ODD_TEXTS = (
    *(
        "",
        "none",
        "input",
        "a" * 300,
        "*/ x /*",
        "a\nb",
        "\x1b[2J",
        "\u202e",
        "/",
        "../../x",
        "${x}",
    ),
    *(
        "${oc.env:HOME}",
        "%s%n",
        "\\",
        '"',
        "'",
        "0x10",
        "1:30:00",
        "~",
        "*a",
        "&a",
        "!!python/none",
    ),
)
WORDS = (
    *(
        b"\x00",
        b"\xff" * 4,
        b"\x7f\xff\xff\xff",
        b"\x80\x00\x00\x00",
        b"\xff\xff\xff\x7f",
        b"[" * 2000,
    ),
    *(
        b"{" * 200,
        b"9" * 5000,
        b"-",
        b"1e999",
        b"NaN",
        b"null",
        b"\xf0\x9f\x98\x80",
        b"\xed\xa0\x80",
    ),
    *(
        b"\n",
        b"\t",
        b": ",
        b"- ",
        b"&a ",
        b"*a ",
        b"!!int ",
        b'"',
        b"'",
        b"\\",
        b"0x" + b"f" * 3000,
    ),
)


def odd(rng: random.Random, depth: int = 0) -> Any:
    """A value that seldom stands where it is put."""
    kind = rng.randrange(9)
    if kind < 4:
        return rng.choice(ODD_NUMBERS)
    if kind < 6:
        return rng.choice(ODD_TEXTS)
    if kind == 6:
        return rng.choice((None, True, False, [], {}))
    if kind == 7 and depth < 3:
        return [odd(rng, depth + 1) for _ in range(rng.randrange(4))]
    nested: Any = 1
    for _ in range(rng.choice((3, 30, 300))):
        nested = [nested]
    return nested


def tree(rng: random.Random, value: Any) -> Any:
    """``value`` (plain data) with one to four of its places changed."""
    for _ in range(rng.randint(1, 4)):
        value = _once(rng, value)
    return value


def _once(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        keys = list(value)
        key = rng.choice(keys)
        kind = rng.random()
        if kind < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if kind < 0.15:
            return {**value, rng.choice(ODD_TEXTS): odd(rng)}
        if kind < 0.2:
            return {**value, key: value[rng.choice(keys)]}
        return {**value, key: _once(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.1:
            return value[:at] + value[at + 1 :]
        if kind < 0.2:
            return [*value, value[at]]
        if kind < 0.25:
            return value * rng.choice((2, 40))
        return [*value[:at], _once(rng, value[at]), *value[at + 1 :]]
    return odd(rng)


def octets(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """``content`` with one to six changes of bytes, some from another seed."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        span = min(rng.choice((1, 2, 4, 8, 64, 1000)), len(data) - at)
        kind = rng.randrange(7)
        if kind == 0 and data:
            data[at - 1] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at : at + span] = rng.choice(WORDS)
        elif kind == 2:
            data[at:at] = rng.choice(WORDS)
        elif kind == 3:
            del data[at : at + span]
        elif kind == 4:
            data[at:at] = data[at : at + span] * rng.choice((1, 2, 50))
        elif kind == 5:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            data[at : at + span] = other[start : start + rng.choice((4, 40, 400))]
        else:
            data[at : at + span] = rng.randbytes(span)
    return bytes(data[:300_000])
