"""PCK of student checkpoints on the evaluation crops of a COCO-format set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ai8x_models.codec import flip_maps
from ai8x_models.decode import decode_single
from ai8x_models.students import Student
from distill.data import GREY, Augmentation, CropDataset, PeopleSet, PersonSource, to_input
from distill.metrics import Pck, pck


def evaluation_images(
    dataset: CropDataset, batch: int
) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
    """uint8 images [n, 3, size, size] and the cropped person's keypoints [n, 18, 3]."""
    for first in range(0, len(dataset), batch):
        items = [dataset[i] for i in range(first, min(first + batch, len(dataset)))]
        truth = np.stack([item["target_person"].numpy() for item in items])
        yield torch.stack([item["image"] for item in items]), truth


@torch.no_grad()
def predict(student: Student, image: torch.Tensor) -> np.ndarray:
    """Real-valued heatmaps float32 [n, 19, h, w] of uint8 images, in the student's mode."""
    x = image.float() - GREY if student.mode == "integer" else to_input(image)
    return student.maps(x)[0].float().numpy()


def evaluate_pck(
    student: Student, people: PersonSource, size: int = 128, flip: bool = False, batch: int = 50
) -> Pck:
    """PCK@0.2 of one student; with ``flip`` the maps of the mirrored picture are averaged in."""
    student.eval()
    found, truth = [], []
    for image, points in evaluation_images(CropDataset(people, size, Augmentation()), batch):
        maps = predict(student, image)
        if flip:
            mirrored = predict(student, image.flip(-1))
            nothing = np.zeros((len(maps), 38, *maps.shape[2:]), np.float32)
            maps = (maps + flip_maps(mirrored, nothing)[0]) / 2
        found += [decode_single(heatmaps) for heatmaps in maps]
        truth += list(points)
    return pck(np.stack(found), np.stack(truth))


def table(results: dict[str, Pck]) -> str:
    """Markdown table: a row per checkpoint, overall and per joint in percent."""
    joints = list(next(iter(results.values())).per_joint)
    lines = [
        "| student | PCK@0.2 | " + " | ".join(joints) + " |",
        "|---|---:|" + "---:|" * len(joints),
    ]
    for name, result in results.items():
        values = [f"{100 * result.per_joint[joint]:.1f}" for joint in joints]
        lines.append(f"| {name} | **{100 * result.overall:.2f}** | " + " | ".join(values) + " |")
    return "\n".join(lines)


def evaluate_files(
    paths: list[Path], annotations: Path, images: Path, limit: int | None, flip: bool
) -> str:
    """Table of several checkpoints on one set."""
    from ai8x_models.checkpoints import load_student

    people = PeopleSet(annotations, images, limit)
    results = {}
    for path in paths:
        student, _ = load_student(path)
        results[f"{path.parent.name}/{path.name}"] = evaluate_pck(student, people, flip=flip)
    return table(results) + f"\n\n{len(people.people)} people of {annotations.name}"
