"""Command line of the compiler: ``python -m synthesize compile|check|show|limits|networks``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from common.console import command_line
from common.threads import one_per_product


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 good, 1 differences, 2 wrong input)."""
    one_per_product()  # before numpy is loaded, hence before the commands are
    return run(arguments)


def run(arguments: Sequence[str] | None = None) -> int:
    """As :func:`main`, for callers that want the exception.

    Raises:
        UserError: the network cannot be read, compiled or written.
    """
    from synthesize.commands import run as command

    return command(arguments)


if __name__ == "__main__":
    sys.exit(main())
