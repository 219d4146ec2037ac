"""What a text from outside becomes before it is written somewhere: one rule for each target.

Names of layers, networks and files come from other people's files. Each target lets through what
it is known to bear (a whitelist), so that a text stays a text wherever it goes.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

MAX_NAME = 200
"""Characters of a name; the longest of the networks we know has 90."""

_NOT_IN_COMMENT = re.compile(r"[^A-Za-z0-9_ ,.:;/()\[\]<>=+@|%-]")
_NOT_IN_STRING = re.compile(r"[^A-Za-z0-9_. -]")
_NOT_IN_WORD = re.compile(r"[^A-Za-z0-9_.+-]")
_TO_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def c_comment(text: str) -> str:
    """Return ``text`` for the inside of ``/* ... */``, others than the whitelist as ``_``.

    No star and no backslash pass, so nothing closes the comment, splices its line or spells one of
    those as a trigraph.
    """
    return _NOT_IN_COMMENT.sub("_", text)


def c_string(text: str) -> str:
    """Return the inside of a C string literal, also fit for a comment: 64 characters at most."""
    return _NOT_IN_STRING.sub("_", text)[:64]


def word(text: str) -> str:
    """Return one word of ASCII letters, digits and ``_.+-``: for YAML and Makefiles."""
    return _NOT_IN_WORD.sub("_", text)


def markup(text: str) -> str:
    """Return ``text`` for HTML and SVG, inside an element or a quoted attribute."""
    return html.escape(one_line(text))


def script(value: Any) -> str:
    """Return plain data as JSON for the inside of ``<script>``, which no value can close."""
    return re.sub("[<>&]", lambda found: _TO_SCRIPT[found[0]], json.dumps(value))


def one_line(text: str) -> str:
    """Return ``text`` for a line of a console or a table: what does not print is escaped."""
    return "".join(map(_visible, text))


def utf8(text: str) -> str:
    """Return text that can be written: the bytes of a name that are no UTF-8 are escaped."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def console(text: str) -> str:
    """Return lines for a terminal: as :func:`one_line`, but line ends and tabs pass.

    Control sequences, which move the cursor, change titles or hide text, become visible.
    """
    return "".join(c if c in "\n\t" else _visible(c) for c in text)


def counted(number: int, one: str, many: str = "") -> str:
    """Return ``1 picture``, ``2 pictures``; ``many`` where it is not ``one`` with an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def people(number: int) -> str:
    """Return ``1 person``, ``2 people``."""
    return counted(number, "person", "people")


def shortened(text: str, most: int, mark: str = "...") -> str:
    """Return at most so many characters: a long text loses its middle, where paths are alike."""
    if len(text) <= most:
        return text
    head = (most - len(mark)) // 2
    return text[:head] + mark + text[len(mark) + head - most :]


def is_plain(name: str) -> bool:
    """Whether a name is 1 to ``MAX_NAME`` characters that all print."""
    return 0 < len(name) <= MAX_NAME and name.isprintable()


def shown(value: Any, most: int = 60) -> str:
    """Return ``repr`` of any value for a message: short, of one line, whatever the value is.

    Numbers of thousands of digits, which Python refuses to write in decimal, become their size.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, (list, tuple, dict, set)) and len(value) > most:
        return f"a {type(value).__name__} of {len(value)} entries"
    try:
        text = one_line(repr(value))
    except Exception:  # a value nested in it may be one of those numbers, or nested for ever
        return f"a {type(value).__name__}"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape", errors="backslashreplace").decode("ascii")
