"""``python -m evalkit view``: watch a board, the virtual kit or a recording in the browser."""

from __future__ import annotations

import argparse
import webbrowser
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from evalkit.host import links
from evalkit.host.coco import write
from evalkit.host.feed import Feed, Listener, LiveFeed, Options, ReplayFeed
from evalkit.host.links import KitLink, Link, SerialLink
from evalkit.host.pictures import open_camera
from evalkit.host.recording import Recorder, read_recording
from evalkit.host.server import Board, Server
from evalkit.host.shots import Shot
from synthesize.chip.errors import UserError

DEFAULT_HTTP = 8078


def _parser(name: str, what: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m evalkit {name}", description=what)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--port", help="serial port of the board, e.g. /dev/ttyACM0 or COM3")
    source.add_argument("--kit", type=Path, metavar="ELF", help="run this on the virtual kit")
    source.add_argument("--replay", type=Path, metavar="FILE", help="play a recording")
    parser.add_argument(
        "--baud", type=int, default=links.BAUD, help=f"rate of the port (default {links.BAUD})"
    )
    parser.add_argument(
        "--camera",
        type=Path,
        metavar="PATH",
        help="photographs (folder or file) or video to send; else the board's own camera is used",
    )
    parser.add_argument("--network", default="", help="refuse firmware of any other network")
    parser.add_argument("--record", type=Path, metavar="FILE", help="record everything")
    return parser


def _opener(options: argparse.Namespace) -> Callable[[], Link]:
    if options.kit is not None:
        if options.camera is None:
            raise UserError("the virtual kit has no camera of its own; give it one with --camera")
        if not options.kit.is_file():
            raise UserError(f"{options.kit} does not exist; build it with: make injection")
        return lambda: KitLink(options.kit)
    links.ports()  # says at once when pyserial is missing
    return lambda: SerialLink(options.port, options.baud)


def _feed(
    options: argparse.Namespace, listener: Listener, recorder: Recorder | None, count: int | None
) -> Feed:
    if options.replay is not None:
        return ReplayFeed(listener, options.replay, repeat=count is None)
    camera = open_camera(options.camera) if options.camera is not None else None
    settings = Options(camera, recorder, options.network, count)
    return LiveFeed(listener, _opener(options), settings)


def _check(options: argparse.Namespace) -> None:
    if options.replay is not None:
        if options.record or options.camera:
            raise UserError("--record and --camera make no sense with --replay; leave them out")
        next(read_recording(options.replay), None)


def main(given: list[str]) -> int:
    """Command line: serve the page until interrupted.

    Raises:
        UserError: camera, recording or firmware are unusable, or the HTTP port is in use.
    """
    parser = _parser("view", __doc__ or "")
    parser.add_argument(
        "--http", type=int, default=DEFAULT_HTTP, metavar="PORT", help="serve the page here"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the page")
    options = parser.parse_args(given)
    _check(options)
    board = Board(echo=lambda text: print(text, flush=True))
    if options.replay is None:
        # Before the recording is opened for writing: a wrong camera must not empty it.
        _feed(options, board, None, None)
    recorder = Recorder(options.record) if options.record else None
    feed = _feed(options, board, recorder, None)
    server = Server(board, lambda wanted: setattr(feed, "want_heat", wanted), options.http)
    server.start()
    feed.start()
    print(f"viewer: {server.url} (Ctrl-C ends it)", flush=True)
    if not options.no_browser:
        webbrowser.open(server.url)
    try:
        feed.wait()
    except KeyboardInterrupt:
        print()
    feed.stop()
    server.stop()
    if recorder:
        recorder.close()
    if feed.failed:
        raise UserError(feed.failed)
    return 0


class _Collector:
    """A listener that prints, and keeps the shots."""

    def __init__(self) -> None:
        self.shots: list[Shot] = []

    def status(self, state: str, text: str) -> None:
        """Not shown."""

    def hello(self, hello: object, source: str) -> None:
        """Not shown."""

    def shot(self, shot: Shot) -> None:
        """Keep it, without the picture."""
        self.shots.append(shot)
        poses = shot.poses
        micros = poses.input_us + poses.inference_us + poses.decode_us
        print(
            f"{shot.name}: {len(poses.people)} people, {micros / 1000:.2f} ms on the board",
            flush=True,
        )

    def log(self, text: str) -> None:
        """Print it."""
        print(text, flush=True)


def export_main(given: list[str]) -> int:
    """Command line of ``python -m evalkit export``: keypoints of all pictures as COCO JSON.

    Raises:
        UserError: as ``main``; or no answer.
    """
    parser = _parser("export", "Keypoints of a camera's pictures, or of a recording, as COCO JSON.")
    parser.add_argument("-o", "--output", type=Path, required=True, help="COCO JSON file to write")
    parser.add_argument("--count", type=int, help="end after so many pictures (default: all)")
    options = parser.parse_args(given)
    _check(options)
    if options.count is not None and options.count < 1:
        raise UserError(f"--count is {options.count}; at least one picture is needed")
    collector = _Collector()
    count = options.count if options.count is not None else 1 << 31
    if options.replay is None:
        _feed(options, collector, None, count)
    recorder = Recorder(options.record) if options.record else None
    feed = _feed(options, collector, recorder, count)
    feed.start()
    feed.wait()
    if recorder:
        with closing(recorder):
            pass
    if feed.failed:
        raise UserError(feed.failed)
    people = write(collector.shots[: options.count], options.output)
    print(f"{options.output}: {people} people in {len(collector.shots)} pictures")
    return 0
