"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
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
    with whole_file(path) as partial:
        partial.write_bytes(content)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a place beside ``path`` to write to; what is there at the end becomes ``path``.

    It ends as ``path`` does. Nothing is left of it when the block fails. The folder is made where
    it is missing. A link stays and its target is replaced; a device or a pipe stays and is written
    to.

    Raises:
        OSError: as :func:`replace_file`.
    """
    _check_name(path, "file")
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            partial = Path(folder) / path.name
            yield partial
            with partial.open("rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside ``path``; at the end it takes the place of ``path``.

    What was there stays when the block fails.

    Raises:
        OSError: it cannot be made, or put into its place.
    """
    _check_name(path, "folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as temporary:
        staging, old = Path(temporary) / path.name, Path(temporary) / "old" / path.name
        staging.mkdir()
        yield staging
        old.parent.mkdir()
        if path.exists():
            path.rename(old)
        try:
            staging.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise


def check_writable(path: Path, folder: bool = False) -> None:
    """Find out before the work whether a result can be written; a missing folder is made.

    Args:
        path: of the result.
        folder: whether it is a folder, which is made too.

    Raises:
        UserError: it cannot; nothing but empty folders is left.
    """
    try:
        if folder:
            path.mkdir(parents=True, exist_ok=True)
            place = path / "result"
        elif path.is_dir():
            raise UserError(f"cannot write {path}: it is a folder; name a file in it")
        elif path.exists() and not path.is_file():
            return  # a device or a pipe; opening one may already say something to it
        else:
            _check_name(path, "file")
            place = Path(os.path.realpath(path))
            place.parent.mkdir(parents=True, exist_ok=True)
        # Only trying tells: a folder may refuse files whatever its permissions say.
        with tempfile.NamedTemporaryFile(
            dir=place.parent, prefix=f".{place.stem}.", suffix=place.suffix
        ):
            return
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def _check_name(path: Path, kind: str) -> None:
    """OSError for ``''``, ``.``, ``..`` and ``/``, which name no place of their own."""
    if path.name in ("", ".."):
        raise OSError(
            errno.EINVAL, f"it names no {kind} of its own; name one in that folder", str(path)
        )


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
