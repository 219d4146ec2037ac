"""``python -m evalkit export``: keypoints of a camera's pictures, or a recording, as COCO JSON."""

from __future__ import annotations

from pathlib import Path

from common.console import say
from common.errors import UserError
from common.files import check_writable
from common.texts import console, counted, people
from evalkit.host import coco
from evalkit.host.stream import sources
from evalkit.host.stream.shots import Shot
from evalkit.wire import protocol


class Collector:
    """A listener that prints what happens.

    Attributes:
        shots: everything that came.
    """

    def __init__(self) -> None:
        self.shots: list[Shot] = []

    def status(self, state: str, text: str) -> None:
        """Not shown."""

    def hello(self, hello: protocol.Hello, source: str) -> None:
        """Say who answers."""
        say(f"{source}: network {hello.network}, checksum {hello.checksum:08x}")

    def shot(self, shot: Shot) -> None:
        """Keep it."""
        self.shots.append(shot)
        poses = shot.poses
        micros = poses.input_us + poses.inference_us + poses.decode_us
        who = people(len(poses.people))
        say(f"{shot.name}: {who}, {micros / 1000:.2f} ms on the board")

    def log(self, text: str) -> None:
        """Print it."""
        print(console(text), flush=True)


def main(given: list[str]) -> int:
    """Command line.

    Raises:
        UserError: the source is unusable or went away; or the file cannot be written.
    """
    parser = sources.parser("export", __doc__ or "")
    parser.add_argument("-o", "--output", type=Path, required=True, help="COCO JSON file to write")
    parser.add_argument("--count", type=int, help="end after so many pictures (default: all)")
    options = parser.parse_args(given)
    if options.count is not None and options.count < 1:
        raise UserError(f"--count is {options.count}; at least one picture is needed")
    check_writable(options.output)
    collector = Collector()
    feed = sources.feed(options, collector, options.count or 1 << 31)
    feed.start()
    feed.wait()
    feed.check()
    shots = collector.shots[: options.count]
    found = coco.write(shots, options.output)
    say(f"{options.output}: {people(found)} in {counted(len(shots), 'picture')}")
    return 0
