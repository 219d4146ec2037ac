"""``pose78 report``: a network on the chip as one page."""

from __future__ import annotations

import argparse
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Command line.

    Raises:
        UserError: the network cannot be compiled, or the page cannot be written.
    """
    parser = argparse.ArgumentParser(
        prog="pose78 report",
        description="Draw a network on the chip: its graph, where its memory and its cycles go, "
        "and what to change.",
    )
    parser.add_argument("network", help="student of this package, or its integer checkpoint")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"),
                        help="page to write (%(default)s)")  # fmt: skip
    options = parser.parse_args(arguments)
    from pose78.estimator import find
    from synthesize.compiler import compile_network
    from synthesize.read import checkpoint
    from synthesize.report import page

    compiled = compile_network(checkpoint.load(find(options.network)))
    print(page.write_report(compiled, options.output))
    return 0
