"""Options that the commands for a source have in common, and the feed that they describe."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from common.arguments import Parser, to_file, whole
from common.console import program
from common.errors import UserError
from evalkit.host.serial import links
from evalkit.host.serial.links import KitLink, Link, SerialLink, has_own_camera
from evalkit.host.stream.feed import Feed, Listener, LiveFeed, Options
from evalkit.host.stream.pictures import open_camera
from evalkit.host.stream.recording import Recorder, read_recording
from evalkit.host.stream.replay import ReplayFeed
from evalkit.wire import protocol


def parser(name: str, what: str, required: bool = True) -> argparse.ArgumentParser:
    """A parser of a command's options that knows those of the sources, one of them required."""
    result = Parser(prog=program(f"python -m evalkit {name}"), description=what)
    source = result.add_mutually_exclusive_group(required=required)
    source.add_argument("--port", help="serial port of the board, e.g. /dev/ttyACM0 or COM3")
    source.add_argument("--kit", type=Path, metavar="ELF", help="run this on the virtual kit")
    source.add_argument("--replay", type=Path, metavar="FILE", help="play a recording")
    result.add_argument(
        "--baud", type=whole(), default=links.BAUD, help=f"rate of the port (default {links.BAUD})"
    )
    result.add_argument(
        "--camera",
        type=Path,
        metavar="PATH",
        help="photographs (folder or file) or video to send, or for the virtual kit's camera to "
        "look at; else the board's own camera is used",
    )
    result.add_argument(
        "--step",
        type=whole(0),
        default=2,
        metavar="N",
        help="of the board's own pictures ask for every Nth pixel each way (1 to 16, default 2; "
        "0: skeletons only); fewer pixels, more pictures a second",
    )
    result.add_argument("--network", default="", help="refuse firmware of any other network")
    result.add_argument("--record", type=to_file, metavar="FILE", help="record everything")
    return result


def feed(options: argparse.Namespace, listener: Listener, count: int | None) -> Feed:
    """The feed that the options describe.

    Args:
        options: of ``parser``.
        listener: who is told.
        count: end after so many pictures; None repeats for ever.

    Raises:
        UserError: camera, recording, firmware or options are unusable; nothing has been written.
    """
    follow = getattr(options, "follow", False)  # not every command can
    colour = getattr(options, "colour", False)
    if colour and not follow:
        raise UserError(
            "--colour goes with --follow; give both, or build make live FOLLOW=1 FOLLOW_COLOUR=1"
        )
    if options.replay is not None:
        if options.record or options.camera or follow:
            raise UserError(
                "--record, --camera and --follow make no sense with --replay; leave them out"
            )
        next(read_recording(options.replay), None)
        return ReplayFeed(listener, options.replay, repeat=count is None)
    if not 0 <= options.step <= protocol.SHOW_MOST_STEP:
        raise UserError(f"--step is {options.step}; choose 0 to {protocol.SHOW_MOST_STEP}")
    camera = open_camera(options.camera) if options.camera is not None else None
    open_link = _opener(options)
    if options.kit is not None and has_own_camera(options.kit):
        camera = None  # the firmware sees them through the sensor
    if follow and camera is None:
        raise UserError(
            "--follow follows people over pictures that are sent; give some with --camera to "
            "firmware without a camera of its own (make injection), or build make live FOLLOW=1"
        )
    recorder = Recorder(options.record) if options.record is not None else None
    once = getattr(options, "once", False)
    how = Options(camera, recorder, options.network, count, options.step, once, follow, colour)
    return LiveFeed(listener, open_link, how)


def _opener(options: argparse.Namespace) -> Callable[[], Link]:
    if options.kit is None:
        links.ports()  # says at once when pyserial is missing
        return lambda: SerialLink(options.port, options.baud)
    if options.camera is None:
        raise UserError("the virtual kit has no camera of its own; give it one with --camera")
    if not options.kit.is_file():
        raise UserError(f"{options.kit} does not exist; build it with: make injection")
    return lambda: KitLink(options.kit, options.camera)
