"""``python -m evalkit view``: watch a board, the virtual kit or a recording in the browser."""

from __future__ import annotations

import signal
import webbrowser

from common.texts import console
from evalkit.host.stream import sources
from evalkit.host.stream.feed import Feed
from evalkit.host.viewer.server import Board, Server

DEFAULT_HTTP = 8078


def main(given: list[str]) -> int:
    """Command line: serve the page until interrupted.

    Raises:
        UserError: camera, recording or firmware are unusable, or the HTTP port is in use.
    """
    parser = sources.parser("view", __doc__ or "")
    parser.add_argument(
        "--http", type=int, default=DEFAULT_HTTP, metavar="PORT", help="serve the page here"
    )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="follow people over the pictures of --camera: a video; the board sees the region "
        "where they are",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the page")
    options = parser.parse_args(given)
    board = Board(echo=lambda text: print(console(text), flush=True))
    server = Server(board, options.http)
    try:
        _serve(server, sources.feed(options, board, None), not options.no_browser)
    finally:
        server.stop()
    return 0


def _serve(server: Server, feed: Feed, open_page: bool) -> None:
    """Until the feed ends or somebody interrupts; raises why it failed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    server.on_heat = lambda wanted: setattr(feed, "want_heat", wanted)
    server.start()
    # Before the feed starts, whose thread prints the log: two prints at once may share a line.
    print(f"viewer: {server.url} (Ctrl-C ends it)", flush=True)
    feed.start()
    if open_page:
        webbrowser.open(server.url)
    try:
        feed.wait()
    except KeyboardInterrupt:
        print()
    feed.stop()
    feed.check()
