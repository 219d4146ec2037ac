"""Labels a folder of pictures: from the list of files to the file of labels."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.console import progress
from common.errors import UserError
from common.pictures import SUFFIXES
from distill.people.annotations import Skipped, read_pixels
from distill.people.label.crew import Crew
from distill.people.label.journal import Journal
from distill.people.label.judge import Settings, label_picture
from distill.people.label.result import compose, summary, write_labels
from distill.people.label.truth import Truth

log = logging.getLogger(__name__)

VERSION = 2


@dataclass(frozen=True)
class Shard:
    """Part ``place`` of ``count``, from 1; every ``count``-th picture is its."""

    place: int = 1
    count: int = 1

    @staticmethod
    def parse(text: str) -> Shard:
        """``3/16``.

        Raises:
            UserError: it is not of this form, or there is no such part.
        """
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        shard = Shard(*map(int, found.groups())) if found else Shard(0, 0)
        if not 1 <= shard.place <= shard.count:
            raise UserError(f"--shard is '{text}'; write which of how many, 1/16 to 16/16")
        return shard


@dataclass(frozen=True)
class Request:
    """What is to be labelled.

    Attributes:
        pictures: folder, with the folders in it; or that of the pictures ``annotations`` lists.
        networks: ONNX files.
        out: file of labels to write.
        annotations: COCO keypoint file of ground truth to keep; only its pictures are looked at.
        shard: the part of the pictures to label.
        drop_empty: whether pictures without anybody are left out of the file.
        settings: thresholds.
    """

    pictures: Path
    networks: tuple[Path, ...]
    out: Path
    annotations: Path | None = None
    shard: Shard = Shard()
    drop_empty: bool = False
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, eq=False)
class _Listed:
    """The pictures of a run: number, file name, further fields; and the ground truth."""

    pictures: list[tuple[int, str, dict[str, Any]]]
    truth: Truth | None


def label(request: Request) -> str:
    """Label all pictures, going on where a killed run stopped; returns a line on what was found.

    Raises:
        UserError: no pictures, a network of no known kind, unusable ground truth, or a file that
            cannot be written.
    """
    listed = _listed(request)
    crew = Crew(request.networks)
    run = _facts(request, crew, listed)
    part = listed.pictures[request.shard.place - 1 :: request.shard.count]
    journal = Journal(request.out.with_name(f"{request.out.name}.journal"), run)
    with journal:
        for _, name, _ in progress(part, title="labelling", unit="picture"):
            if name not in journal.records:
                journal.add(_record(request, crew, listed.truth, name))
        content = compose(run, part, journal.records)
    write_labels(content, request.out)
    journal.remove()
    return summary(content)


def _listed(request: Request) -> _Listed:
    """The pictures to look at, in order."""
    if request.annotations is not None:
        truth = Truth(request.annotations)
        entries = [(entry["id"], entry["file_name"], entry) for entry in truth.content.images]
        return _Listed(entries, truth)
    if not request.pictures.is_dir():
        raise UserError(f"{request.pictures} is no folder; name one with pictures")
    names = sorted(
        path.relative_to(request.pictures).as_posix()
        for path in request.pictures.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    if not names:
        raise UserError(
            f"{request.pictures} holds no pictures; files that end with "
            f"{', '.join(SUFFIXES)} are looked at"
        )
    return _Listed([(number, name, {}) for number, name in enumerate(names, 1)], None)


def _facts(request: Request, crew: Crew, listed: _Listed) -> dict[str, Any]:
    """All that the labels depend on, as plain values."""
    names = "\n".join(name for _, name, _ in listed.pictures)
    truth = b"" if request.annotations is None else request.annotations.read_bytes()
    return {
        "version": VERSION,
        "networks": crew.facts,
        "settings": asdict(request.settings),
        "pictures": {
            "count": len(listed.pictures),
            "sha256": hashlib.sha256(names.encode() + b"\0" + truth).hexdigest(),
        },
        "drop_empty": request.drop_empty,
        "shard": [request.shard.place, request.shard.count],
    }


def _record(request: Request, crew: Crew, truth: Truth | None, name: str) -> dict[str, Any]:
    """What becomes of one picture: its annotations, or why it is left out."""
    skipped = Skipped()
    entry = truth.images[name] if truth else {}
    pixels = read_pixels(request.pictures / name, entry, skipped)
    if pixels is None:
        reason = next(iter(skipped.reasons)).removeprefix("pictures ")
        log.warning("left out: %s (%s)", name, reason)
        return {"file": name, "broken": reason}
    known = truth.people(name) if truth else []
    try:
        annotations = label_picture(np.asarray(pixels, np.uint8), crew, request.settings, known)
    except UserError:  # of a network, whatever the picture
        raise
    except (cv2.error, ValueError, ArithmeticError, LookupError, MemoryError) as error:
        reason = f"broken: {type(error).__name__} at {pixels.shape[1]} x {pixels.shape[0]} pixels"
        log.warning("left out: %s (%s)", name, reason)
        return {"file": name, "broken": reason}
    size = [int(pixels.shape[1]), int(pixels.shape[0])]
    return {"file": name, "size": size, "annotations": annotations}
