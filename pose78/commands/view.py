"""``pose78 view``: watch the integer student, a board, the virtual kit or a recording."""

from __future__ import annotations

import argparse


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    from evalkit.commands import view

    result = view.parser(required=False)
    result.prog = "pose78 view"
    result.description = (
        "Watch people in the browser: the integer student on this computer (without --port, --kit "
        "and --replay; drop a picture on the page), a board, the virtual kit or a recording."
    )
    result.add_argument("--model", default="native", metavar="NAME", help="the student that looks "
                        "on this computer (%(default)s)")  # fmt: skip
    return result


def main(arguments: list[str]) -> int:
    """Command line: serve the page until interrupted.

    Raises:
        UserError: camera, recording, firmware or student are unusable, or the HTTP port is in use.
    """
    options = parser().parse_args(arguments)
    from evalkit.commands import view
    from evalkit.host.stream import sources
    from evalkit.host.viewer.board import Board

    if options.port or options.kit or options.replay:
        view.serve(options, lambda board: sources.feed(options, board, None))
        return 0
    from evalkit.host.stream.pictures import open_camera
    from pose78 import estimator
    from pose78.watching import StudentFeed

    model = estimator.load(options.model)
    camera = None if options.camera is None else open_camera(options.camera)

    def make(board: Board) -> StudentFeed:
        return StudentFeed(board, model, camera, options.once)

    view.serve(options, make)
    return 0
