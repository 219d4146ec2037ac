"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from common.errors import UserError


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Write beside ``path``, then rename; the folder is made where it is missing.

    Raises:
        OSError: it cannot be written; what was there before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def write_file(path: Path, content: bytes | str) -> None:
    """As :func:`replace_file`, text as UTF-8.

    Raises:
        UserError: it cannot be written; the sentence names the file and the reason.
    """
    try:
        replace_file(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
