"""``python -m evalkit view``: watch a board, the virtual kit or a recording in the browser."""

from __future__ import annotations

import argparse
import signal
import webbrowser
from collections.abc import Callable

from common.arguments import whole
from common.console import say
from common.texts import console
from evalkit.host.stream import sources
from evalkit.host.stream.feed import Feed
from evalkit.host.viewer.board import Board
from evalkit.host.viewer.server import Server

DEFAULT_HTTP = 8078


def main(given: list[str]) -> int:
    """Command line: serve the page until interrupted.

    Raises:
        UserError: camera, recording or firmware are unusable, or the HTTP port is in use.
    """
    options = parser().parse_args(given)
    serve(options, lambda board: sources.feed(options, board, None))
    return 0


def parser(required: bool = True) -> argparse.ArgumentParser:
    """The command's options; ``required``: a source must be named."""
    result = sources.parser("view", __doc__ or "", required)
    result.add_argument(
        "--once", action="store_true", help="stop at the end of the camera's pictures and say so"
    )
    result.add_argument(
        "--follow",
        action="store_true",
        help="follow people over the pictures of --camera: a video; the board sees the region "
        "where they are",
    )
    result.add_argument(
        "--colour",
        action="store_true",
        help="with --follow: tell people by the colour of their clothes too",
    )
    result.add_argument(
        "--http", type=whole(0), default=DEFAULT_HTTP, metavar="PORT",
        help="serve the page here (%(default)s)",
    )  # fmt: skip
    result.add_argument("--no-browser", action="store_true", help="do not open the page")
    return result


def serve(options: argparse.Namespace, make: Callable[[Board], Feed]) -> None:
    """Serve the page until the feed ends or somebody interrupts.

    Raises:
        UserError: as :func:`main`.
    """
    board = Board(echo=lambda text: print(console(text), flush=True))
    server = Server(board, options.http)
    try:
        _serve(server, make(board), not options.no_browser)
    finally:
        server.stop()


def _serve(server: Server, feed: Feed, open_page: bool) -> None:
    """Until the feed ends or somebody interrupts; raises why it failed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    server.connect(feed.player, lambda wanted: setattr(feed, "want_heat", wanted))
    server.start()
    # Before the feed starts, whose thread prints the log: two prints at once may share a line.
    try:
        say(f"viewer: {server.url} (Ctrl-C ends it)")
        feed.start()
        if open_page:
            webbrowser.open(server.url)
        feed.wait()
    except KeyboardInterrupt:
        print()
    finally:
        feed.stop()
    feed.check()
