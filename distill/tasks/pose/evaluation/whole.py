"""Whole pictures through the deployment path: who is found, who is missed, who does not exist.

A picture is fitted into the network's square, as on the board; the maps are decoded with the
network's own thresholds (``extras['decoder']`` of its checkpoint, else the defaults).  An integer
student is decoded by the C decoder's twin, so that its people are those the firmware reports.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ai8x_models import thresholds
from ai8x_models.codec import NUM_HEATMAPS
from ai8x_models.decode import Person, decode
from ai8x_models.decode_fixed import FixedSettings, decode_fixed
from ai8x_models.preprocess import Prepared, prepare
from ai8x_models.students import Student
from ai8x_models.thresholds import DecodeSettings
from common.console import progress
from distill.people.annotations import KeypointFile, read_pixels
from distill.people.judge import SIZES, Score, Truth, score, truth_of
from distill.people.metrics import detections, oks_ap
from distill.tasks.pose.evaluation.evaluate import Network, ground_truth, load_any, predict
from distill.tasks.pose.evaluation.published import Published
from distill.tasks.pose.teachers.openpose import read_teacher_file

RIGHT_AT = 0.5
"""OKS from which somebody is found."""
THERE_AT = 0.3
"""OKS from which a reported person is somebody, however badly placed."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of a set: its entry in the file, what the network gets, and the truth."""

    entry: dict[str, Any]
    prepared: Prepared
    truth: Truth


def pictures(
    content: KeypointFile, folder: Path, size: int, images: Sequence[dict[str, Any]]
) -> Iterator[Picture]:
    """The readable pictures among ``images``; the others are noted in ``content.skipped``."""
    for image in progress(images, title="pictures"):
        pixels = read_pixels(folder / image["file_name"], image, content.skipped)
        if pixels is not None:
            prepared = prepare(np.asarray(pixels, np.uint8), size)
            height, width = pixels.shape[:2]
            yield Picture(image, prepared, truth_of(content, image, (width, height)))


@dataclass(frozen=True, eq=False)
class Maps:
    """A network's answer to one picture.

    Attributes:
        values: [57, h, w]; real numbers, or an integer student's integers.
        units: of the heatmaps and the affinities: 1.0 is 2**unit; None for real numbers.
    """

    values: np.ndarray
    units: tuple[int, int] | None

    def people(self, settings: DecodeSettings, size: int) -> list[Person]:
        """Who is there, in pixels of an input of ``size``."""
        stride = size // self.values.shape[-1]
        heat, pafs = self.values[:NUM_HEATMAPS], self.values[NUM_HEATMAPS:]
        if self.units is None:
            return decode(heat, pafs, stride, settings)
        found = decode_fixed(heat, pafs, *self.units, FixedSettings.of(settings, stride))
        return [person.to_person() for person in found]


@torch.no_grad()
def look(network: Network, prepared: Prepared, flip: bool = False) -> Maps:
    """The maps of a picture; ``flip`` averages those of the mirrored one in (real numbers)."""
    chw = torch.from_numpy(prepared.pixels.transpose(2, 0, 1).copy())[None]
    if flip or not isinstance(network, Student) or network.mode != "integer":
        return Maps(predict(network, chw, flip)[0], None)
    outputs = network(chw.double() - 128)
    units = [-round(math.log2(network.worth(name))) for name in network.spec.outputs]
    values = torch.cat(list(outputs), dim=1)[0].numpy().astype(np.int32)
    return Maps(values, (units[0], units[-1]))


def in_picture(people: Sequence[Person], prepared: Prepared) -> list[Person]:
    """People in pixels of the original picture."""
    return [Person(prepared.to_picture(p.keypoints), p.score) for p in people]


@dataclass(frozen=True, eq=False)
class WholeResult:
    """What a network found in the pictures of a set.

    Attributes:
        entries: the pictures, as the set names them.
        answers: the people found in each, in its pixels.
        truths: who is there.
        ap: pycocotools' figures, 0..1.
        right: judged at an OKS of ``RIGHT_AT``.
        there: judged at an OKS of ``THERE_AT``.
    """

    entries: list[dict[str, Any]]
    answers: list[list[Person]]
    truths: list[Truth]
    ap: dict[str, float]
    right: Score
    there: Score


def settings_of(path: Path, network: Network | Published) -> DecodeSettings:
    """The thresholds that a network's checkpoint carries, or the defaults."""
    if isinstance(network, Published):  # decides by itself
        return thresholds.DEFAULTS
    return thresholds.from_extras(read_teacher_file(path).get("extras") or {}, str(path))


def _people(
    network: Network | Published,
    prepared: Prepared,
    size: int,
    flip: bool,
    settings: DecodeSettings,
) -> list[Person]:
    """Who is in a prepared picture, in its pixels."""
    if isinstance(network, Published):
        return network.people(prepared.pixels)
    return look(network, prepared, flip).people(settings, size)


def evaluate_whole(
    network: Network | Published,
    content: KeypointFile,
    folder: Path,
    size: int = 128,
    flip: bool = False,
    limit: int | None = None,
    settings: DecodeSettings = thresholds.DEFAULTS,
) -> WholeResult:
    """Find the people of whole pictures and compare them with the labelled ones.

    Pictures that cannot be read are left out of the ground truth too, and counted.
    """
    if isinstance(network, torch.nn.Module):
        network.eval()
    entries, answers, truths, results = [], [], [], []
    for picture in pictures(content, folder, size, content.images[:limit]):
        found = _people(network, picture.prepared, size, flip, settings)
        placed = in_picture(found, picture.prepared)
        entries.append(picture.entry)
        answers.append(placed)
        truths.append(picture.truth)
        results += detections(picture.entry["id"], placed, content.joints, content.category or 1)
    return WholeResult(
        entries,
        answers,
        truths,
        oks_ap(ground_truth(content, entries), results),
        score(answers, truths, RIGHT_AT),
        score(answers, truths, THERE_AT),
    )


def percent(value: float) -> str:
    """A share as a percentage with one decimal, a dash when there is none."""
    return "-" if np.isnan(value) or value < 0 else f"{100 * value:.1f}"


def whole_table(results: dict[str, WholeResult]) -> str:
    """Markdown, a row per network, in percent: average precision, recall by height, precision at
    both OKS, and the empty pictures that show somebody."""
    names = [name for name, _ in SIZES]
    heads = ["network", "AP", "AP50", "AP75", *(f"found: {n}" for n in names)]
    heads += ["found: all", "right of those reported", f"there (OKS {THERE_AT})", "false pictures"]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for name, result in results.items():
        values = [percent(result.ap[key]) for key in ("AP", "AP50", "AP75")]
        values += [percent(result.right.by_size[size]) for size in names]
        values += [percent(v) for v in (result.right.recall, result.right.precision)]
        values += [percent(result.there.precision), _false_pictures(result.right)]
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    people = next(iter(results.values())).right.people
    counts = ", ".join(f"{people[size]} {size}" for size in names)
    return "\n".join([*lines, "", f"people by height: {counts}"])


def _false_pictures(result: Score) -> str:
    """Such as ``2 of 67``."""
    if not result.empty:
        return "-"
    return f"{round(result.false_pictures * result.empty)} of {result.empty}"


def names(paths: Sequence[Path]) -> list[str]:
    """What files are called in a table: folder and name, the whole path where two would agree."""
    short = [f"{path.parent.name}/{path.name}" for path in paths]
    return [
        name if short.count(name) == 1 else str(path)
        for name, path in zip(short, paths, strict=True)
    ]


def evaluate_files(
    paths: Sequence[Path], annotations: Path, images: Path, size: int, flip: bool, limit: int | None
) -> tuple[dict[str, WholeResult], KeypointFile]:
    """Several checkpoints on the same pictures, by name; and the set, with what was left out."""
    results: dict[str, WholeResult] = {}
    content = KeypointFile(annotations)
    for path, short in zip(paths, names(paths), strict=True):
        network = load_any(path)
        settings = settings_of(path, network)
        for mirrored in (False, True)[: 1 + (flip and not isinstance(network, Published))]:
            content = KeypointFile(annotations)
            name = short + (", flip test" if mirrored else "")
            results[name] = evaluate_whole(
                network, content, images, size, mirrored, limit, settings
            )
    return results, content
