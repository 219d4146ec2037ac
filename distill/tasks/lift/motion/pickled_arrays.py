"""Reads pickled dictionaries of NumPy arrays without executing what else a pickle may hold.

A pickle names functions and calls them. Here it may only name what NumPy writes for an array; each
of these names stands for a small class of this module, which checks what it is given, so neither
NumPy's constructors nor anything else is called with values from the file.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from common.errors import UserError

_NUMBERS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}


class _Dtype:
    """Stands for ``numpy.dtype``."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = str(code), "<"

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])


class _Array:
    """Stands for an array that is being rebuilt."""

    shape: tuple[int, ...] = ()
    content: Any = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array without a type")
        self.shape = tuple(int(n) for n in shape)
        if dtype.code in _NUMBERS:
            order = {"|": "|", "=": "=", ">": ">"}.get(dtype.order, "<")
            flat = np.frombuffer(bytes(raw), np.dtype(order + dtype.code))
            self.content = flat.reshape(self.shape, order="F" if fortran else "C")
        elif dtype.code in ("O", "O8", "O4") and isinstance(raw, list):
            self.content = raw
        else:
            raise pickle.UnpicklingError(f"arrays of type {dtype.code}")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _scalar(dtype: Any, raw: Any) -> Any:
    """One NumPy number."""
    array = _Array()
    array.__setstate__((1, (), dtype, False, raw))
    return array.content.item()


def _encode(text: Any, encoding: Any) -> bytes:
    """Protocol 2 has no bytes: it stores text that is to be encoded in Latin-1."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("text in another encoding than Latin-1")
    return text.encode("latin-1")


_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    """Knows the names of :data:`_KNOWN` and refuses all others."""

    def find_class(self, module: str, name: str) -> Any:
        """See :class:`pickle.Unpickler`."""
        found = _KNOWN.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array")
        return found


def _plain(value: Any) -> Any:
    """Stand-ins as arrays and lists, throughout nested dictionaries and lists."""
    if isinstance(value, _Array):
        value = value.content
        return value if isinstance(value, np.ndarray) else [_plain(v) for v in value or ()]
    if isinstance(value, dict):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def read_object(path: Path, name: str) -> Any:
    """Return the Python object that an ``.npz`` file holds as the object array ``name``.

    Returns:
        Nested dictionaries (text keys) and lists of NumPy arrays, numbers and text.

    Raises:
        UserError: no such file or array, damaged, or it holds something else than plain data.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if f"{name}.npy" not in archive.namelist():
                raise UserError(f"{path}: the array '{name}' is missing; it is needed")
            stream = io.BytesIO(archive.read(f"{name}.npy"))
        _skip_header(stream)
        found = _Unpickler(stream, encoding="latin1").load()
        value = _plain(found)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except UserError:
        raise
    except (zipfile.BadZipFile, pickle.UnpicklingError, EOFError, RecursionError) as error:
        raise UserError(f"{path}: array '{name}' is refused: {error}") from None
    except Exception as error:  # a forged pickle can make any operation of a pickle fail
        raise UserError(
            f"{path}: array '{name}' is refused: {type(error).__name__}: {error}"
        ) from None
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _skip_header(stream: BinaryIO) -> None:
    """Move to the pickle behind the header of an ``.npy`` file.

    Raises:
        pickle.UnpicklingError: it is no array of objects.
    """
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
    if version == (2, 0):
        read = np.lib.format.read_array_header_2_0
    if read is None:
        raise pickle.UnpicklingError(f"format version {version}")
    _, _, dtype = read(stream)
    if dtype != np.dtype(object):
        raise pickle.UnpicklingError(f"expected an array of objects, found {dtype}")
