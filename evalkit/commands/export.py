"""``python -m evalkit export``: keypoints of a camera's pictures, or a recording, as COCO JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from common.arguments import to_file, whole
from common.console import note, progress, say
from common.errors import UserError
from common.files import check_writable
from common.pictures import SUFFIXES
from common.texts import console, counted, people
from evalkit.host import coco
from evalkit.host.stream import sources
from evalkit.host.stream.shots import Shot
from evalkit.wire import protocol


class Collector:
    """A listener that prints what happens; ``moved`` is called for every picture.

    Attributes:
        shots: everything that came.
    """

    def __init__(self, moved: Callable[[], object] = lambda: None) -> None:
        self.shots: list[Shot] = []
        self._moved = moved

    def status(self, state: str, text: str) -> None:
        """Not shown."""

    def hello(self, hello: protocol.Hello, source: str) -> None:
        """Say who answers."""
        say(f"{source}: network {hello.network}, checksum {hello.checksum:08x}")

    def shot(self, shot: Shot) -> None:
        """Keep it."""
        self.shots.append(shot)
        self._moved()
        poses = shot.poses
        micros = poses.input_us + poses.inference_us + poses.decode_us
        who = people(len(poses.people))
        say(f"{shot.name}: {who}, {micros / 1000:.2f} ms on the board")

    def log(self, text: str) -> None:
        """Print it."""
        note(console(text), sys.stdout)


def _pictures_in(camera: Path | None) -> int | None:
    """How many pictures a camera shows, where that is known before."""
    if camera is None or not camera.is_dir():
        return None
    return sum(file.suffix.lower() in SUFFIXES for file in camera.iterdir())


def main(given: list[str]) -> int:
    """Command line.

    Raises:
        UserError: the source is unusable or went away; or the file cannot be written.
    """
    parser = sources.parser("export", __doc__ or "")
    parser.add_argument(
        "-o", "--output", type=to_file, required=True, help="COCO JSON file to write"
    )
    parser.add_argument("--count", type=whole(), help="end after so many pictures (default: all)")
    options = parser.parse_args(given)
    if options.count is not None and options.count < 1:
        raise UserError(f"--count is {options.count}; at least one picture is needed")
    check_writable(options.output)
    total = options.count or _pictures_in(options.camera)
    with progress(title="pictures", total=total, unit="picture") as bar:
        collector = Collector(bar.update)
        feed = sources.feed(options, collector, options.count or 1 << 31)
        feed.run()
    feed.check()
    shots = collector.shots[: options.count]
    found = coco.write(shots, options.output)
    say(f"{options.output}: {people(found)} in {counted(len(shots), 'picture')}")
    return 0
