"""What the firmware computed, beside what the integer student computes here.

``python -m distill crops`` writes evaluation crops as pictures, ``python -m evalkit maps`` shows
them to the firmware, and ``python -m distill kit`` compares the maps that came back with the
student's, word for word, and counts both PCKs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ai8x_models.codec import NUM_HEATMAPS
from ai8x_models.decode import decode_single
from ai8x_models.maps import read_maps as read_file
from ai8x_models.overlay import write_picture
from ai8x_models.students import Student
from common.console import progress
from common.errors import UserError
from distill.people.crops import Augmentation, CropDataset
from distill.people.metrics import Pck, pck
from distill.people.person_sets import GREY, PersonSource
from distill.tasks.pose.evaluation.evaluate import load_network


def write_crops(people: PersonSource, size: int, count: int, folder: Path) -> int:
    """Write evenly spaced evaluation crops as ``NUMBER.png``; returns how many there are.

    NUMBER is the person's place in the set.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    crops = CropDataset(people, size, Augmentation())
    count = min(count, len(crops))
    if count < 1:
        raise UserError("no crops were asked for; give --count at least 1")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise UserError(f"cannot use folder {folder}: {error.strerror or error}") from None
    if others:
        raise UserError(f"{folder} is not empty; name another folder or empty it")
    chosen = np.linspace(0, len(crops) - 1, count).round().astype(int)
    for index in progress(chosen, title="crops", unit="crop"):
        pixels = crops[int(index)]["image"].numpy().transpose(1, 2, 0)
        write_picture(folder / f"{index:06d}.png", np.ascontiguousarray(pixels))
    return count


def read_maps(path: Path, people: int) -> tuple[list[int], list[np.ndarray]]:
    """Places in the set, and int32 [n, channels, h, w] of every output.

    Raises:
        UserError: no such file, or not one of ``evalkit maps`` for crops of a set of that size.
    """
    stored = read_file(path)
    outputs = stored.outputs
    try:
        places = [int(name.split(".")[0]) for name in stored.names]
    except ValueError as error:
        raise UserError(f"{path} holds no maps of crops: {error}") from None
    if not places or max(places) >= people or min(places) < 0:
        raise UserError(f"{path} is of another set: it has crops that are not among {people}")
    if not outputs or any(maps.shape[0] != len(places) or maps.ndim != 4 for maps in outputs):
        raise UserError(f"{path} does not hold maps of every crop; make it again")
    return places, outputs


def compare_maps(checkpoint: Path, maps: Path, people: PersonSource, size: int) -> tuple[str, bool]:
    """Table (Markdown) of both PCKs, and whether all maps are equal.

    Raises:
        UserError: not an integer student, or maps of another network or set.
    """
    student = load_network(checkpoint)
    if not isinstance(student, Student) or student.mode != "integer":
        raise UserError(f"{checkpoint} is no integer student; the firmware runs on integers")
    places, firmware = read_maps(maps, len(people.people))
    crops = CropDataset(people, size, Augmentation())
    items = [crops[place] for place in progress(places, title="crops", unit="crop")]
    ours = _integers(student, torch.stack([item["image"] for item in items]))
    if [a.shape for a in ours] != [b.shape for b in firmware]:
        raise UserError(f"{maps} is of another network than {checkpoint.name}")
    truth = np.stack([item["target_person"].numpy() for item in items])
    equal = np.ones(len(places), bool)
    for own, other in zip(ours, firmware, strict=True):
        equal &= (own == other).all(axis=(1, 2, 3))
    rows = [("integer student, here", ours[0]), ("firmware", firmware[0])]
    lines = ["| maps of | PCK@0.2 |", "|---|---:|"]
    lines += [f"| {name} | {100 * _score(heat, truth, size).overall:.2f} |" for name, heat in rows]
    lines += ["", f"{int(equal.sum())} of {len(places)} crops: all maps equal, word for word"]
    return "\n".join(lines), bool(equal.all())


def _integers(student: Student, images: torch.Tensor) -> list[np.ndarray]:
    """The student's integers for uint8 images [n, 3, h, w]."""
    batches = []
    with torch.no_grad():
        for batch in progress(images.split(25), title="integer student", unit="batch"):
            batches.append([out.numpy() for out in student(batch.double() - GREY)])
    return [np.concatenate(parts).astype(np.int32) for parts in zip(*batches, strict=True)]


def _score(heat: np.ndarray, truth: np.ndarray, size: int) -> Pck:
    """PCK@0.2 of heatmaps [n, 19 or more, h, w] in any unit, of inputs of ``size`` pixels."""
    stride = size // heat.shape[-1]
    found = [decode_single(maps[:NUM_HEATMAPS].astype(np.float32), stride) for maps in heat]
    return pck(np.stack(found), truth)
