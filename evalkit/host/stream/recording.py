"""Recordings: what a board answered, to be played again without it.

A text file of one JSON object per line. The first line names the format; then come ``hello`` (the
frame's payload) and ``shot`` lines in the order of time, binary parts in base64. A recording that
was cut off in its last line is good up to there.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.incoming import parse_json
from evalkit.host.stream.shots import Shot
from evalkit.wire import protocol

MAX_LINE = 32 * 1024 * 1024
"""Bytes of a line: a picture and its maps; JPEG of 24 MB."""

FORMAT = {"format": "pose78 recording", "version": 1}


class Recorder:
    """Writes a recording; what was written is on disk after every line.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("w", encoding="ascii")
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
        self._write(FORMAT)

    def hello(self, payload: bytes) -> None:
        """Add who answers from here on."""
        self._write({"hello": _pack(payload)})

    def shot(self, shot: Shot) -> None:
        """Add a picture and its answer."""
        line: dict[str, Any] = {
            "shot": {
                "seconds": round(shot.seconds, 3),
                "name": shot.name,
                "size": [shot.width, shot.height],
                "scale": list(shot.scale),
                "poses": _pack(shot.payload),
                "jpeg": _pack(shot.jpeg),
            }
        }
        if shot.heat is not None:
            line["shot"]["heat"] = {
                "shape": list(shot.heat.shape),
                "data": _pack(shot.heat.tobytes()),
            }
        if shot.payload3d:
            line["shot"]["poses3d"] = _pack(shot.payload3d)
        self._write(line)

    def close(self) -> None:
        """Done; may be called more than once.

        Raises:
            UserError: what was still to be written cannot be.
        """
        try:
            self._file.close()
        except OSError as error:
            raise UserError(f"{self._path} cannot be written: {error.strerror or error}") from None

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
            self._file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # what is still in its buffer cannot be kept
                self._file.close()
            raise UserError(f"{self._path} cannot be written: {error.strerror or error}") from None


def read_recording(path: Path) -> Iterator[protocol.Hello | Shot]:
    """What a recording holds, in order.

    Raises:
        UserError: no such file, another format, or a damaged line.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no ordinary file (a pipe, a device or a folder); name another")
    try:
        with path.open("rb") as file:
            yield from _lines(path, file)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror or error}; name a recording, as view --record "
            "writes it"
        ) from None


def _lines(path: Path, file: Any) -> Iterator[protocol.Hello | Shot]:
    for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), 1):
        if len(line) > MAX_LINE and number > 1:
            raise UserError(f"{path}, line {number}, is longer than {MAX_LINE} bytes; cut it off")
        if not line.endswith(b"\n") and number > 1:
            return
        try:
            entry = parse_json(line) if len(line) <= MAX_LINE else {}
            if number == 1:
                if entry != FORMAT:
                    raise ValueError("unknown format")
                continue
            if "hello" in entry:
                yield protocol.parse_hello(_unpack(entry["hello"]))
            elif "shot" in entry:
                yield _shot(entry["shot"])
            else:
                raise ValueError("neither hello nor shot")
        except (
            ValueError,
            KeyError,
            TypeError,
            ArithmeticError,
            RecursionError,
            AttributeError,
        ) as error:
            if number == 1:
                raise UserError(f"{path} is no recording of this viewer") from None
            raise UserError(f"{path}, line {number}, is damaged ({error}); cut it off") from None


def _shot(entry: dict[str, Any]) -> Shot:
    width, height = (int(value) for value in entry["size"])
    x, y = (float(value) for value in entry["scale"])
    seconds = float(entry["seconds"])
    if not (0 < width <= 65535 and 0 < height <= 65535):
        raise ValueError(f"a picture of {width} x {height}")
    if not (math.isfinite(x) and math.isfinite(y) and x > 0 and y > 0 and math.isfinite(seconds)):
        raise ValueError("scale or time is no proper number")
    heat = None
    if "heat" in entry:
        data = np.frombuffer(_unpack(entry["heat"]["data"]), np.uint8)
        heat = data.reshape([int(n) for n in entry["heat"]["shape"]])
        if heat.ndim != 3 or heat.shape[0] != protocol.KEYPOINTS:
            raise ValueError("heatmaps of another shape")
    payload = _unpack(entry["poses"])
    protocol.parse_poses(payload)
    payload3d = _unpack(entry.get("poses3d", ""))
    if payload3d:
        protocol.parse_poses3d(payload3d)
    seen = ((x, y), _unpack(entry["jpeg"]), payload, heat, payload3d)
    return Shot(seconds, str(entry["name"]), width, height, *seen)


def _pack(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unpack(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
