"""Weights that an exporter put into a file beside the model (``model.onnx.data``).

Exporters do so by default, also with small networks. Only a plain file within the model's folder
is read; every other path could lead anywhere.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.incoming import read_bytes


def take_in(path: Path, proto: Any, most: int) -> None:
    """Put all tensors that are stored in other files into the model.

    Args:
        path: the model's file.
        proto: its ``ModelProto``, changed in place.
        most: bytes that each of the other files may have.

    Raises:
        UserError: a file outside the model's folder, missing, too large or too short.
    """
    from onnx import TensorProto

    graph = proto.graph
    constants = [a.t for node in graph.node for a in node.attribute if a.HasField("t")]
    files: dict[str, bytes] = {}
    for tensor in [*graph.initializer, *constants]:
        if tensor.data_location == TensorProto.EXTERNAL:
            _fill(path, tensor, files, most)
            tensor.ClearField("external_data")
            tensor.data_location = TensorProto.DEFAULT


def _fill(path: Path, tensor: Any, files: dict[str, bytes], most: int) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    where = f"{path}: tensor {tensor.name} is stored in another file ({location!r})"
    if location not in files:
        files[location] = _content(path, location, where, most)
    content = files[location]
    try:
        start = int(entries.get("offset", 0))
        size = int(entries.get("length", len(content) - start))
    except ValueError:
        raise UserError(f"{where} at no whole number; export the model again") from None
    if start < 0 or size < 0 or start + size > len(content):
        raise UserError(
            f"{where} at bytes {start} to {start + size}, but that has {len(content)}; copy both "
            "files of the same export"
        )
    tensor.raw_data = content[start : start + size]


def _content(path: Path, location: str, where: str, most: int) -> bytes:
    folder = path.resolve().parent
    try:
        file = (folder / location).resolve()
        status = file.stat() if file.is_relative_to(folder) else None
    except (OSError, ValueError, RuntimeError):  # missing, or no path at all
        raise UserError(
            f"{where}, which is not there; put it beside the model, or save the model as one file"
        ) from None
    if status is None:
        raise UserError(
            f"{where} outside of the model's folder, which is not followed; save the model as one "
            "file"
        )
    if not stat.S_ISREG(status.st_mode) or status.st_size > most:
        raise UserError(f"{where}, which is no file of at most {most} bytes; save the model as one")
    return read_bytes(file, most)
