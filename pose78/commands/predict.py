"""``pose78 predict SOURCE...``: people in pictures, folders, globs, videos and webcams."""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError

if TYPE_CHECKING:
    from pose78.estimator import Model
    from pose78.eyes import Eyes
    from pose78.looking import Page, Seen

HTTP = 8078


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    result = argparse.ArgumentParser(
        prog="pose78 predict",
        description="Find people, by an integer student whose answers are those of the chip. What "
        "cannot be read is named and left out. Exit status 2: nothing could be looked at.",
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
    result.add_argument("--threshold", type=float, metavar="SCORE",
                        help="least score of a person (the network's own)")  # fmt: skip
    result.add_argument("--threads", type=int, metavar="N", help="threads (one per processor)")
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
    group.add_argument("--baud", type=int, default=115200, metavar="RATE",
                       help="rate of the port (%(default)s)")  # fmt: skip


def _add_outputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--save", type=Path, metavar="DIR",
                       help="write annotated pictures and videos there")  # fmt: skip
    group.add_argument("--json", type=Path, metavar="FILE", help="write COCO keypoint results")
    group.add_argument("--csv", type=Path, metavar="FILE", help="write a line for every point")
    group.add_argument("--show", action="store_true", help="show it on a page in the browser")
    group.add_argument("--http", type=int, default=HTTP, metavar="PORT",
                       help="port of that page (%(default)s)")  # fmt: skip
    group.add_argument("--no-browser", action="store_true", help="do not open the page")


def main(arguments: list[str]) -> int:
    """Command line; 2 when nothing at all could be looked at.

    Raises:
        UserError: a source does not exist, a setting is out of range, the firmware or the board
            does not serve, or a result cannot be written.
    """
    options = parser().parse_args(arguments)
    if options.threads is not None and not 1 <= options.threads <= 256:
        raise UserError(f"--threads is {options.threads}; 1 to 256 are possible")
    # The work is spread over pictures; matrix products that spread as well would only wait.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from pose78 import estimator, looking, results, sources

    files = sources.files_of(options.sources)
    outputs = [out for out in (options.json, options.csv) if out is not None]
    for out in outputs:
        _writable(out)
    _distinct(outputs, files)
    model = estimator.load(options.model)
    with contextlib.ExitStack() as stack:
        eyes = stack.enter_context(_eyes(options, model))
        page = stack.enter_context(looking.shown(options.http, not options.no_browser)) \
            if options.show else None  # fmt: skip
        album = None if options.save is None else stack.enter_context(results.Album(options.save))
        started = time.monotonic()
        seen, broken = looking.look(eyes, files, album, page, model.size, options.threads)
        seconds = time.monotonic() - started
        if album is not None:
            album.close()
        _write(options, seen)
        print(looking.summary(seen, broken, seconds, eyes.told()))
        if page is not None:
            _wait(page)
    return 0 if seen else 2


@contextlib.contextmanager
def _eyes(options: argparse.Namespace, model: Model) -> Iterator[Eyes]:
    """Who looks, as the options say."""
    from pose78 import eyes

    if options.port is not None:
        yield eyes.on_board(options.port, options.baud, options.threshold, _say)
    elif options.firmware is not None:
        yield eyes.on_kit(model, options.firmware, options.threshold, _say)
    elif options.kit:
        from pose78.building import compile_project

        eyes.at_least(model, options.threshold)
        with tempfile.TemporaryDirectory(prefix="pose78-") as folder:
            elf = compile_project(options.model, Path(folder) / "project", "frame-injection")
            yield eyes.on_kit(model, elf, options.threshold, _say)
    else:
        yield eyes.Student(model, options.threshold)


def _say(text: str) -> None:
    """What a board says; it is no result."""
    from common.console import note

    note(text)


def _write(options: argparse.Namespace, seen: list[Seen]) -> None:
    from common.files import write_file
    from pose78 import results

    if options.json is not None:
        write_file(options.json, results.coco_text(seen))
    if options.csv is not None:
        write_file(options.csv, results.csv_text(seen))


def _wait(page: Page) -> None:
    """Until somebody has seen enough."""
    page.ended()
    print("Ctrl-C closes the page", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)


def _distinct(outputs: list[Path], files: list[Path]) -> None:
    """Refuse two results in one file, and a result in place of what is looked at."""
    if len({out.resolve() for out in outputs}) < len(outputs):
        raise UserError(f"--json and --csv both name {outputs[0]}; give each a file of its own")
    looked = {file.resolve() for file in files}
    for out in outputs:
        if out.resolve() in looked:
            raise UserError(f"{out} is looked at, it would be lost; write the result elsewhere")


def _writable(path: Path | None) -> None:
    """Refuse a file that cannot be written before the work rather than after it."""
    if path is None:
        return
    if not path.name:
        raise UserError("the name of a result is empty; name a file")
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write {path}: the folder {path.parent} takes no files")
