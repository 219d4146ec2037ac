"""Through all sources, picture by picture: looked at, drawn, shown, told."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from common.console import progress
from common.errors import UserError
from common.pictures import pictures_in
from common.texts import counted, one_line
from pose78.estimator import Person
from pose78.eyes import Eyes
from pose78.parallel import in_order
from pose78.results import Album, Pixels, Seen
from pose78.sources import Found as Sources
from pose78.sources import View, frames_in, is_video, is_webcam, views_of

if TYPE_CHECKING:
    from pose78.watching import Page

Found = tuple[View, Pixels | None, list[Person] | str]
_KINDS = 4
"""Kinds of other files that a line names."""


def look(
    eyes: Eyes,
    files: Sequence[Path],
    album: Album | None = None,
    page: Page | None = None,
    size: int = 128,
    threads: int | None = None,
    told: TextIO | None = None,
) -> tuple[list[Seen], int]:
    """Look at all files; what is found goes to the terminal, the album and the page.

    Args:
        eyes: who looks.
        files: pictures, videos, or one webcam, which Ctrl-C ends.
        album: takes annotated pictures.
        page: shows them.
        size: side of the network's input in pixels.
        threads: pictures at a time, where the eyes can do several; default: one per processor.
        told: where people are told of; default: standard output.

    Returns:
        Everybody who was seen, and how many files could not be read.

    Raises:
        UserError: the eyes cannot go on.
    """
    seen: list[Seen] = []
    broken = told_of = 0
    counts = [frames_in(file) for file in files]
    total = sum(c for c in counts if c) if all(counts) else None
    with progress(title="looking", total=total, unit=" pictures") as bar:
        try:
            for view, pixels, found in in_order(
                lambda view: _look_at(eyes, view), _views(files), eyes.threads or threads
            ):
                bar.update()
                if pixels is None or isinstance(found, str):
                    broken += 1
                    bar.write(one_line(f"left out: {found}"), file=sys.stderr)
                    continue
                seen.append((view.bare(), found))
                bar.write(
                    one_line(f"{view.name}: {_people(found)}{_of_more(view)}"),
                    file=told or sys.stdout,
                )
                if album is not None:
                    album.add(view, pixels, found)
                    for sentence in album.undrawn[told_of:]:
                        bar.write(one_line(sentence), file=sys.stderr)
                    told_of = len(album.undrawn)
                if page is not None:
                    page.add(view, pixels, found, size)
        except KeyboardInterrupt:
            if not any(map(is_webcam, files)):
                raise
    return seen, broken


def _views(files: Sequence[Path]) -> Iterator[View]:
    for file in files:
        yield from views_of(file)


def _look_at(eyes: Eyes, view: View) -> Found:
    """What is in a view, or why it cannot be read."""
    try:
        pixels = view.read()
    except UserError as error:
        return view, None, str(error)
    return view, pixels, eyes.see(pixels)


def _of_more(view: View) -> str:
    """That a file holds more pictures than the one that is looked at."""
    count = 1 if is_video(view.file) else pictures_in(view.file)
    return f"; 1 of {count} frames looked at" if count > 1 else ""


def _people(people: Sequence[Person]) -> str:
    if not people:
        return "nobody"
    scores = ", ".join(f"{person.score:.2f}" for person in people)
    return f"{counted(len(people), 'person', 'people')} ({scores})"


def summary(
    seen: Sequence[Seen],
    left_out: int,
    seconds: float,
    told: str = "",
    sources: Sources | None = None,
) -> str:
    """What was seen, in a line, and what the eyes say of it in another.

    Args:
        seen: everybody.
        left_out: sources and files that could not be read.
        seconds: that it took.
        told: by the eyes.
        sources: what else was named, which is passed over.
    """
    people = sum(len(found) for _, found in seen)
    who = counted(people, "person", "people")
    rate = f", {len(seen) / seconds:.1f} a second" if seen and seconds > 0 else ""
    left = f"; {left_out} left out" if left_out else ""
    left += "" if sources is None else _passed_over(sources)
    line = one_line(f"{who} in {counted(len(seen), 'picture')}{rate}{left}")
    return "\n".join(filter(None, (told, line)))


def _passed_over(sources: Sources) -> str:
    """What the sources name beside files that are looked at."""
    text = ""
    if sources.others:
        kinds = sorted({file.suffix.lower() or "without suffix" for file in sources.others})
        shown = ", ".join([*kinds[:_KINDS], *(["..."] if len(kinds) > _KINDS else [])])
        text += f"; {counted(len(sources.others), 'file')} of other kinds passed over ({shown})"
    if sources.folders:
        text += f"; {counted(sources.folders, 'folder')} in it not looked into"
    if sources.again:
        text += f"; {counted(sources.again, 'link')} to files that are looked at already"
    return text
