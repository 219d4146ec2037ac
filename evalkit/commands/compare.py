"""``python -m evalkit compare A B``: find where two layer dumps part."""

from __future__ import annotations

from pathlib import Path

from common.arguments import Parser
from common.console import say
from evalkit.dump import compare_dumps


def main(arguments: list[str]) -> int:
    """``evalkit compare A B``: 0 if equal, 1 with the first difference otherwise."""
    parser = Parser(prog="evalkit compare", description=compare_dumps.__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    options = parser.parse_args(arguments)
    difference = compare_dumps(options.first, options.second)
    say(difference or "the dumps are equal")
    return 1 if difference else 0
