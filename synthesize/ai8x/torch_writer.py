"""Writes torch checkpoints without torch.

The result is what ``torch.save`` writes for plain data with contiguous tensors (a zip archive of a
pickle, protocol 2, and raw tensors), so that torch and ai8x-synthesis can load it. Importing torch
for this would take longer than compiling. Sources: Python's ``pickletools`` (opcodes) and files
written by ``torch.save``.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.files import write_file

_STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
}
_ROOT = "archive"
_TIME = (1980, 1, 1, 0, 0, 0)
"""Equal content gives equal files."""


def save(content: Any, path: Path) -> None:
    """Write plain data (None, numbers, text, lists, tuples, mappings, numpy arrays) to ``path``.

    Raises:
        TypeError: the data holds something else.
        UserError: the file cannot be written.
    """
    tensors: list[np.ndarray] = []
    stream = b"\x80\x02" + _encode(content, tensors) + b"."
    files = {"data.pkl": stream, "byteorder": b"little", "version": b"3\n"}
    for number, tensor in enumerate(tensors):
        files[f"data/{number}"] = tensor.astype(tensor.dtype.newbyteorder("<")).tobytes()
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(f"{_ROOT}/{name}", _TIME), data)
    write_file(path, whole.getbuffer())


def _encode(value: Any, tensors: list[np.ndarray]) -> bytes:
    """Return the pickle opcodes that push a value."""
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        raw = value.encode("utf-8")
        return b"X" + struct.pack("<I", len(raw)) + raw
    if isinstance(value, tuple):
        return b"(" + b"".join(_encode(item, tensors) for item in value) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(_encode(item, tensors) for item in value) + b"e"
    if isinstance(value, Mapping):
        items = b"".join(_encode(k, tensors) + _encode(v, tensors) for k, v in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, np.ndarray) and value.dtype.name in _STORAGES:
        return _encode_tensor(np.ascontiguousarray(value), tensors)
    raise TypeError(f"{type(value).__name__} cannot be written to a checkpoint")


def _encode_tensor(array: np.ndarray, tensors: list[np.ndarray]) -> bytes:
    storage = _global("torch", _STORAGES[array.dtype.name])
    key, place = _encode(str(len(tensors)), tensors), _encode("cpu", tensors)
    reference = b"(" + _encode("storage", tensors) + storage + key + place
    reference += _encode(int(array.size), tensors) + b"tQ"
    strides = tuple(step // array.itemsize for step in array.strides)
    hooks = _global("collections", "OrderedDict") + b")R"
    tensors.append(array)
    arguments = reference + _encode(0, tensors) + _encode(tuple(map(int, array.shape)), tensors)
    arguments += _encode(strides, tensors) + _encode(False, tensors) + hooks
    return _global("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()
