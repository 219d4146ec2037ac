"""Results as files: COCO JSON, CSV, annotated pictures and videos.

The JSON is a list of COCO keypoint results (https://cocodataset.org/#format-results): of each
person ``image_id``, ``category_id`` 1, ``keypoints`` (x, y, confidence of COCO's 17 points; 0, 0, 0
where not found) and ``score``; beside them ``file_name``. A picture whose name is a number, as in
COCO, keeps it as its id where all names are; otherwise they are counted from 1. Positions count
from the centre of the first pixel, as COCO's do.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ai8x_models.overlay import draw_people, encoded
from ai8x_models.skeleton import COCO17_TO_18
from common.errors import UserError
from common.files import check_writable, whole_file, write_file
from common.pictures import open_video
from common.texts import utf8
from pose78.drawings import is_foreign, mark_video, marked
from pose78.estimator import Person
from pose78.sources import View, is_video, rate_of

Pixels = npt.NDArray[np.uint8]
Seen = tuple[View, Sequence[Person]]
_PLAIN = (".jpg", ".jpeg", ".png")


def image_ids(seen: Sequence[Seen]) -> list[int]:
    """The id of every picture, see the module."""
    own = [int(v.file.stem) if v.frame is None and v.file.stem.isdecimal() else 0 for v, _ in seen]
    return own if all(own) and len(set(own)) == len(own) else list(range(1, len(seen) + 1))


def coco_results(seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """The people as COCO keypoint results, see the module."""
    return [
        {
            "image_id": number,
            "category_id": 1,
            "keypoints": [round(float(v), 4) for v in person.keypoints[list(COCO17_TO_18)].flat],
            "score": round(person.score, 4),
            "file_name": view.name,
        }
        for number, (view, people) in zip(image_ids(seen), seen, strict=True)
        for person in people
    ]


def coco_text(seen: Sequence[Seen]) -> str:
    """:func:`coco_results` as the text of a file."""
    return json.dumps(coco_results(seen)) + "\n"


def csv_text(seen: Sequence[Seen]) -> str:
    """A line for every point that was found: picture, person, score, point, x, y, confidence."""
    content = io.StringIO()
    out = csv.writer(content, lineterminator="\n")
    out.writerow(("picture", "person", "score", "point", "x", "y", "confidence"))
    for view, people in seen:
        for number, person in enumerate(people, 1):
            for p in person.points.values():
                numbers = (f"{p.x:.2f}", f"{p.y:.2f}", f"{p.score:.4f}")
                out.writerow((view.name, number, f"{person.score:.4f}", p.name, *numbers))
    return content.getvalue()


@dataclass
class Album:
    """Writes pictures with skeletons into a folder; the views of a video become a video.

    Two files of one name are told apart by a number, and so is a drawing from what is there and is
    none. Use it as a context: the last video is finished at its end, or taken away when the work
    failed.

    Attributes:
        folder: where they go.
        undrawn: a sentence for each that could not be written; the others go on.

    Raises:
        UserError: the folder cannot be made or written.
    """

    folder: Path
    undrawn: list[str] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _numbers: dict[str, int] = field(default_factory=dict)
    _video: _Video | None = None

    def __post_init__(self) -> None:
        check_writable(self.folder, folder=True)

    def __enter__(self) -> Album:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._video is not None:
            self._video.abandon()
            self._video = None
        self.close()

    def add(self, view: View, pixels: Pixels, people: Sequence[Person]) -> None:
        """Draw the people into a picture and write it."""
        if not view.frame:
            self.close()
        with self._going_on(view.file):
            if view.frame is None:
                path = self._path(view.file)
                write_file(path, marked(encoded(path, drawing(pixels, people))))
            elif view.frame == 0:
                self._video = _Video(self._path(view.file), pixels.shape, rate_of(view.file))
            if self._video is not None:
                self._video.add(drawing(pixels, people), view.seconds)

    def close(self) -> None:
        """Finish the video that is being written, if there is one."""
        video, self._video = self._video, None
        if video is not None:
            with self._going_on(video.path):
                video.close()

    @contextlib.contextmanager
    def _going_on(self, file: Path) -> Iterator[None]:
        """Keep what is wrong with one drawing from the others."""
        try:
            yield
        except (UserError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            self.undrawn.append(f"not drawn: {file}: {reason}")

    def _path(self, file: Path) -> Path:
        name = next(
            name
            for name in _free(file, self._names, self._numbers)
            if not is_foreign(self.folder / name)
        )
        self._names.add(name)
        return self.folder / name


def drawn_name(file: Path) -> str:
    """What the annotated copy of a picture, video or webcam is called, if that is still free."""
    suffix = ".mp4" if is_video(file) else file.suffix.lower()
    return file.stem.replace(":", "-") + (suffix if suffix in (*_PLAIN, ".mp4") else ".png")


def drawn_names(files: Sequence[Path]) -> dict[str, Path]:
    """What the annotated copies of some files are called, and of which file each is."""
    names: dict[str, Path] = {}
    numbers: dict[str, int] = {}
    for file in files:
        names[next(_free(file, names, numbers))] = file
    return names


def _free(file: Path, taken: Container[str], numbers: dict[str, int]) -> Iterator[str]:
    """Names for the annotated copy of a file that are not taken: its own, then numbered ones.

    ``numbers`` keeps the last number of every name, so that many files of one name take no longer
    than others.
    """
    own = Path(drawn_name(file))
    if own.name not in taken:
        yield own.name
    while True:
        numbers[own.name] = numbers.get(own.name, 1) + 1
        name = own.with_stem(f"{own.stem}-{numbers[own.name]}").name
        if name not in taken:
            yield name


def drawing(pixels: Pixels, people: Sequence[Person]) -> Pixels:
    """A copy of a picture with skeletons, as thick as its size asks for."""
    return draw_people(pixels, [p.keypoints for p in people], 2 + max(pixels.shape[:2]) // 400)


class _Video:
    """An MP4 file that has its name only when it is whole."""

    def __init__(self, path: Path, shape: tuple[int, ...], rate: float) -> None:
        self.path, self._shape = path, shape
        code = cv2.VideoWriter.fourcc(*"mp4v")
        self._rate, self._written = rate, 0
        if utf8(str(path)) != str(path):
            raise UserError(f"cannot write {path}: its name is no UTF-8, which no video may have")
        with contextlib.ExitStack() as stack:
            partial = stack.enter_context(whole_file(path))
            self._writer = cv2.VideoWriter(str(partial), code, rate, (shape[1], shape[0]))
            if not self._writer.isOpened():
                raise UserError(self._refusal())
            self._whole, self._partial = stack.pop_all(), partial

    def add(self, pixels: Pixels, seconds: float) -> None:
        """Add a picture; of a webcam, as often as it takes to stand at its time."""
        frame = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        for _ in range(max(1, int(seconds * self._rate) + 1 - self._written)):
            self._writer.write(frame)
            self._written += 1

    def close(self) -> None:
        """Give it its name.

        Raises:
            UserError: it cannot be read again.
        """
        self._writer.release()
        if not open_video(str(self._partial)).read()[0]:
            self.abandon()
            raise UserError(self._refusal())
        mark_video(self._partial)
        self._whole.close()

    def _refusal(self) -> str:
        rows, columns = self._shape[:2]
        return f"cannot write {self.path}: no video of {columns} x {rows} pixels can be made there"

    def abandon(self) -> None:
        """Leave nothing."""
        self._writer.release()
        with contextlib.suppress(_Abandoned), self._whole:
            raise _Abandoned


class _Abandoned(Exception):
    """The video is not wanted any more."""
