"""Writes each layer's input and output as .npy, and finds where two such dumps part."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.files import write_file
from common.incoming import read_array
from evalkit.hardware.cnn.engine import Result
from evalkit.hardware.cnn.plan import Layer


class LayerDump:
    """Observer of the accelerator that writes ``layerNN_in.npy`` and ``layerNN_out.npy``.

    Inputs are int8 [channel, row, column] ([channel, operand, row, column] with more than one
    operand) before pooling, outputs int8 or int32 [channel, row, column]. From the second run on
    the files go into ``run1``, ``run2``, ...

    Raises:
        UserError: the folder is a file, or (later) a file cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        if directory.exists() and not directory.is_dir():
            raise UserError(f"{directory} is a file; name a folder for the layers")
        self.directory = directory
        self.run = -1
        self.seen = -1

    def __call__(self, layer: Layer, result: Result) -> None:
        """Write one layer."""
        if layer.number <= self.seen or self.run < 0:
            self.run += 1
        self.seen = layer.number
        folder = self.directory if self.run == 0 else self.directory / f"run{self.run}"
        inputs = result.inputs if layer.operands > 1 else result.inputs[:, 0]
        for side, array in (("in", inputs), ("out", result.outputs)):
            content = io.BytesIO()
            np.save(content, array)
            write_file(folder / f"layer{layer.number:02d}_{side}.npy", content.getvalue())


def compare_dumps(first: Path, second: Path) -> str | None:
    """Where two dumps part first: layer, channel and pixel; ``None`` if they are equal.

    Raises:
        UserError: a folder that holds no dump.
    """
    here, there = _files(first), _files(second)
    for name in sorted(here.keys() | there.keys(), key=_order):
        if name not in here or name not in there:
            return f"{_title(name)} is only in {first if name in here else second}"
        difference = _first_difference(_load(here[name]), _load(there[name]))
        if difference:
            return f"{_title(name)}: {difference}"
    return None


def _load(path: Path) -> np.ndarray:
    try:
        return read_array(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a dump of a layer ({error}); write it again") from None


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give one that --dump-layers has written")
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("layer*_*.npy")}
    if not found:
        raise UserError(
            f"{folder} holds no layerNN_in.npy; give one that --dump-layers has written"
        )
    return found


def _order(name: str) -> tuple[int, str]:
    folder, _, file = name.rpartition("/")
    return (int(folder.removeprefix("run") or 0), file)


def _title(name: str) -> str:
    folder, _, file = name.rpartition("/")
    layer, _, side = file.removesuffix(".npy").partition("_")
    run = f"run {folder.removeprefix('run')}, " if folder else ""
    return f"{run}layer {int(layer.removeprefix('layer'))} {side}put"


def _first_difference(a: np.ndarray, b: np.ndarray) -> str | None:
    if a.shape != b.shape:
        return f"shapes {list(a.shape)} and {list(b.shape)}"
    wrong = np.argwhere(a != b)
    if not len(wrong):
        return None
    at = tuple(int(i) for i in wrong[0])
    names = ("channel", "operand", "row", "column") if a.ndim == 4 else ("channel", "row", "column")
    place = ", ".join(f"{n} {i}" for n, i in zip(names, at, strict=True))
    return f"{place}: {a[at]} and {b[at]} ({len(wrong)} of {a.size} values differ)"
