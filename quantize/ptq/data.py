"""Calibration data: pictures in a folder, or arrays in a file, as the model reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ai8x_models.preprocess import grey_bytes, prepare, read_picture
from common.console import progress
from common.errors import UserError
from common.pictures import SUFFIXES
from quantize.ptq.net import Shape

MAX_VALUES = 1 << 28


@dataclass(frozen=True)
class Calibration:
    """Inputs [N, channels, rows, columns] float32, and the class of each where it is known."""

    inputs: np.ndarray
    labels: np.ndarray | None = None


def load(
    path: Path, shape: Shape, layout: str, count: int,
    span: tuple[float, float] | None = None, kind: str = "float32",
) -> Calibration:  # fmt: skip
    """Read calibration data.

    Args:
        path: ``.npy`` file with inputs as the model reads them (batch first), or a folder of
            pictures; sub-folders that hold pictures are classes, by name.
        shape: input of the network, [channels, rows, columns].
        layout: how the model wants it (see :class:`quantize.ptq.net.Net`).
        count: most inputs to use, evenly spread.
        span: what black and white are to the model, for pictures; None: the usual for its type.
        kind: type of the numbers that the model reads, as NumPy calls it.

    Raises:
        UserError: nothing there, another shape, NaN, or numbers out of any range.
    """
    if count < 1:
        raise UserError(f"{count} calibration inputs are too few; use at least 1")
    if path.is_dir():
        return _pictures(path, shape, count, span or usual_span(kind), np.dtype(kind).kind in "iu")
    if path.suffix != ".npy" or not path.is_file():
        raise UserError(
            f"{path}: calibration data is a folder of pictures or a .npy file of inputs; there is "
            "no such thing here"
        )
    return Calibration(_array(path, shape, layout, count))


def usual_span(kind: str) -> tuple[float, float]:
    """What black and white pictures are to a model by the type of its input."""
    if np.dtype(kind).kind not in "iu":
        return -1.0, 1.0
    return (-128.0, 127.0) if kind == "int8" else (0.0, 255.0)


def _array(path: Path, shape: Shape, layout: str, count: int) -> np.ndarray:
    try:
        data = np.load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError, TypeError, OverflowError, MemoryError) as error:
        raise UserError(
            f"{path}: not a readable .npy file of numbers; write it with numpy.save"
        ) from error
    wanted = described(shape, layout)
    if not isinstance(data, np.ndarray) or data.ndim < 1 or data.shape[1:] != wanted:
        found = "x".join(str(n) for n in np.shape(data)) or "one number"
        sizes = "x".join(str(n) for n in wanted)
        raise UserError(
            f"{path}: it holds {found}, but the model reads Nx{sizes}; save inputs of that shape, "
            "batch first"
        )
    if data.dtype.kind not in "iufb" or not len(data):
        raise UserError(f"{path}: it holds no numbers ({data.dtype}, {len(data)} inputs)")
    chosen = np.array(data[:: max(1, len(data) // count)][:count], np.float32)  # out of the map
    if not np.isfinite(chosen).all():
        bad = int(np.argmin(np.isfinite(chosen).reshape(len(chosen), -1).all(1)))
        raise UserError(f"{path}: input {bad} of those used holds NaN or infinity; remove it")
    if chosen.size > 1 and chosen.max() == chosen.min():
        raise UserError(
            f"{path}: every value is {chosen.min():g}, which says nothing about ranges; save "
            "inputs as the model meets them"
        )
    return arranged(chosen, shape, layout)


def described(shape: Shape, layout: str) -> tuple[int, ...]:
    """Dimensions of one input as the model wants it."""
    channels, rows, columns = shape
    return {
        "nchw": (channels, rows, columns), "nhwc": (rows, columns, channels),
        "ncl": (channels, rows), "nlc": (rows, channels), "nc": (channels,),
    }[layout]  # fmt: skip


def arranged(inputs: np.ndarray, shape: Shape, layout: str) -> np.ndarray:
    """Inputs of any layout as [N, channels, rows, columns]."""
    if layout == "nhwc":
        inputs = inputs.transpose(0, 3, 1, 2)
    if layout == "nlc":
        inputs = inputs.transpose(0, 2, 1)
    return np.ascontiguousarray(inputs).reshape(len(inputs), *shape)


def given(inputs: np.ndarray, shape: Shape, layout: str) -> np.ndarray:
    """The inverse of :func:`arranged`."""
    if layout == "nhwc":
        return np.ascontiguousarray(inputs.transpose(0, 2, 3, 1))
    if layout == "nlc":
        return np.ascontiguousarray(inputs[..., 0].transpose(0, 2, 1))
    return inputs.reshape(len(inputs), *described(shape, layout))


def _pictures(
    folder: Path, shape: Shape, count: int, span: tuple[float, float], whole: bool
) -> Calibration:
    channels, rows, columns = shape
    if channels not in (1, 3) or rows != columns:
        raise UserError(
            f"the network reads {channels}x{rows}x{columns}, which pictures cannot give (3 "
            "channels, or 1 grey, and a square); save inputs as .npy instead"
        )
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"{folder} holds no pictures ({', '.join(SUFFIXES)}); name another folder")
    chosen = paths[:: max(1, len(paths) // count)][:count]
    reading = progress(chosen, title="reading", unit="picture")
    fitted = [prepare(read_picture(path), rows) for path in reading]
    bytes_ = np.stack([f.data if channels == 3 else grey_bytes(f.pixels) for f in fitted])
    low, high = span
    if not (np.isfinite(span).all() and high > low):
        raise UserError(f"--input-range {low} {high}: black must be less than white")
    real = (bytes_.astype(np.float32) + 128) / 255 * (high - low) + low
    if span == (-1.0, 1.0):
        real = bytes_.astype(np.float32) / 128  # (pixel - 128) / 128, as everywhere here
    if whole and high - low == 255:
        real = np.rint(real)
    return Calibration(real.reshape(len(real), *shape), _classes(folder, paths, chosen))


def _classes(folder: Path, paths: list[Path], chosen: list[Path]) -> np.ndarray | None:
    names = sorted({p.relative_to(folder).parts[0] for p in paths if p.parent != folder})
    if len(names) < 2 or any(p.parent == folder for p in paths):
        return None
    return np.array([names.index(p.relative_to(folder).parts[0]) for p in chosen])
