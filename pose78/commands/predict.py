"""``pose78 predict SOURCE...``: people in pictures, folders, globs, videos and webcams."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from common.arguments import Parser, real, whole
from common.errors import UserError
from common.threads import one_per_product

if TYPE_CHECKING:
    from pose78.estimator import Model
    from pose78.eyes import Eyes
    from pose78.results import Album, Seen
    from pose78.watching import Page

HTTP = 8078
BAUD = 115200
STANDARD = Path("-")
"""Standard output as the name of a result."""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    result = Parser(
        prog="pose78 predict",
        description="Find people, by an integer student whose answers are those of the chip. What "
        "cannot be read is named and left out. Exit status 1: something was left out or not "
        "drawn, 2: nothing could be looked at.",
    )
    result.add_argument(
        "sources", nargs="+", metavar="SOURCE",
        help="picture, folder, glob in quotes, video, or webcam (webcam:1 is the second; Ctrl-C "
        "ends it)",
    )  # fmt: skip
    result.add_argument(
        "--model", default="native", metavar="NAME", help="student or its integer checkpoint "
        "(%(default)s)",
    )  # fmt: skip
    result.add_argument("--threshold", type=real(0, 32), metavar="SCORE",
                        help="least score of a person (the network's own)")  # fmt: skip
    result.add_argument("--threads", type=whole(), metavar="N", help="threads (one per processor)")
    _add_eyes(result.add_argument_group("who looks"))
    _add_outputs(result.add_argument_group("what comes out"))
    return result


def _add_eyes(group: argparse._ArgumentGroup) -> None:
    one = group.add_mutually_exclusive_group()
    one.add_argument("--kit", action="store_true", help="the student's firmware on the virtual "
                     "kit; every answer is proven equal to the student's")  # fmt: skip
    one.add_argument("--firmware", type=Path, metavar="ELF",
                     help="as --kit, with frame-injection firmware that you built")  # fmt: skip
    one.add_argument("--port", metavar="PORT", help="a board with the frame-injection firmware, "
                     "e.g. /dev/ttyACM0 or COM3")  # fmt: skip
    group.add_argument("--baud", type=whole(), metavar="RATE",
                       help=f"rate of the port ({BAUD})")  # fmt: skip


def _add_outputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--save", type=Path, metavar="DIR",
                       help="write annotated pictures and videos there")  # fmt: skip
    group.add_argument("--json", type=Path, metavar="FILE",
                       help="write COCO keypoint results (-: to standard output)")  # fmt: skip
    group.add_argument("--csv", type=Path, metavar="FILE",
                       help="write a line for every point (-: to standard output)")  # fmt: skip
    group.add_argument("--show", action="store_true", help="show it on a page in the browser")
    group.add_argument("--http", type=whole(0), metavar="PORT",
                       help=f"port of that page ({HTTP})")  # fmt: skip
    group.add_argument("--no-browser", action="store_true", help="do not open the page")


def main(arguments: list[str]) -> int:
    """Command line; 1 when something was left out or not drawn, 2 when nothing was looked at.

    Raises:
        UserError: no source exists, a setting is out of range, the firmware or the board does not
            serve, or a result cannot be written.
    """
    options = parser().parse_args(arguments)
    if options.threads is not None and not 1 <= options.threads <= 256:
        raise UserError(f"--threads is {options.threads}; 1 to 256 are possible")
    _refuse_idle(options)
    # The work is spread over pictures; matrix products that spread as well would only wait.
    one_per_product()
    from pose78 import estimator, looking, results, sources

    found = sources.find(options.sources)
    _check_outputs(options, found.files)
    # Results on standard output are alone there.
    told = sys.stderr if STANDARD in (options.json, options.csv) else sys.stdout
    model = estimator.load(options.model)
    model.settings_for(options.threshold)
    with contextlib.ExitStack() as stack:
        eyes = stack.enter_context(_eyes(options, model))
        page = stack.enter_context(_page(options, told)) if options.show else None
        album = None if options.save is None else stack.enter_context(results.Album(options.save))
        for sentence in found.missing:
            _say(f"left out: {sentence}")
        started = time.monotonic()
        seen, broken = looking.look(
            eyes, found.files, album, page, model.size, options.threads, told
        )
        seconds = time.monotonic() - started
        undrawn = [] if album is None else _finish(album)
        _write(options, seen)
        left_out = broken + len(found.missing)
        print(looking.summary(seen, left_out, seconds, eyes.told(), found), file=told)
        if page is not None:
            _wait(page)
    return 2 if not seen else 1 if left_out or undrawn else 0


def _finish(album: Album) -> list[str]:
    """Finish the last drawing; what could not be drawn."""
    before = len(album.undrawn)
    album.close()
    for sentence in album.undrawn[before:]:
        _say(sentence)
    return album.undrawn


def _refuse_idle(options: argparse.Namespace) -> None:
    """Refuse options that would change nothing.

    Raises:
        UserError: as said.
    """
    for given, needs, missing in (
        ("--http", "--show", options.http is not None and not options.show),
        ("--no-browser", "--show", options.no_browser and not options.show),
        ("--baud", "--port", options.baud is not None and options.port is None),
    ):
        if missing:
            raise UserError(f"{given} goes with {needs}; leave it out, or add that")
    if options.threads is not None and _by_firmware(options):
        raise UserError("the firmware looks at one picture at a time; leave --threads out")


def _by_firmware(options: argparse.Namespace) -> bool:
    """Whether firmware looks, rather than the integer student here."""
    return options.kit or options.firmware is not None or options.port is not None


@contextlib.contextmanager
def _eyes(options: argparse.Namespace, model: Model) -> Iterator[Eyes]:
    """Who looks, as the options say."""
    if not _by_firmware(options):
        from pose78.eyes import Student

        yield Student(model, options.threshold)
        return
    from pose78 import boards

    if options.port is not None:
        yield boards.on_board(options.port, options.baud or BAUD, options.threshold, _say)
    elif options.firmware is not None:
        yield boards.on_kit(model, options.firmware, options.threshold, _say)
    else:
        from common.console import stages
        from pose78.building import compile_project
        from synthesize.write.elf import build

        boards.at_least(model, options.threshold)
        with tempfile.TemporaryDirectory(prefix="pose78-") as folder:
            project = Path(folder) / "project"
            with stages("virtual kit", 3) as begin:
                begin("compiling")
                compile_project(options.model, project, "frame-injection", build=False)
                begin("building the firmware")
                elf = build(project)
                begin("starting")
                seeing = boards.on_kit(model, elf, options.threshold, _say)
            yield seeing


def _page(options: argparse.Namespace, told: TextIO) -> contextlib.AbstractContextManager[Page]:
    """The viewer's page."""
    from pose78 import watching

    port = HTTP if options.http is None else options.http
    return watching.served(port, not options.no_browser, told)


def _say(text: str) -> None:
    """What a board says; it is no result."""
    from common.console import note
    from common.texts import one_line

    note(one_line(text))


def _write(options: argparse.Namespace, seen: list[Seen]) -> None:
    from common.files import write_file
    from pose78 import results

    for out, text_of in ((options.json, results.coco_text), (options.csv, results.csv_text)):
        if out == STANDARD:
            sys.stdout.write(text_of(seen))
        elif out is not None:
            write_file(out, text_of(seen))


def _wait(page: Page) -> None:
    """Until somebody has seen enough."""
    page.ended()
    _say("Ctrl-C closes the page")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)


def _check_outputs(options: argparse.Namespace, files: list[Path]) -> None:
    """Refuse what cannot be written before the work rather than after it.

    So are two results in one place, a result in place of what is looked at, and a drawing in place
    of what is no drawing.
    """
    from common.files import check_writable
    from pose78.drawings import is_foreign
    from pose78.results import drawn_names

    outputs = {name: out for name, out in (("--json", options.json), ("--csv", options.csv)) if out}
    folder: Path | None = options.save
    drawn = {} if folder is None else drawn_names(files)
    _refuse_shared(outputs, folder, drawn)
    looked = set(map(_real, files))
    for out in outputs.values():
        if _real(out) in looked:
            raise UserError(f"{out} is looked at, it would be lost; write the result elsewhere")
        if out != STANDARD:
            check_writable(out)
    if folder is None:
        return
    check_writable(folder, folder=True)
    for name, file in drawn.items():
        if _real(folder / name) in looked or is_foreign(folder / name):
            raise UserError(
                f"--save names {folder}, where {name} is, which would be lost to the drawing of "
                f"{file}; name another folder"
            )


def _real(path: Path) -> Path:
    """Where a path leads, whatever links do."""
    return Path(os.path.realpath(path))


def _refuse_shared(outputs: dict[str, Path], folder: Path | None, drawn: Iterable[str]) -> None:
    """Refuse two results in one place.

    Raises:
        UserError: as said.
    """
    places: dict[Path, str] = {}
    for option, out in outputs.items():
        place = _real(out)
        if place in places:
            raise UserError(
                f"{places[place]} and {option} both name {out}; give each a file of its own"
            )
        places[place] = option
    if folder is None:
        return
    within = _real(folder)
    for place, option in places.items():
        if place == within or place in within.parents:
            raise UserError(
                f"{option} names {outputs[option]}, which is the folder that --save needs; give "
                "each a place of its own"
            )
        if place.parent == within and place.name in drawn:
            raise UserError(
                f"{option} names {outputs[option]}, where --save writes a drawing; give it another "
                "name"
            )
