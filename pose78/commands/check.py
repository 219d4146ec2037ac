"""``pose78 check``: does a network fit the chip, how fast is it, what breaks which limit."""

from __future__ import annotations

import argparse

from common.arguments import Parser
from common.errors import UserError
from common.texts import console, shown
from common.threads import one_per_product


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(
        prog="pose78 check",
        description="Say whether a network fits the chip and how fast it is; it need not be "
        "trained. Exit status 1: it does not fit.",
    )
    parser.add_argument(
        "network", nargs="?", metavar="FILE",
        help="Python file with a student or torch module (FILE.py or FILE.py:NAME), network.yaml, "
        "ONNX model or checkpoint",
    )  # fmt: skip
    parser.add_argument("--student", metavar="NAME", help="a student that is described here")
    parser.add_argument(
        "--bits", metavar="N|LAYER=N,...", help="weight bits of an untrained student (those of its "
        "recipe, else 8); default=N for layers that are not named",
    )  # fmt: skip
    parser.add_argument("--input", metavar="C,H,W", help="what a torch module reads: channels, "
                        "rows and columns, or channels and length")  # fmt: skip
    parser.add_argument("--weights", metavar="FILE", help="integer checkpoint of a network.yaml "
                        "(the one beside it)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print it for programs")
    return parser


def main(arguments: list[str]) -> int:
    """Command line; 1 when it does not fit.

    Raises:
        UserError: there is no such network, or it cannot be read.
    """
    options = parser().parse_args(arguments)
    if (options.network is None) == (options.student is None):
        raise UserError("name one network: a file, or --student NAME")
    bits = None if options.bits is None else read_bits(options.bits)
    shape = None if options.input is None else read_shape(options.input)
    # Its matrices are small: threads would only wait for one another.
    one_per_product()
    from pose78.checking import check

    network = options.network or options.student
    verdict = check(network, shape, bits=bits, weights=options.weights)
    print(verdict.json() if options.json else console(verdict.text()), end="")
    return 0 if verdict.fits else 1


def read_bits(text: str) -> int | dict[str, int]:
    """``4``, or ``default=4,conv1=8``.

    Raises:
        UserError: it is neither.
    """
    if _is_number(text):
        return int(text)
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name and _is_number(number) for name, _, number in pairs):
        raise UserError(f"--bits is {shown(text)}; give a number, or LAYER=N with commas between")
    names = [name for name, _, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"--bits names {shown(twice)} twice; leave one of them out")
    return {name: int(number) for name, _, number in pairs}


def _is_number(text: str) -> bool:
    """Whether a text is a number of a few digits; Python reads no more than some thousands."""
    return text.isdecimal() and len(text) <= 4


def read_shape(text: str) -> tuple[int, ...]:
    """``3,64,64`` or ``16,200``.

    Raises:
        UserError: it is neither.
    """
    sizes = text.split(",")
    if len(sizes) not in (2, 3) or not all(_is_number(n) and 0 < int(n) <= 4096 for n in sizes):
        raise UserError(
            f"--input is {shown(text)}; give channels, rows and columns (3,64,64) or channels and "
            "length"
        )
    return tuple(map(int, sizes))
