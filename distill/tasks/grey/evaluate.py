"""Detectors and students side by side on the same people: OKS average precision and PCK."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ai8x_models import point_maps
from ai8x_models.point_maps import PointMaps
from ai8x_models.student_file import load_student, read_checkpoint
from ai8x_models.students import Student
from common.arguments import Parser, whole
from common.console import progress
from common.errors import UserError
from distill.engine.recipe import load_recipe
from distill.people.crops import Augmentation, to_input, transform_points
from distill.tasks.grey.data import GreyCrops, GreyData, open_grey, pixels_of
from distill.tasks.grey.detectors import Detector, parameters
from distill.tasks.grey.metrics import grey_oks, grey_pck
from distill.tasks.grey.module import network_input, points_in, student_maps, usual_points
from distill.tasks.grey.points import Points, points_of
from distill.tasks.grey.recipe import GreyRecipe
from distill.tasks.grey.train import ARCH, detector_from, keypoints_of
from distill.tasks.grey.visibility import gather, reliability

BATCH = 50
Network = Detector | Student

RECIPE = Path(__file__).parent / "recipes" / "grey.yaml"


@dataclass(frozen=True)
class Entry:
    """A network to compare: its name in the table, what it sees and how many points it finds.

    ``settings`` say how a student's maps are read; a detector has none.
    """

    name: str
    network: Network
    size: int
    keypoints: int
    settings: PointMaps | None = None


def load_entry(path: Path) -> Entry:
    """A detector, or a student in the mode it was saved with.

    Raises:
        UserError: unreadable, or of another task.
    """
    name = "/".join(path.parts[-2:])
    data = read_checkpoint(path)
    if data.get("arch") == ARCH:
        network = detector_from(data, path)
        return Entry(name, network, network.size, network.keypoints)
    student, _ = load_student(path)
    keypoints = keypoints_of(student, path)
    settings = point_maps.from_extras(data.get("extras") or {}, str(path))
    rows = student.spec.input_shape[1]
    return Entry(name, student.eval(), rows, keypoints, settings or usual_points(keypoints))


@torch.no_grad()
def predict(
    network: Network, images: torch.Tensor, settings: PointMaps | None = None
) -> np.ndarray:
    """Points [n, K, 3], fractions, of uint8 images [n, 1, size, size]."""
    if isinstance(network, Detector):
        return np.asarray(network(to_input(images)).float().numpy())
    maps = student_maps(network, network_input(network, images))
    return points_in(maps, settings or usual_points(maps.shape[1]))


def ground_truth(crops: GreyCrops) -> tuple[np.ndarray, np.ndarray]:
    """Points float64 [n, K, 3] in crop pixels and areas [n] in square crop pixels, 0 if unknown."""
    points, areas = [], []
    for index, number in enumerate(crops.chosen):
        person = crops.set.people[number]
        matrix = crops.evaluation(index)[1]
        points.append(crops.points.take(transform_points(person.keypoints, matrix)))
        picture = crops.set.pictures[person.picture]
        zoom = float(np.abs(np.linalg.det(matrix[:, :2]))) * picture.scale**2
        areas.append(float(person.annotation.get("area", 0.0)) * zoom)
    return np.stack(points).astype(np.float64), np.array(areas)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    size: str
    oks: dict[str, float]
    pck: float
    per_joint: dict[str, float]
    rate: float


def _row(
    name: str, size: str, found: np.ndarray, truth: np.ndarray, areas: np.ndarray, points: Points,
    rate: float = float("nan"),
) -> Row:  # fmt: skip
    score = grey_pck(found, truth, points)
    oks = grey_oks(found, truth, list(areas), points)
    return Row(name, size, oks, score.overall, dict(score.per_joint), rate)


def evaluate(entries: list[Entry], parts: dict[tuple[int, int], list[GreyCrops]]) -> list[Row]:
    """A row per network, and one for the best constant answer: the mean pose of these people.

    ``parts`` holds the crops by (size, number of points).
    """
    rows: list[Row] = []
    done: set[int] = set()
    for entry in entries:
        crops = parts[entry.size, entry.keypoints]
        points = points_of(entry.keypoints)
        pairs = [ground_truth(part) for part in crops]
        truth, areas = (np.concatenate(values) for values in zip(*pairs, strict=True))
        if entry.keypoints not in done:
            done.add(entry.keypoints)
            mean = _mean_pose(truth)
            rows.append(
                _row(f"mean pose, {len(mean)} points", "-", mean[None].repeat(len(truth), 0),
                     truth, areas, points)
            )  # fmt: skip
        found, seconds = [], 0.0
        for part in crops:
            batches = progress(part.batches(BATCH), title=entry.name,
                               total=-(-len(part) // BATCH), unit="batch")  # fmt: skip
            for images, _ in batches:
                start = time.perf_counter()
                found.append(predict(entry.network, images, entry.settings))
                seconds += time.perf_counter() - start
        placed = pixels_of(np.concatenate(found), entry.size)
        rate = len(placed) / max(seconds, 1e-9)
        size = f"{parameters(entry.network):,}"
        rows.append(_row(entry.name, size, placed, truth, areas, points, rate))
    return rows


def _mean_pose(truth: np.ndarray) -> np.ndarray:
    """Mean [K, 3] of the marked points."""
    weight = (truth[..., 2:] > 0).astype(np.float64)
    mean = (truth * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1)
    return np.asarray(mean)


def table(rows: list[Row]) -> str:
    """Markdown, scores in percent."""
    joints = list(rows[0].per_joint)
    lines = [
        "| network | parameters | OKS AP | AP50 | AP75 | PCK@0.2 | images/s | "
        + " | ".join(joints) + " |",
        "|---|" + "---:|" * (6 + len(joints)),
    ]  # fmt: skip
    for row in rows:
        values = [f"{100 * row.oks[key]:.2f}" for key in ("AP", "AP50", "AP75")]
        values.append(f"**{100 * row.pck:.2f}**")
        values.append("-" if np.isnan(row.rate) else f"{row.rate:.0f}")
        values += [f"{100 * row.per_joint.get(joint, float('nan')):.1f}" for joint in joints]
        lines.append(f"| {row.name} | {row.size} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def open_parts(
    entries: list[Entry], recipe: GreyRecipe, validation: bool, limit: int | None
) -> dict[tuple[int, int], list[GreyCrops]]:
    """The recipe's test people (or its validation people) as every network wants them.

    Raises:
        UserError: the recipe names no test set.
    """
    if not recipe.test and not validation:
        raise UserError("the recipe names no data set under 'test'; name one, or use --validation")
    parts: dict[tuple[int, int], list[GreyCrops]] = {}
    if validation:
        data = GreyData(recipe)
        data.setup("fit")
        sources = [(crops.set, crops.chosen) for crops in data.validation]
    else:
        people = [open_grey(config, recipe.seed + 2) for config in recipe.test]
        sources = [(one, list(range(len(one.people)))) for one in people]
    for entry in entries:
        parts[entry.size, entry.keypoints] = [
            GreyCrops(
                one, points_of(entry.keypoints), entry.size, Augmentation(), 0, chosen[:limit]
            )
            for one, chosen in sources
        ]
    return parts


def main(arguments: list[str]) -> int:
    """Print the table."""
    parser = Parser(prog="python -m distill grey eval", description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="detectors or students")
    parser.add_argument(
        "--config", type=Path, default=RECIPE, help="recipe that names the test set"
    )
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", dest="overrides",
                        help="recipe settings")  # fmt: skip
    parser.add_argument("--validation", action="store_true", help="its validation part instead")
    parser.add_argument(
        "--visibility", action="store_true", help="of each student, how true its visibility is"
    )
    parser.add_argument("--limit", type=whole(), help="only the first people of every set")
    options = parser.parse_args(arguments)
    entries = [load_entry(path) for path in options.checkpoints]
    recipe = load_recipe(options.config, options.overrides, GreyRecipe)
    parts = open_parts(entries, recipe, options.validation, options.limit)
    people = sum(len(crops) for crops in next(iter(parts.values())))
    print(f"{people} people, {'validation' if options.validation else 'test'}\n")
    print(table(evaluate(entries, parts)))
    for entry in entries if options.visibility else ():
        if entry.settings is not None and isinstance(entry.network, Student):
            crops = parts[entry.size, entry.keypoints]
            seen = gather(entry.network, crops, entry.settings)
            print(f"\n{entry.name}\n\n{reliability(seen, entry.settings)}")
    return 0
