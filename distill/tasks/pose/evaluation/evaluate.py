"""How good checkpoints are, as a table: teachers and students, float, qat or integer.

Two measurements. *Crops*: one person each, cut out as in training but without random changes;
PCK. *Pictures*: whole pictures through the deployment path (resize, pad with grey) and the
decoder for any number of people; OKS average precision.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ai8x_models.codec import NUM_HEATMAPS, flip_maps
from ai8x_models.decode import decode_single
from ai8x_models.skeleton import LSP14_TO_18
from ai8x_models.students import Student
from common.console import progress
from common.errors import UserError
from distill.people.annotation_checks import area_of
from distill.people.annotations import KeypointFile
from distill.people.crops import CROP_FACTOR, Augmentation, CropDataset, person_box, to_input
from distill.people.metrics import Pck, pck, relative_errors, torso_lengths
from distill.people.person_sets import GREY, PersonSource
from distill.tasks.pose.evaluation.published import FAMILIES, Published, published
from distill.tasks.pose.teacher_maps import TeacherNetwork, load_pose_student, teacher_of
from distill.tasks.pose.teachers.openpose import read_teacher_file

Network = Student | TeacherNetwork

_NECK14, _HEAD_TOP14 = 12, 13  # places in the 14-point order


def load_any(path: Path) -> Network | Published:
    """As :func:`load_network`, or a network of other people (see :mod:`.published`)."""
    found = published(path)
    if found is not None:
        return found
    try:
        return load_network(path)
    except UserError as error:
        if path.suffix.lower() != ".onnx":
            raise
        known = "; ".join(f"{family.name}: {family.form}" for family in FAMILIES)
        raise UserError(f"{error}; nor is it one of those that label, {known}") from None


def load_network(path: Path) -> Network:
    """A student of this task in the mode it was saved with, or a teacher, ready for evaluation.

    Raises:
        UserError: unreadable, or of another task.
    """
    data = read_teacher_file(path)
    teacher = teacher_of(data, path)
    if teacher is not None:
        return teacher
    return load_pose_student(path).eval()


@torch.no_grad()
def predict(network: Network, image: torch.Tensor, flip: bool = False) -> np.ndarray:
    """Real-valued maps float32 [n, 57, h, w] of uint8 images [n, 3, H, W].

    With ``flip`` the maps of the mirrored images are averaged in, at twice the cost.
    """
    integer = isinstance(network, Student) and network.mode == "integer"
    x = image.float() - GREY if integer else to_input(image)
    maps = torch.cat([m.float() for m in network.maps(x)], dim=1).numpy()
    if flip:
        mirrored = predict(network, image.flip(-1))
        back = flip_maps(mirrored[:, :NUM_HEATMAPS], mirrored[:, NUM_HEATMAPS:])
        maps = (maps + np.concatenate(back, axis=1)) / 2
    return maps


def evaluation_images(
    dataset: CropDataset, batch: int
) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
    """uint8 images [n, 3, size, size] and the cropped person's keypoints [n, 18, 3]."""
    for first in progress(range(0, len(dataset), batch), title="crops", unit="batch"):
        items = [dataset[i] for i in range(first, min(first + batch, len(dataset)))]
        truth = np.stack([item["target_person"].numpy() for item in items])
        yield torch.stack([item["image"] for item in items]), truth


@dataclass(frozen=True, eq=False)
class CropResult:
    """Poses found in evaluation crops.

    Attributes:
        found: float32 [n, 18, 3] in crop pixels, third value the peak's height.
        truth: float32 [n, 18, 3].
        heads: float64 [n], neck to head top in crop pixels; NaN where not annotated.
        rate: images per second of the network and the decoder.
    """

    found: np.ndarray
    truth: np.ndarray
    heads: np.ndarray
    rate: float

    def pck(self) -> Pck:
        """PCK@0.2 of the torso."""
        return pck(self.found, self.truth)

    def pckh(self) -> Pck:
        """PCKh-style: 0.5 of the distance from neck to head top."""
        return pck(self.found, self.truth, 0.5, self.heads)

    def peaks(self) -> tuple[float, float]:
        """Mean height of the peaks of right points and of wrong ones (PCK@0.2); NaN without any.

        Where they differ, the maps know their doubts, and a student can learn them.
        """
        errors = relative_errors(self.found, self.truth, torso_lengths(self.truth))
        height = np.asarray(self.found, np.float64)[..., 2]
        kinds = (errors <= 0.2, errors > 0.2)
        means = [float(height[kind].mean()) if kind.any() else float("nan") for kind in kinds]
        return means[0], means[1]

    def order(self) -> np.ndarray:
        """Indices of people with a torso, the best found first: by PCK@0.2, then mean error."""
        errors = relative_errors(self.found, self.truth, torso_lengths(self.truth))
        counted = np.flatnonzero((~np.isnan(errors)).any(axis=1))
        wrong = np.nanmean(np.where(np.isnan(errors), np.nan, errors > 0.2)[counted], axis=1)
        mean = np.nanmean(errors[counted], axis=1)
        return np.asarray(counted[np.lexsort((mean, wrong))])


def head_lengths(people: PersonSource, size: int) -> np.ndarray:
    """Neck to head top in evaluation crops of ``size`` pixels, [n]; NaN where not annotated."""
    lengths = np.full(len(people.people), np.nan)
    for index, person in enumerate(people.people):
        points = np.asarray(person.annotation.get("keypoints", ()), np.float64).reshape(-1, 3)
        if len(points) == len(LSP14_TO_18) and (points[[_NECK14, _HEAD_TOP14], 2] > 0).all():
            head = np.linalg.norm(points[_NECK14, :2] - points[_HEAD_TOP14, :2])
            extent = person_box(person.keypoints)[2]
            scale = people.pictures[person.picture].scale
            lengths[index] = head * scale * size / max(CROP_FACTOR * extent, 1.0)
    return lengths


def _poses(network: Network | Published, image: torch.Tensor, flip: bool) -> list[np.ndarray]:
    """The one person, float32 [18, 3], of each of uint8 [n, 3, size, size]."""
    if isinstance(network, Published):
        return [network.points(crop) for crop in image.permute(0, 2, 3, 1).numpy()]
    answers = predict(network, image, flip)
    stride = image.shape[-1] // answers.shape[-1]
    return [decode_single(maps[:NUM_HEATMAPS], stride) for maps in answers]


def evaluate_crops(
    network: Network | Published,
    people: PersonSource,
    size: int = 128,
    flip: bool = False,
    batch: int = 50,
) -> CropResult:
    """Find the one person of every evaluation crop."""
    if isinstance(network, torch.nn.Module):
        network.eval()
    found, truth, seconds = [], [], 0.0
    for image, points in evaluation_images(CropDataset(people, size, Augmentation()), batch):
        start = time.perf_counter()
        found += _poses(network, image, flip)
        seconds += time.perf_counter() - start
        truth += list(points)
    rate = len(found) / max(seconds, 1e-9)
    return CropResult(np.stack(found), np.stack(truth), head_lengths(people, size), rate)


def evaluate_pck(
    network: Network, people: PersonSource, size: int = 128, flip: bool = False, batch: int = 50
) -> Pck:
    """PCK@0.2 of one network on evaluation crops."""
    return evaluate_crops(network, people, size, flip, batch).pck()


def _unknown(box: list[float], image: int, content: KeypointFile, number: int) -> dict[str, Any]:
    """A region in which nothing that is found counts, as pycocotools needs it."""
    return {
        "id": number, "image_id": image, "category_id": content.category or 1, "bbox": box,
        "area": max(box[2] * box[3], 1.0), "iscrowd": 1, "num_keypoints": 0,
        "keypoints": [0] * 3 * content.joints,
    }  # fmt: skip


def ground_truth(content: KeypointFile, images: list[dict[str, Any]]) -> dict[str, Any]:
    """The annotations of some pictures as pycocotools needs them.

    The head top of the 14-point order is unmarked: networks of 18 points do not have it.
    """
    annotations: list[dict[str, Any]] = []
    for image in images:
        for annotation in content.annotations_of(image):
            points = np.array(annotation["keypoints"], np.float64).reshape(-1, 3)
            if content.joints == len(LSP14_TO_18):
                points[_HEAD_TOP14] = 0
            count = int((points[:, 2] > 0).sum())
            fields = {
                "id": len(annotations) + 1,
                "category_id": content.category or 1,
                "keypoints": list(points.reshape(-1)),
                "num_keypoints": count if annotation.get("num_keypoints", 1) else 0,
                "iscrowd": int(bool(annotation.get("iscrowd"))),
                "area": area_of(annotation),
            }
            annotations.append({**annotation, **fields})
        for box in content.left_out_of(image):
            annotations.append(_unknown(box, image["id"], content, len(annotations) + 1))
    categories = [{"id": content.category or 1, "name": "person", "keypoints": content.names}]
    return {"images": images, "annotations": annotations, "categories": categories}
