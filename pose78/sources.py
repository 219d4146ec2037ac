"""What SOURCE on the command line names: pictures, folders, globs and videos, as single views."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ai8x_models.preprocess import read_picture
from common.errors import UserError
from common.pictures import open_video

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class View:
    """One picture to look at.

    Attributes:
        file: where it comes from.
        frame: its number in a video, from 0; None for a picture.
        read: gives uint8 [h, w, 3] RGB; a UserError says what is wrong with the file.
    """

    file: Path
    frame: int | None
    read: Callable[[], Pixels]

    @property
    def name(self) -> str:
        """File, and number within a video."""
        return str(self.file) if self.frame is None else f"{self.file} #{self.frame}"


def files_of(sources: Sequence[str]) -> list[Path]:
    """The files that some sources name, in order, each once.

    Raises:
        UserError: a source does not exist, a folder or glob holds nothing to look at.
    """
    found: dict[Path, None] = {}
    for source in sources:
        found.update(dict.fromkeys(_files(source)))
    return list(found)


def _files(source: str) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        return _known(sorted(path.iterdir()), source)
    if path.exists():
        return [path]
    if glob.has_magic(source):
        return _known([Path(name) for name in sorted(glob.glob(source, recursive=True))], source)
    raise UserError(f"{source} does not exist; name a picture, a folder, a glob or a video")


def _known(files: list[Path], source: str) -> list[Path]:
    """Those that look like pictures or videos."""
    suffixes = (*PICTURES, *VIDEOS)
    chosen = [file for file in files if file.suffix.lower() in suffixes and file.is_file()]
    if not chosen:
        raise UserError(f"{source} holds nothing to look at ({', '.join(suffixes)})")
    return chosen


def is_video(file: Path) -> bool:
    """Whether a file is taken for a video, by its name."""
    return file.suffix.lower() in VIDEOS


def views_of(file: Path) -> Iterator[View]:
    """The single view of a picture, or those of a video; a video that cannot be read has one that
    says so."""
    if not is_video(file):
        yield View(file, None, lambda: read_picture(file))
        return
    capture = open_video(str(file))
    number = -1
    while capture.isOpened():
        good, frame = capture.read()
        if not good:
            break
        number += 1
        pixels = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
        yield View(file, number, lambda kept=pixels: kept)  # type: ignore[misc]
    capture.release()
    if number < 0:
        yield View(file, None, lambda: _refuse(file))


def rate_of(file: Path) -> float:
    """Pictures per second of a video; 25 where it does not say."""
    rate = float(cv2.VideoCapture(str(file)).get(cv2.CAP_PROP_FPS))
    return rate if 1 <= rate <= 1000 else 25.0


def _refuse(file: Path) -> Pixels:
    raise UserError(f"{file} is no video that can be decoded; convert it to MP4 (H.264)")
