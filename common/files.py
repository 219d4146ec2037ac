"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


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


def write_file(path: Path, content: bytes | memoryview | str) -> None:
    """As :func:`replace_file`, text as UTF-8.

    Raises:
        UserError: it cannot be written; the sentence names the file and the reason.
    """
    try:
        replace_file(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def write_array(path: Path, array: npt.NDArray[np.generic]) -> None:
    """Write a NumPy file (``.npy``), whole or not at all.

    Raises:
        UserError: as :func:`write_file`.
    """
    import numpy as np

    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    write_file(path, content.getbuffer())


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write a compressed archive of named arrays (``.npz``), whole or not at all.

    Raises:
        UserError: as :func:`write_file`.
    """
    import numpy as np

    content = io.BytesIO()
    np.savez_compressed(content, **dict(arrays))  # type: ignore[arg-type]
    write_file(path, content.getbuffer())


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        UserError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    return digest.hexdigest()
