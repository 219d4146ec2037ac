"""What is labelled so far, a line per picture, so that a killed run goes on where it stopped."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any

from common.errors import UserError
from common.incoming import parse_json


class Journal:
    """A file of JSON lines beside the result: first what the run is, then a record per picture.

    A last line that was cut short is dropped. Entering opens it for appending.

    Raises:
        UserError: it cannot be used, or belongs to a run with other settings.
    """

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        self.path, self.run = path, run
        self.records: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Journal:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
            with contextlib.ExitStack() as open_file:
                open_file.callback(self._file.close)
                self._read()
                open_file.pop_all()  # it stays open
        except OSError as error:
            raise UserError(f"cannot use {self.path}: {error.strerror or error}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._file.close()

    def _read(self) -> None:
        """Take in the whole lines, cut off the rest, and begin where there is nothing."""
        self._file.seek(0)
        end, lines = 0, []
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            end += len(line)
            lines.append(self._parsed(line))
        self._file.truncate(end)
        if not lines:
            self._write(self.run)
        elif lines[0] != self.run:
            raise UserError(
                f"{self.path} belongs to a run with other pictures, networks or settings; go on "
                "with those, remove it, or name another file with --out"
            )
        self.records = {line["file"]: line for line in lines[1:]}

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            record = parse_json(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or not ("file" in record or "version" in record):
            raise UserError(f"{self.path} is no journal of labelling; remove it to start afresh")
        return record

    def _write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()

    def add(self, record: dict[str, Any]) -> None:
        """Keep what was made of a picture, ``file``.

        Raises:
            UserError: no room is left.
        """
        try:
            self._write(record)
        except OSError as error:
            raise UserError(
                f"cannot write {self.path}: {error.strerror or error}; make room and run again, "
                "it goes on where it stopped"
            ) from None
        self.records[record["file"]] = record

    def remove(self) -> None:
        """The result is written; this is needed no longer."""
        self.path.unlink(missing_ok=True)
