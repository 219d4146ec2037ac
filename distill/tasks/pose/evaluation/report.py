"""What an evaluation shows: tables, and pictures of the best and the worst cases."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from ai8x_models.overlay import draw_people, write_picture
from distill.people.crops import Augmentation, CropDataset
from distill.people.metrics import relative_errors, torso_lengths
from distill.people.person_sets import PersonSource
from distill.tasks.pose.evaluation.evaluate import CropResult, evaluate_crops, load_any
from distill.tasks.pose.evaluation.published import Published
from distill.tasks.pose.evaluation.whole import evaluate_files, names, whole_table

CASES = 8  # best and worst, each
_ZOOM = 2
_COLUMNS = 4


def _percent(value: float) -> str:
    """A share as a percentage with one decimal, a dash when there is none."""
    return "-" if np.isnan(value) or value < 0 else f"{100 * value:.1f}"


def crop_table(results: dict[str, CropResult]) -> str:
    """Markdown: a row per network, PCK overall and per joint in percent, peaks, speed."""
    scores = {name: result.pck() for name, result in results.items()}
    joints = list(next(iter(scores.values())).per_joint)
    lines = [
        "| network | PCK@0.2 | PCKh-style@0.5 | peak, right | peak, wrong | images/s | "
        + " | ".join(joints)
        + " |",
        "|---|---:|---:|---:|---:|---:|" + "---:|" * len(joints),
    ]
    for name, score in scores.items():
        values = [_percent(score.per_joint[joint]) for joint in joints]
        right, wrong = results[name].peaks()
        lines.append(
            f"| {name} | **{100 * score.overall:.2f}** | {_percent(results[name].pckh().overall)} "
            f"| {_percent(right)} | {_percent(wrong)} | {results[name].rate:.0f} | "
            + " | ".join(values)
            + " |"
        )
    return "\n".join(lines)


def case_sheet(
    people: PersonSource, result: CropResult, size: int, cases: int = CASES
) -> np.ndarray:
    """The best cases in the upper half, the worst in the lower; uint8 [h, w, 3] RGB.

    Every case is the crop with the pose found and, to its right, the annotated one. The caption is
    the share of correct points.
    """
    order = result.order()
    columns = min(_COLUMNS, cases, len(order))
    count = min(cases, len(order)) // columns * columns
    crops = CropDataset(people, size, Augmentation())
    errors = relative_errors(result.found, result.truth, torso_lengths(result.truth))
    rows = []
    for indices in (order[:count], order[::-1][:count]):
        tiles = []
        for index in indices:
            pixels = crops[int(index)]["image"].numpy().transpose(1, 2, 0)
            labelled = result.truth[index, :, 2] > 0
            found = np.where(labelled[:, None], result.found[index], 0)
            found[labelled, 2] = 1
            share = float((errors[index][labelled] <= 0.2).mean())
            tiles.append(_tile(pixels, (found, result.truth[index]), f"{100 * share:.0f} %"))
        rows += [np.hstack(tiles[at : at + columns]) for at in range(0, count, columns)]
    return np.vstack(rows)


def _tile(pixels: np.ndarray, poses: tuple[np.ndarray, ...], caption: str) -> np.ndarray:
    """Enlarged copies of a crop side by side, each with one pose."""
    large = cv2.resize(pixels, None, fx=_ZOOM, fy=_ZOOM, interpolation=cv2.INTER_LINEAR)
    drawn = []
    for pose in poses:
        points = pose.copy()
        points[:, :2] = (points[:, :2] + 0.5) * _ZOOM - 0.5
        drawn.append(draw_people(np.asarray(large, np.uint8), [points], thickness=2))
    cv2.putText(
        drawn[0], caption, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA
    )
    return np.hstack(drawn)


def evaluate_on_crops(
    paths: list[Path], people: PersonSource, size: int, flip: bool, pictures: Path | None
) -> str:
    """Table of several checkpoints.

    ``flip`` adds a second row each, but for published networks; ``pictures`` names a folder for
    sheets of cases.
    """
    results = {}
    networks = [load_any(path) for path in paths]  # all, before minutes go into the first
    for path, name, network in zip(paths, names(paths), networks, strict=True):
        results[name] = evaluate_crops(network, people, size)
        if flip and not isinstance(network, Published):
            results[f"{name}, flip test"] = evaluate_crops(network, people, size, flip=True)
        if pictures is not None and results[name].order().size:
            pictures.mkdir(parents=True, exist_ok=True)
            stem = re.sub(r"[^\w.-]+", "-", name.removesuffix(path.name).strip("/"))
            stem = f"{stem}-{path.name.split('.')[0]}"
            write_picture(pictures / f"{stem}.png", case_sheet(people, results[name], size))
    score = next(iter(results.values())).pck()
    counts = f"{score.people} people, {score.points} points"
    if score.skipped:
        counts += f"; {score.skipped} more people have no torso to measure with"
    if people.skipped:
        counts += f"; left out: {people.skipped}"
    return f"{crop_table(results)}\n\n{counts}"


def evaluate_on_pictures(
    paths: list[Path], annotations: Path, images: Path, size: int, flip: bool, limit: int | None
) -> str:
    """The table of several checkpoints, and what was left out."""
    results, content = evaluate_files(paths, annotations, images, size, flip, limit)
    left = f"\n\nleft out: {content.skipped}" if content.skipped else ""
    return whole_table(results) + left
