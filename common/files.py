"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError
from common.texts import utf8

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


_PLACE = ".pose78-part-"
"""How the name of a folder begins in which something is being written."""


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
    with workplace(path.parent) as place:
        yield place / path.name
        os.replace(place / path.name, path)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside ``path``; at the end it takes the place of ``path``.

    What was there stays when the block fails. A link stays and its target is replaced.

    Raises:
        OSError: it cannot be made, or put into its place.
    """
    _check_name(path, "folder")
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    with workplace(path.parent) as place:
        staging, old = place / path.name, place / "old" / path.name
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


@contextlib.contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """Give an empty folder within ``folder``, made where it is missing; it goes at the end.

    A process that is killed leaves its own behind. The next one that works here finds it without an
    owner and removes it: the lock on it is the kernel's and ends with the process.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    place, lock = _own_place(folder)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _own_place(folder: Path) -> tuple[Path, int | None]:
    """A new folder and the open file that keeps it, None where folders cannot be locked."""
    while True:
        place = Path(tempfile.mkdtemp(dir=folder, prefix=_PLACE))
        try:
            lock = _lock(place)
        except BlockingIOError:  # somebody sweeps it, who was quicker
            continue
        if place.exists():
            return place, lock
        if lock is not None:
            os.close(lock)


def _lock(place: Path) -> int | None:
    """Keep a folder; BlockingIOError when somebody else does."""
    try:
        handle = os.open(place, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return handle


@contextlib.contextmanager
def kept(folder: Path, who: str, remedy: str) -> Iterator[None]:
    """Keep a folder for one process until the block ends; the lock goes with the process.

    Args:
        folder: that is there.
        who: what writes there, for the message.
        remedy: what to do about it.

    Raises:
        UserError: another process keeps it.
    """
    try:
        lock = _lock(folder)
    except BlockingIOError:
        raise UserError(f"another {who} is writing to {folder}; {remedy}") from None
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


_swept: set[str] = set()
"""Folders this process has looked through; once is enough."""


def _sweep(folder: Path) -> None:
    """Remove the places of processes that are no more."""
    known = os.path.realpath(folder)
    if known in _swept:
        return
    _swept.add(known)
    with contextlib.suppress(OSError):
        for place in folder.glob(f"{_PLACE}*"):
            if place.is_dir() and not place.is_symlink():
                _remove_abandoned(place)


def _remove_abandoned(place: Path) -> None:
    try:
        lock = _lock(place)
    except BlockingIOError:
        return
    if lock is not None:
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


def check_writable(path: Path, folder: bool = False) -> None:
    """As :func:`check_place`, right before the work: the folder that takes the result is made.

    Args:
        path: of the result.
        folder: whether it is a folder, which is made too.

    Raises:
        UserError: it cannot be written; nothing but empty folders is left.
    """
    check_place(path, folder)
    place = Path(os.path.realpath(path))
    try:
        (place if folder else place.parent).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def check_place(path: Path, folder: bool | None = None) -> None:
    """Find out before the work whether a result can be written; nothing is made.

    Args:
        path: of the result.
        folder: whether it is a folder; None: it may be either.

    Raises:
        UserError: it cannot be written.
    """
    try:
        if path.is_dir() and folder is False:
            raise UserError(f"cannot write {path}: it is a folder; name a file in it")
        if path.exists() and not path.is_file() and not path.is_dir():
            if folder:
                raise NotADirectoryError
            _check_device(path)
            return
        place = Path(os.path.realpath(path))
        if path.is_file() and not folder:
            place = place.parent
        found = next(p for p in (place, *place.parents) if p.exists())
        if not found.is_dir():
            raise UserError(
                f"cannot write {path}: {found} is a file, not a folder; name another place"
            )
        # Only trying tells: a folder may refuse files whatever its permissions say.
        with workplace(found) as trial:
            (trial / (place.name or "result")).touch()
    except NotADirectoryError:
        raise UserError(
            f"cannot write {path}: a part of it is a file, not a folder; name another place"
        ) from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def _check_device(path: Path) -> None:
    """OSError for the device that is always full; others are not tried, it would say something."""
    status = path.stat()
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 7):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _check_name(path: Path, kind: str) -> None:
    """OSError for ``''``, ``.``, ``..`` and ``/``, which name no place of their own."""
    if path.name in ("", ".."):
        raise OSError(
            errno.EINVAL, f"it names no {kind} of its own; name one in that folder", str(path)
        )


def write_file(path: Path, content: bytes | memoryview | str) -> None:
    """As :func:`replace_file`, text as UTF-8; what UTF-8 does not have is escaped.

    Raises:
        UserError: it cannot be written; the sentence names the file and the reason.
    """
    try:
        replace_file(path, utf8(content).encode() if isinstance(content, str) else content)
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
        UserError: it cannot be read, or is a pipe or a device, which may never begin or end.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path} is no ordinary file (a pipe or a device)")
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    return digest.hexdigest()
