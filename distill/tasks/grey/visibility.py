"""What a peak says about a point: the probability that it is visible, fitted and put to the test.

People are looked at in random crops, some too tight to hold them, so that points lie outside.
Visible means marked by the annotators and inside the crop; a point that a set leaves unmarked is
hidden or unknown, as :class:`distill.tasks.grey.data.GreyCrops` says. Never fit on people that the
student is judged on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

from ai8x_models import point_maps
from ai8x_models.point_maps import PointMaps
from ai8x_models.student_file import load_student, write_checkpoint
from ai8x_models.students import Student
from distill.people.crops import Augmentation
from distill.people.metrics import relative_errors, torso_lengths
from distill.tasks.grey.data import GreyCrops
from distill.tasks.grey.module import network_input, points_in, student_maps
from distill.tasks.grey.points import Points

VIEWS = Augmentation(scale=(0.6, 1.6), rotate=30.0, shift=0.15, flip=0.5)
BATCH = 50
BINS = 5
RIGHT = 0.2  # of the torso
_STEPS = 50


@dataclass(frozen=True, eq=False)
class Peaks:
    """Points of many crops.

    Attributes:
        peaks: highest value of each map, 0 to 127/128, [n].
        visible: whether it is, bool [n].
        right: 1 where it was found, 0 where not, NaN where nobody can say, [n].
    """

    peaks: np.ndarray
    visible: np.ndarray
    right: np.ndarray


def gather(student: Student, parts: Sequence[GreyCrops], settings: PointMaps) -> Peaks:
    """Look at every person of some crops once, in a random view; the same ones every time."""
    peaks, visible, right = [], [], []
    for part in parts:
        views = GreyCrops(part.set, part.points, part.size, VIEWS, 0, part.chosen)
        for batch in DataLoader(views, BATCH):
            maps = student_maps(student, network_input(student, batch["image"]))
            truth, known = batch["points"].numpy(), batch["known"].numpy() > 0
            known |= truth[..., 2] > 0
            errors = _errors(points_in(maps, settings), truth, part.points)
            peaks.append(np.maximum(maps, 0).max(axis=(2, 3))[known] / point_maps.LEVELS)
            visible.append(truth[..., 2][known] > 0)
            right.append(np.where(np.isnan(errors), np.nan, errors <= RIGHT)[known])
    return Peaks(*(np.concatenate(one) for one in (peaks, visible, right)))


def _errors(found: np.ndarray, truth: np.ndarray, points: Points) -> np.ndarray:
    """Distances in torsos [n, K]; NaN where the point or the torso is not marked."""
    placed = points.spread(truth.astype(np.float64))
    errors = relative_errors(points.spread(found), placed, torso_lengths(placed))
    return np.asarray(errors[:, list(points.places)])


def fit(seen: Peaks) -> tuple[float, float]:
    """Slope and offset of the logistic function with the largest likelihood, by Newton's method."""
    inputs = np.stack([seen.peaks, np.ones_like(seen.peaks)], axis=1)
    weights = np.zeros(2)
    for _ in range(_STEPS):
        guess = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (seen.visible - guess) - 1e-3 * weights
        curve = (inputs * (guess * (1 - guess))[:, None]).T @ inputs + 1e-3 * np.eye(2)
        weights = weights + np.clip(np.linalg.solve(curve, slope), -2, 2)
    return float(np.clip(weights[0], 0, 64)), float(np.clip(weights[1], -64, 64))


def fit_file(path: Path, parts: Sequence[GreyCrops]) -> PointMaps:
    """Fit a student's visibility on crops and write it into its file; returns the settings."""
    student, data = load_student(path)
    usual = PointMaps(parts[0].points.places)
    slope, offset = fit(gather(student.eval(), parts, usual))
    found = replace(usual, slope=slope, offset=offset)
    extras = {**(data.get("extras") or {}), point_maps.KEY: found.plain()}
    write_checkpoint({**data, "extras": extras}, path)
    return found


def reliability(seen: Peaks, settings: PointMaps) -> str:
    """Markdown: what was said, how often it was so, how often the point was where it was said."""
    table = np.array(settings.visibility()) / 2**point_maps.SHIFT
    said = table[np.round(seen.peaks * point_maps.LEVELS).astype(int)]
    lines = ["| said | points | mean of what was said | visible | of these, found |",
             "|---|---:|---:|---:|---:|"]  # fmt: skip
    for low in range(BINS):
        inside = np.minimum((said * BINS).astype(int), BINS - 1) == low
        name = f"{100 * low // BINS} to {100 * (low + 1) // BINS} %"
        if not inside.any():
            lines.append(f"| {name} | 0 | - | - | - |")
            continue
        shown = seen.visible[inside]
        known = seen.right[inside]
        known = known[~np.isnan(known)]
        found = f"{100 * known.mean():.1f} %" if len(known) else "-"
        lines.append(
            f"| {name} | {inside.sum()} | {100 * said[inside].mean():.1f} % | "
            f"{100 * shown.mean():.1f} % | {found} |"
        )
    error = np.mean((said - seen.visible) ** 2)
    lines.append(f"\nBrier score {error:.4f} over {len(said)} points")
    return "\n".join(lines)


def load_settings(path: Path, data: dict[str, object], keypoints: PointMaps) -> PointMaps:
    """The settings that a checkpoint's content brings, or ``keypoints`` where it brings none."""
    extras = data.get("extras")
    found = point_maps.from_extras(extras if isinstance(extras, dict) else {}, str(path))
    return found or keypoints
