"""``pose78 predict SOURCE...``: people in pictures, folders, globs and videos."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError

if TYPE_CHECKING:
    from pose78.estimator import Model, Person
    from pose78.results import Album, Pixels, Seen
    from pose78.sources import View


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pose78 predict",
        description="Find people, by an integer student whose answers are those of the chip. What "
        "cannot be read is named and left out.",
    )
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="picture, folder, glob in quotes, or video"
    )
    parser.add_argument(
        "--model", default="native", metavar="NAME", help="student or its integer checkpoint "
        "(%(default)s)",
    )  # fmt: skip
    parser.add_argument("--threshold", type=float, metavar="SCORE",
                        help="least score of a person (the network's own)")  # fmt: skip
    parser.add_argument("--save", type=Path, metavar="DIR", help="write annotated pictures there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write COCO keypoint results")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line for every point")
    parser.add_argument("--threads", type=int, metavar="N", help="threads (one per processor)")
    return parser


def main(arguments: list[str]) -> int:
    """Command line; 2 when nothing at all could be looked at.

    Raises:
        UserError: a source does not exist, a setting is out of range, or a result cannot be
            written.
    """
    options = _parser().parse_args(arguments)
    if options.threads is not None and not 1 <= options.threads <= 256:
        raise UserError(f"--threads is {options.threads}; 1 to 256 are possible")
    # The work is spread over pictures; matrix products that spread as well would only wait.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from pose78 import estimator, results, sources

    files = sources.files_of(options.sources)
    for out in (options.json, options.csv):
        _writable(out)
    model = estimator.load(options.model)
    model.settings_for(options.threshold)
    album = None if options.save is None else results.Album(options.save)
    started = time.monotonic()
    seen, broken = _look(model, files, album, options)
    if options.json is not None:
        _write(options.json, results.coco_text(seen))
    if options.csv is not None:
        _write(options.csv, results.csv_text(seen))
    print(_summary(seen, broken, time.monotonic() - started))
    return 0 if seen else 2


def _look(
    model: Model, files: list[Path], album: Album | None, options: argparse.Namespace
) -> tuple[list[Seen], int]:
    """Everybody who was seen, and how many files could not be read."""
    from common.console import progress
    from pose78.parallel import in_order
    from pose78.sources import views_of

    def views() -> Iterator[View]:
        for file in files:
            yield from views_of(file)

    def look(view: View) -> tuple[View, Pixels | None, list[Person] | str]:
        try:
            pixels = view.read()
        except UserError as error:
            return view, None, str(error)
        return view, pixels, model.predict(pixels, options.threshold)

    seen: list[Seen] = []
    broken = 0
    total = len(files) if not any(file.suffix.lower() in _videos() for file in files) else None
    with progress(title="looking", total=total, unit=" pictures") as bar:
        for view, pixels, found in in_order(look, views(), options.threads):
            if pixels is None or isinstance(found, str):
                broken += 1
                bar.write(f"left out: {found}", file=sys.stderr)
            else:
                seen.append((view, found))
                bar.write(f"{view.name}: {_people(found)}", file=sys.stdout)
                if album is not None:
                    album.add(view, pixels, found)
            bar.update()
    if album is not None:
        album.close()
    return seen, broken


def _videos() -> tuple[str, ...]:
    from pose78.sources import VIDEOS

    return VIDEOS


def _people(people: list[Person]) -> str:
    if not people:
        return "nobody"
    count = "1 person" if len(people) == 1 else f"{len(people)} people"
    return f"{count} ({', '.join(f'{person.score:.2f}' for person in people)})"


def _summary(seen: list[Seen], broken: int, seconds: float) -> str:
    """What was seen, in a line."""
    people = sum(len(found) for _, found in seen)
    pictures = "1 picture" if len(seen) == 1 else f"{len(seen)} pictures"
    who = "1 person" if people == 1 else f"{people} people"
    rate = f", {len(seen) / seconds:.1f} a second" if seen and seconds > 0 else ""
    left = f"; {broken} left out" if broken else ""
    return f"{who} in {pictures}{rate}{left}"


def _writable(path: Path | None) -> None:
    """Refuse a file that cannot be written before the work rather than after it."""
    if path is None:
        return
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write {path}: the folder {path.parent} takes no files")


def _write(path: Path, text: str) -> None:
    from common.files import write_file

    write_file(path, text)
