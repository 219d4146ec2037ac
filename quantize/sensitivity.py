"""What a weight width costs in each layer: the error it adds to the network's outputs.

One layer at a time is quantised, at its best shift, while all others stay as trained; the squared
difference of the output maps to those of the float student is the cost. Costs of several layers
add up well enough to choose by (errors of different layers are hardly correlated), and the choice
is made by :func:`synthesize.place.bits.allocate` under the chip's real memory.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ai8x_models.preprocess import grey_bytes, prepare, read_picture
from ai8x_models.students import INPUT, Student, inputs_of
from common.console import progress as bar
from common.errors import UserError
from common.pictures import SUFFIXES
from quantize.calibrate import BITS, choose_shift, real_output


@torch.no_grad()
def sensitivity(
    student: Student,
    images: Tensor,
    widths: Iterable[int] = BITS,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, dict[int, float]]:
    """Measure the cost of every width in every layer.

    Args:
        student: folded student in float mode; it is not changed.
        images: float32 [N, C, H, W], (pixel - 128) / 128.
        widths: widths to measure, of 1, 2, 4 and 8 bits.
        progress: called with the name of every layer before it is measured.

    Returns:
        By layer and width: mean squared error over all elements of all output maps.

    Raises:
        UserError: the student still has batch norm or is quantised already.
    """
    if student.mode != "float" or any(layer.bn is not None for _, layer in student.layers()):
        raise UserError("sensitivity needs a float student with folded batch norm; fold it first")
    student.eval()
    exact = {INPUT: images}
    for spec, layer in student.steps():
        exact[spec.name] = layer(*inputs_of(spec, exact))
    costs: dict[str, dict[int, float]] = {}
    for spec, layer in student.layers():
        progress(spec.name)
        costs[spec.name] = {}
        for bits in widths:
            changed = copy.deepcopy(layer)
            inputs = inputs_of(spec, exact)
            name = spec.name
            choose_shift((name,), {name: changed}, {name: bits}, {name: inputs}, exact)
            values = _propagate(student, exact, name, real_output(changed, *inputs))
            costs[name][bits] = _difference(student, exact, values)
    return costs


def _propagate(
    student: Student, exact: Mapping[str, Tensor], start: str, value: Tensor
) -> dict[str, Tensor]:
    """Recompute what depends on a changed layer; everything else is as it was."""
    values = {start: value}
    for spec, layer in student.steps():
        if spec.name != start and not values.keys().isdisjoint(spec.sources):
            values[spec.name] = layer(*inputs_of(spec, {**exact, **values}))
    return values


def _difference(
    student: Student, exact: Mapping[str, Tensor], values: Mapping[str, Tensor]
) -> float:
    total, count = 0.0, 0
    for name in student.spec.outputs:
        count += exact[name].numel()
        if name in values:
            total += float((values[name].double() - exact[name].double()).square().sum())
    return total / count


def calibration_images(folder: Path, count: int, size: int, channels: int = 3) -> Tensor:
    """Read pictures as the network will see them, evenly spread over a folder.

    Args:
        folder: holds JPEG, PNG or WebP files, searched in sub-folders as well.
        count: most pictures to use.
        size: side of the network's input in pixels.
        channels: 3 for colour, 1 for grey.

    Returns:
        float32 [N, channels, size, size], (pixel - 128) / 128.

    Raises:
        UserError: there are no pictures, one cannot be read, or the network sees none.
    """
    if channels not in (1, 3):
        raise UserError(f"the student's input has {channels} channels; pictures have 3, or 1 grey")
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; name one with pictures")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"{folder} holds no pictures ({', '.join(SUFFIXES)}); name another folder")
    if count < 1:
        raise UserError(f"{count} calibration pictures are too few; use at least 1")
    chosen = paths[:: max(1, len(paths) // count)][:count]
    reading = bar(chosen, title="reading", unit="picture")
    fitted = [prepare(read_picture(path), size) for path in reading]
    data = [one.data if channels == 3 else grey_bytes(one.pixels) for one in fitted]
    return torch.from_numpy(np.stack(data)).float() / 128
