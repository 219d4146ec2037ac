"""Reads torch checkpoints without torch and without running anything that is in them.

A checkpoint is a zip archive of a pickle (``data.pkl``) and raw tensors (``data/0`` ...). Reading a
pickle normally calls whatever the file names; here every name but those that rebuild tensors and
ordered dictionaries becomes an inert :class:`Unknown`, which remembers nothing and does nothing. So
files that carry training state (schedulers, optimisers) can be read for their weights, and hostile
ones do no harm. It also saves the seconds that importing torch takes.

Before torch 1.6 a checkpoint was a row of pickles (magic number, protocol, system, content, keys of
the tensors) with the raw tensors behind them; :func:`load_old` reads that form the same way.

Sources: the file format as written by ``torch.save`` (zip form, since torch 1.6), torch's
``_legacy_load`` for the older one, and Python's pickle documentation ("Restricting Globals").
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import pickles

OLD_MAGIC = 0x1950A86A20F9469CFC6C
OLD_PROTOCOL = 1001
MAX_PICKLE_BYTES = 1 << 20
"""Of everything but the tensors; a checkpoint of ours has 22,000, and one byte can become 200."""

_TOO_LONG = f"what describes its tensors is longer than {MAX_PICKLE_BYTES} bytes"

MAX_ELEMENTS = 16 * 1024 * 1024
"""Elements of one tensor; the weight memory holds 3.5 million 1-bit weights."""

_DTYPES: dict[str, str] = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class ArchiveError(ValueError):
    """The file is no torch archive, or a damaged one."""


class Unknown:
    """Stands in for every object that is neither a tensor nor plain data."""

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def __call__(self, *args: Any, **options: Any) -> Unknown:
        """Do nothing when the file calls what it found."""
        return self

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Ignore list items that the file adds."""

    def extend(self, values: Any) -> None:
        """Ignore list items that the file adds."""


@dataclass(frozen=True)
class _Storage:
    """Flat data of one or more tensors; ``data`` is None for types that are not read.

    Tensors look at them and never copy: a small file can hold many tensors that show the same
    number a million times.
    """

    data: np.ndarray | None


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive."""
    return zipfile.is_zipfile(path)


def load(path: Path, most_bytes: int) -> Any:
    """Return the content of a checkpoint: plain data with numpy arrays for tensors.

    Args:
        path: the file.
        most_bytes: largest unpacked size.

    Raises:
        ArchiveError: not a torch archive, damaged, or larger than ``most_bytes``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            size = sum(info.file_size for info in archive.infolist())
            if size > most_bytes:
                raise ArchiveError(f"it unpacks to {size} bytes, more than {most_bytes}")
            pickles = [name for name in names if name.endswith("/data.pkl") or name == "data.pkl"]
            if len(pickles) != 1:
                raise ArchiveError("no data.pkl in it")
            root = pickles[0][: -len("data.pkl")]
            with archive.open(pickles[0]) as stream:
                return _Reader(_described(stream), archive, root).load()
    except ArchiveError:
        raise
    except RecursionError as error:
        raise ArchiveError("nested too deeply") from error
    except Exception as error:  # a damaged pickle raises almost anything
        raise ArchiveError(str(error).splitlines()[0] if str(error) else "damaged") from error


def load_old(path: Path) -> Any:
    """Return the content of a checkpoint in the form before torch 1.6, as :func:`load` does.

    Raises:
        ArchiveError: it is no such file, or a damaged one.
    """
    try:
        with path.open("rb") as stream:

            def read(most_bytes: int = 0) -> tuple[Any, _OldReader]:
                reader = _OldReader(_described(stream), most_bytes)
                return reader.load(), reader

            if read()[0] != OLD_MAGIC:
                raise ArchiveError("it is no checkpoint of torch")
            if read()[0] != OLD_PROTOCOL:
                raise ArchiveError("an unknown version of the old format")
            read()
            content, reader = read(path.stat().st_size)
            keys, _ = read()
            reader.fill(stream, keys)
            return content
    except ArchiveError:
        raise
    except RecursionError as error:
        raise ArchiveError("nested too deeply") from error
    except Exception as error:  # a damaged pickle raises almost anything
        raise ArchiveError(str(error).splitlines()[0] if str(error) else "damaged") from error


def _described(stream: Any) -> io.BytesIO:
    """Take the pickle that comes next from a stream, looked through before anything follows it."""
    start = stream.tell()
    head = stream.read(MAX_PICKLE_BYTES + 1)
    try:
        end = pickles.check(head)
    except ValueError as error:
        if len(head) > MAX_PICKLE_BYTES and "exhausted" in str(error):
            raise ArchiveError(_TOO_LONG) from None
        raise
    stream.seek(start + end)
    return io.BytesIO(head[:end])


class _Unpickler(pickle.Unpickler):
    """Unpickler that knows tensors, ordered dictionaries and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a harmless counterpart of a name in the file."""
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch" and name.endswith("Storage"):
            return name
        return Unknown


class _Reader(_Unpickler):
    """Finds the tensors of a zip archive."""

    def __init__(self, stream: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(stream)
        self.archive = archive
        self.root = root
        self.storages: dict[str, _Storage] = {}

    def persistent_load(self, identity: Any) -> _Storage:
        """Return the flat data that a tensor refers to."""
        kind, storage_type, key, _, count = identity
        if kind != "storage":
            raise ArchiveError("unknown reference in it")
        key = str(key)
        if key not in self.storages:
            self.storages[key] = self._storage(storage_type, key, int(count))
        return self.storages[key]

    def _storage(self, storage_type: Any, key: str, count: int) -> _Storage:
        dtype = _DTYPES.get(storage_type) if isinstance(storage_type, str) else None
        if dtype is None or not 0 <= count <= MAX_ELEMENTS:
            return _Storage(None)
        data = np.frombuffer(self.archive.read(f"{self.root}data/{key}"), dtype)
        if len(data) < count:
            raise ArchiveError(f"tensor data {key} is cut off")
        return _Storage(data[:count])


class _OldReader(_Unpickler):
    """Makes room for the tensors, whose data stand behind the content.

    Args:
        stream: the file.
        most_bytes: what all tensors together may take.
    """

    def __init__(self, stream: Any, most_bytes: int) -> None:
        super().__init__(stream)
        self.left = most_bytes
        self.storages: dict[str, _Storage] = {}

    def persistent_load(self, identity: Any) -> Any:
        """Return the flat data that a tensor refers to, still empty."""
        if identity[0] == "module":  # source code that was stored beside a class
            return Unknown
        kind, storage_type, key, _, count, view = identity
        if kind != "storage":
            raise ArchiveError("unknown reference in it")
        key, count = str(key), int(count)
        if key not in self.storages:
            self.storages[key] = self._room(storage_type, count)
        whole = self.storages[key]
        if view is None or whole.data is None:
            return whole
        _, offset, size = view
        if min(int(offset), int(size)) < 0 or int(offset) + int(size) > count:
            raise ArchiveError("a tensor reaches beyond its data")
        return _Storage(whole.data[int(offset) : int(offset) + int(size)])

    def fill(self, stream: Any, keys: Any) -> None:
        """Read the data of all tensors; ``keys`` says in which order they come."""
        for key in keys:
            storage = self.storages.get(str(key))
            count = int.from_bytes(stream.read(8), "little", signed=True)
            if storage is None or storage.data is None:
                raise ArchiveError(f"tensor {key} is of a type that is not read")
            raw = stream.read(storage.data.nbytes)
            if count != len(storage.data) or len(raw) != storage.data.nbytes:
                raise ArchiveError(f"tensor data {key} is cut off")
            storage.data[:] = np.frombuffer(raw, storage.data.dtype)

    def _room(self, storage_type: Any, count: int) -> _Storage:
        dtype = _DTYPES.get(storage_type) if isinstance(storage_type, str) else None
        if dtype is None or not 0 <= count <= MAX_ELEMENTS:
            return _Storage(None)
        self.left -= count * np.dtype(dtype).itemsize
        if self.left < 0:
            raise ArchiveError("its tensors are larger than the file")
        return _Storage(np.zeros(count, dtype))


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Any:
    """Return the array that a tensor was, or Unknown when its type is not read."""
    if not isinstance(storage, _Storage) or storage.data is None:
        return Unknown()
    shape, steps = tuple(map(int, size)), tuple(map(int, stride))
    if len(shape) != len(steps) or min((*shape, *steps, int(offset)), default=0) < 0:
        raise ArchiveError("a tensor has an impossible shape")
    if math.prod(shape) > MAX_ELEMENTS:
        raise ArchiveError("a tensor is larger than any this chip can hold")
    if math.prod(shape) == 0:
        return np.zeros(shape, storage.data.dtype)
    last = int(offset) + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
    if last >= len(storage.data):
        raise ArchiveError("a tensor reaches beyond its data")
    width = storage.data.itemsize
    view = np.lib.stride_tricks.as_strided(
        storage.data[int(offset) :], shape, tuple(step * width for step in steps), writeable=False
    )
    return view


def _parameter(data: Any, *_: Any) -> Any:
    return data
