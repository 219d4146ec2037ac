"""Arguments of command lines: what is wrong with one is a sentence, and numbers have limits."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from common.errors import UserError
from common.files import check_place
from common.texts import shown


class Parser(argparse.ArgumentParser):
    """A parser that refuses as everything here does: one sentence, no usage in front of it."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments.

        Raises:
            UserError: always.
        """
        raise UserError(f"{message}; {self.prog} -h explains it")


def whole(least: int = 1, most: int | None = None) -> Callable[[str], int]:
    """The ``type`` of an argument that is a whole number within limits."""
    wanted = f"a whole number {_limits(least, most)}"

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:  # too many digits as well
            raise _unfit(text, wanted) from None
        if number < least or (most is not None and number > most):
            raise _unfit(text, wanted)
        return number

    return read


def span(most: int) -> Callable[[str], range]:
    """The ``type`` of an argument: a number, for 1 to that, or two of them, as in ``41-60``."""
    wanted = f"a number from 1 to {most}, nor two of them, the smaller first, as in 41-60"

    def read(text: str) -> range:
        first, dash, last = text.partition("-")
        try:
            numbers = range(int(first), int(last) + 1) if dash else range(1, int(first) + 1)
        except ValueError:
            raise _unfit(text, wanted) from None
        if not numbers or numbers[0] < 1 or numbers[-1] > most:
            raise _unfit(text, wanted)
        return numbers

    return read


def real(
    least: float | None = None, most: float | None = None, above: float | None = None
) -> Callable[[str], float]:
    """The ``type`` of an argument that is a number, never NaN or infinite.

    Args:
        least: allowed itself; ``above`` is not.
        most: allowed itself.
    """
    limits = _limits(least, most) if above is None else f"above {above:g}"
    if above is not None and most is not None:
        limits += f" and at most {most:g}"
    wanted = f"a number {limits}" if limits else "a finite number"

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            raise _unfit(text, wanted) from None
        low = least is None or number >= least
        if (
            not math.isfinite(number)
            or not low
            or (above is not None and number <= above)
            or (most is not None and number > most)
        ):
            raise _unfit(text, wanted)
        return number

    return read


def to_file(text: str) -> Path:
    """The ``type`` of an argument that names a file to write: it is tried at once."""
    return _tried(Path(text), False)


def to_folder(text: str) -> Path:
    """The ``type`` of an argument that names a folder to write into."""
    return _tried(Path(text), True)


def _tried(path: Path, folder: bool) -> Path:
    try:
        check_place(path, folder)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return path


def _limits(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"from {least} to {most}"
    if most is not None:
        return f"of at most {most}"
    return "" if least is None else f"of at least {least}"


def _unfit(text: str, wanted: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{shown(text)[1:-1]} is not {wanted}")
