"""``python -m evalkit run FIRMWARE.elf``: run a firmware image on the virtual board."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from ai8x_models.maps import write_maps
from common.arguments import Parser, real, whole
from common.console import program, progress
from common.errors import UserError
from common.files import check_writable, write_file
from common.texts import console
from evalkit.dump import LayerDump
from evalkit.gdb import GdbServer
from evalkit.hardware.around.ov7692 import FITS, Source
from evalkit.hardware.scheduler import SECOND
from evalkit.kit import COLOUR_BARS, DEFAULT_SECONDS, DEFAULT_WALL_SECONDS, Kit
from evalkit.timeline import watch_decoding, write_timeline
from evalkit.wire import protocol

MAX_SECONDS = 1e9
"""Of modelled and of wall time: thirty years."""

CAMERA_PATIENCE = 0.5
"""When the pictures are over, a run ends after the firmware has waited so long for another one
(seconds of modelled time), so that it can finish with the last one."""


_RESETS_TOLD = 20


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = Parser(prog=program("python -m evalkit run"), description=__doc__)
    parser.add_argument("firmware", help="ELF executable for the MAX78000")
    parser.add_argument("--uart", metavar="FILE", help="console text goes here; - is the screen")
    parser.add_argument("--uart-raw", metavar="FILE", help="all console bytes, frames included")
    parser.add_argument("--send", metavar="FILE", help="bytes to send to the console")
    parser.add_argument("--maps", metavar="FILE.npz", help="result maps from the map frames")
    parser.add_argument("--timeline", metavar="FILE.html", help="page that shows where time went")
    parser.add_argument("--display", metavar="FILE.png", help="what the display shows at the end")
    parser.add_argument(
        "--dump-layers", metavar="DIR", help="inputs and outputs of each layer as .npy"
    )
    parser.add_argument(
        "--gdb",
        metavar="PORT",
        type=whole(0),
        help="wait for a debugger on this TCP port first",
    )
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument(
        "--camera",
        metavar="PATH",
        help="what the camera sees: photographs (folder or file) or a video, each picture once",
    )
    camera.add_argument("--no-camera", action="store_true", help="no camera is plugged in")
    parser.add_argument(
        "--frames",
        metavar="N",
        type=whole(),
        help="send N frames, beginning again if need be",
    )
    parser.add_argument(
        "--camera-fit",
        choices=FITS,
        default=FITS[0],
        help="cut pictures to the frame's shape, or put them on grey at the top left",
    )
    parser.add_argument(
        "--until", metavar="TEXT", help="stop when the console has sent TEXT (else: when asleep)"
    )
    parser.add_argument(
        "--no-restart",
        action="store_true",
        help="a reset by watchdog or software ends the run (else: starts the firmware again)",
    )
    parser.add_argument(
        "--max-seconds", type=real(), default=DEFAULT_SECONDS, help="limit on modelled time"
    )
    parser.add_argument(
        "--max-wall", type=real(), default=DEFAULT_WALL_SECONDS, help="limit on wall time"
    )
    return parser.parse_args(given)


def main(given: list[str]) -> int:
    """Command line.

    Returns:
        0 when the firmware finished and did not report a failure, 1 when it reported one.

    Raises:
        UserError: unusable image, limit reached, or the firmware did something wrong.
    """
    arguments = _arguments(given)
    for name, value in (("seconds", arguments.max_seconds), ("wall", arguments.max_wall)):
        if not 0 < value <= MAX_SECONDS:
            raise UserError(
                f"--max-{name} is {value:g}; seconds above 0, up to {MAX_SECONDS:g}, are possible"
            )
    _check_outputs(arguments)
    kit = Kit(arguments.firmware, camera=_camera(arguments))
    kit.machine.restarts = not arguments.no_restart
    kit.machine.on_reset = _TellResets()
    if arguments.timeline:
        watch_decoding(kit.machine)
    if arguments.dump_layers:
        kit.machine.accelerator.cnn.observer = LayerDump(Path(arguments.dump_layers))
    if arguments.send:
        try:
            kit.uart_write(Path(arguments.send).read_bytes())
        except OSError as error:
            raise UserError(f"{arguments.send}: cannot be read: {error.strerror}") from error
    if arguments.gdb is not None:
        server = GdbServer(kit, arguments.gdb)
        print(f"waiting for a debugger: target remote :{server.port}", file=sys.stderr)
        server.serve()
    try:
        with progress(title="modelled time", unit="ms") as bar:
            kit.on_time = lambda seconds: bar.update(int(1000 * seconds) - bar.n)
            reached = _run(kit, arguments)
    finally:
        _write_outputs(kit, arguments)
    if not reached:
        raise UserError(f"the firmware went to sleep without sending {arguments.until!r}")
    return _status(kit)


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be written before the run rather than after it."""
    named = (arguments.uart, arguments.uart_raw, arguments.maps, arguments.timeline)
    for name in (*named, arguments.display):
        if name is not None and name != "-":
            check_writable(Path(name))
    if arguments.dump_layers is not None:
        check_writable(Path(arguments.dump_layers), folder=True)


class _TellResets:
    """Prints resets as they come, the first few."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, time: int, cause: str) -> None:
        self.count += 1
        if self.count <= _RESETS_TOLD:
            print(f"{cause} reset at {time / SECOND:.6f} s", file=sys.stderr, flush=True)
        elif self.count == _RESETS_TOLD + 1:
            print("more resets, which are not told one by one", file=sys.stderr, flush=True)


def _camera(arguments: argparse.Namespace) -> Source | None:
    if arguments.frames is not None and not arguments.camera:
        raise UserError("--frames goes with --camera; name photographs or a video")
    if arguments.no_camera:
        return None
    if not arguments.camera:
        return COLOUR_BARS
    from evalkit.camera import Camera  # needs OpenCV, which is slow to load

    frames, how = arguments.frames, arguments.camera_fit
    return Camera(arguments.camera, frames, repeat=frames is not None, fit=how)


def _run(kit: Kit, arguments: argparse.Namespace) -> bool:
    """Until the text has been sent, the firmware sleeps for good, or waits for a further frame."""
    limits = arguments.max_seconds, arguments.max_wall
    if arguments.until or not arguments.camera:
        return kit.run_until(arguments.until, *limits)
    kit.run_until(lambda: kit.camera_wait >= CAMERA_PATIENCE, *limits)
    return True


def _write_outputs(kit: Kit, arguments: argparse.Namespace) -> None:
    """Everything that was asked for; what cannot be written keeps nothing else from it."""
    if arguments.uart == "-":
        text = kit.uart_text().replace("\r\n", "\n")
        sys.stdout.write(console(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()
    maps = any(frame.type == protocol.MAP for frame in kit.frames)
    sent = kit.machine.uarts[0].sent
    writers: list[tuple[str | None, Callable[[Path], object]]] = [
        (
            arguments.uart if arguments.uart != "-" else None,
            lambda p: write_file(p, kit.uart_text()),
        ),
        (arguments.uart_raw, lambda p: write_file(p, bytes(sent))),
        (arguments.timeline, lambda p: write_timeline(kit.machine, p)),
        (arguments.display, lambda p: kit.board.display.save(p)),
        (arguments.maps if maps else None, lambda p: write_maps(p, kit.maps())),
    ]
    failed: UserError | None = None
    for name, write in writers:
        try:
            if name:
                write(Path(name))
        except UserError as error:
            failed = failed or error
    if failed:
        raise failed


def _status(kit: Kit) -> int:
    """1 when an end frame reports a failure."""
    ends = [protocol.parse_end(f.payload) for f in kit.frames if f.type == protocol.END]
    return int(any(end.status != 0 for end in ends))
