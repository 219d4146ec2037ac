"""What SOURCE on the command line names: pictures, folders, globs, videos and webcams, as single
views.

A webcam is ``webcam``, or ``webcam:1`` for the second one that the system knows; it never ends.
"""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ai8x_models.preprocess import read_picture
from common.errors import UserError
from common.pictures import SUFFIXES, VIDEO_SUFFIXES, early_end, open_video
from common.texts import utf8

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class View:
    """One picture to look at.

    Attributes:
        file: where it comes from.
        frame: its number in a video or of a webcam, from 0; None for a picture.
        read: gives uint8 [h, w, 3] RGB; a UserError says what is wrong with the file.
        seconds: when a webcam took it, since the first; 0 for anything else.
    """

    file: Path
    frame: int | None
    read: Callable[[], Pixels]
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """File, and number within a video; always text that can be written."""
        file = utf8(str(self.file))
        return file if self.frame is None else f"{file} #{self.frame}"

    def bare(self) -> View:
        """The same without its pixels, which take memory."""
        return View(self.file, self.frame, lambda: _gone(self.file), self.seconds)


@dataclass
class Found:
    """What sources name.

    Attributes:
        files: to look at, in order, each once.
        missing: a sentence for every source that names nothing.
        others: files of other kinds in the folders and globs, which are passed over.
        folders: how many folders in the folders and globs are not looked into.
        again: how many names lead, through links, to files that others name already.
    """

    files: list[Path]
    missing: list[str]
    others: list[Path]
    folders: int = 0
    again: int = 0


def find(sources: Sequence[str]) -> Found:
    """The files that some sources name.

    Raises:
        UserError: none of them names anything, or a webcam is not the only source.
    """
    webcams = [source for source in sources if is_webcam(source)]
    if webcams and len(sources) > 1:
        raise UserError(f"{webcams[0]} never ends; name it as the only source")
    if webcams:
        return Found([Path(webcams[0])], [], [])
    found = Found([], [], [])
    names: dict[str, Path] = {}
    for source in sources:
        try:
            _add(source, names, found)
        except OSError as error:
            found.missing.append(f"{source} cannot be read: {error.strerror or error}")
        except UserError as error:
            found.missing.append(str(error))
    if not names:
        raise UserError("; ".join(found.missing))
    found.files = list(names.values())
    return found


def _add(source: str, names: dict[str, Path], found: Found) -> None:
    """Add what is behind a source to files by their real names, each once, and to the rest.

    Raises:
        UserError: it names nothing to look at.
        OSError: a folder cannot be read.
    """
    single = Path(source).exists() and not Path(source).is_dir()
    files = [Path(source)] if single else []
    for path in () if single else _matches(source):
        if path.is_dir():
            # What "**" matches, it looks into.
            found.folders += "**" not in source
        elif _is_known(path):
            files.append(path)
        else:
            found.others.append(path)
    for path in files:
        real = os.path.realpath(path)
        known = names.setdefault(real, path)
        if os.path.abspath(known) != os.path.abspath(path):
            found.again += 1
            names[real] = min(known, path, key=lambda name: len(name.parts))
        elif not os.path.isfile(real):
            found.missing.append(_no_file(path))
            del names[real]
    if not files:
        raise UserError(
            f"{source} holds nothing to look at ({', '.join((*SUFFIXES, *VIDEO_SUFFIXES))})"
        )


def _matches(source: str) -> list[Path]:
    """What a folder or a glob names; what is hidden in a folder is not there for us."""
    path = Path(source)
    if path.is_dir():
        return sorted(p for p in path.iterdir() if not p.name.startswith("."))
    matched = [Path(name) for name in sorted(glob.glob(source, recursive=True))]
    if not matched or matched == [path]:  # a link to nothing
        raise UserError(
            f"{source} does not exist; name a picture, a folder, a glob, a video or webcam"
        )
    return matched


def _no_file(path: Path) -> str:
    """What is wrong with a name that is neither a file nor a folder."""
    if path.exists():
        return f"{path} is no ordinary file (a pipe or a device); name a picture or a video"
    return f"{path} is a link to nothing; take it away, or mend it"


def _is_known(file: Path) -> bool:
    """Whether a name is that of a picture or a video."""
    return file.suffix.lower() in (*SUFFIXES, *VIDEO_SUFFIXES)


def is_webcam(source: str | Path) -> bool:
    """Whether a source is a webcam: ``webcam`` or ``webcam:NUMBER``."""
    word, _, number = str(source).partition(":")
    return word == "webcam" and (not number or number.isdecimal())


def is_video(file: Path) -> bool:
    """Whether a source has one view after the other: a video by its name, or a webcam."""
    return file.suffix.lower() in VIDEO_SUFFIXES or is_webcam(file)


def views_of(file: Path) -> Iterator[View]:
    """The single view of a picture, or those of a video or webcam; one that cannot be read, or that
    ends before its end, has one that says so."""
    if not is_video(file):
        yield View(file, None, lambda: read_picture(file))
        return
    capture = opened(file)
    number, live, begin = -1, is_webcam(file), 0.0
    try:
        while capture.isOpened():
            good, frame = capture.read()
            if not good:
                break
            number += 1
            begin = begin or time.monotonic()
            seconds = time.monotonic() - begin if live else 0.0
            pixels = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
            yield View(file, number, lambda kept=pixels: kept, seconds)  # type: ignore[misc]
        wrong = None if live else early_end(str(file), capture, number + 1)
    finally:
        capture.release()
    if number < 0:
        yield View(file, None, lambda: _refuse(file))
    elif wrong:
        yield View(file, None, lambda: _refuse(file, wrong))


def opened(file: Path) -> cv2.VideoCapture:
    """A video or webcam through OpenCV, opened if it can be."""
    if not is_webcam(file):
        return open_video(str(file))
    return cv2.VideoCapture(int(str(file).partition(":")[2] or 0))


def frames_in(file: Path) -> int | None:
    """How many pictures a file has; None where nobody knows, as of a webcam."""
    if not is_video(file):
        return 1
    if is_webcam(file):
        return None
    count = int(opened(file).get(cv2.CAP_PROP_FRAME_COUNT))
    return count if count > 0 else None


def rate_of(file: Path) -> float:
    """Pictures per second of a video; 25 where it does not say."""
    rate = 0.0 if is_webcam(file) else float(opened(file).get(cv2.CAP_PROP_FPS))
    return rate if 1 <= rate <= 1000 else 25.0


def _refuse(file: Path, wrong: str | None = None) -> Pixels:
    if wrong:
        raise UserError(f"the rest of {file}, which {wrong}")
    if is_webcam(file):
        raise UserError(
            f"{file} does not answer; plug a camera in, close the program that uses it, or name "
            "another as webcam:1"
        )
    if utf8(str(file)) != str(file):
        raise UserError(
            f"{file} is a video whose name is no UTF-8, which no video may have; rename it"
        )
    raise UserError(f"{file} is no video that can be decoded; convert it to MP4 (H.264)")


def _gone(file: Path) -> Pixels:
    raise UserError(f"the pixels of {file} were let go of")
