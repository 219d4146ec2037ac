"""``pose78 report``: a network on the chip as one page."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.console import say
from common.files import check_writable
from common.texts import console


def main(arguments: list[str]) -> int:
    """Command line; 1 when it does not fit.

    Raises:
        UserError: the network cannot be read, or the page cannot be written.
    """
    parser = argparse.ArgumentParser(
        prog="pose78 report",
        description="Draw a network on the chip: its graph, where its memory and its cycles go, "
        "and what to change. Exit status 1: it does not fit.",
    )
    parser.add_argument("network", help="student of this package, or a file that pose78 check "
                        "takes")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"),
                        help="page to write (%(default)s)")  # fmt: skip
    options = parser.parse_args(arguments)
    check_writable(options.output)
    from pose78.checking import check
    from pose78.estimator import shipped
    from synthesize.report import page

    verdict = check(shipped().get(options.network, options.network))
    if verdict.compiled is None:
        print(console(verdict.text()), end="")
        return 1
    say(str(page.write_report(verdict.compiled, options.output)))
    return 0
