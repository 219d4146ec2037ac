"""``python -m distill pose thresholds CHECKPOINT ...``: who counts as a person, for one network.

The thresholds are those with the best F1 over people (OKS at least 0.3: somebody is there, however
badly placed) on part of the training pictures, of those with which at most a small share of the
pictures without anybody show somebody.
The checkpoint carries them from then on, and the compiler writes them into its firmware.  Never
name a set here that the network is judged on.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ai8x_models import thresholds
from ai8x_models.student_file import read_checkpoint, write_atomically
from ai8x_models.thresholds import DEFAULTS, NOTHING_FAINT, DecodeSettings
from common.arguments import Parser, real, to_file, whole
from common.console import progress, say
from common.errors import UserError
from distill.people.annotations import KeypointFile
from distill.people.judge import RIGHT, WRONG, Score, judge, score
from distill.people.recipe import check_side
from distill.tasks.pose.evaluation.evaluate import Network, load_network
from distill.tasks.pose.evaluation.whole import (
    THERE_AT,
    Maps,
    Picture,
    in_picture,
    look,
    percent,
    pictures,
)

PEAKS = (0.1, 0.15, 0.2, 0.25, 0.3)
AFFINITIES = (0.02, 0.05, 0.1, 0.15)
AGREEMENTS = (0.6, 0.7, 0.8, 0.9, 1.0)
POINTS = (3, 4, 5, 6, 8)
WORTH = 0.005
"""F1 that another threshold must gain: less is chance on a few hundred people."""
_ANY_SIDE = 1 << 20  # pixels; only whether there is somebody is asked
OPEN_DOOR = DecodeSettings(
    peak=0.2, faint=NOTHING_FAINT, agreement=0.8, min_keypoints=2, min_score=0.0
)
"""Where the search begins; it keeps nearly everybody, to be weighed afterwards.  Faint points make
nobody appear, and would count as found."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture and a network's maps of it."""

    picture: Picture
    maps: Maps

    def people(self, settings: DecodeSettings) -> list[Any]:
        """Who is there, in the picture's pixels."""
        prepared = self.picture.prepared
        return in_picture(self.maps.people(settings, prepared.pixels.shape[0]), prepared)


@dataclass(frozen=True)
class Fit:
    """The best settings of some, and how they do.

    Attributes:
        settings: them.
        f1: on people.
        false_pictures: share of the empty pictures that show somebody.
    """

    settings: DecodeSettings
    f1: float
    false_pictures: float


def sample(content: KeypointFile, limit: int) -> list[dict[str, Any]]:
    """At most ``limit`` pictures of a set, evenly spaced: half of them empty ones, if there are."""
    inhabited, nobody = [], []
    for image in content.images:
        people, regions = content.people_of(image, _ANY_SIDE, _ANY_SIDE)
        if people:
            inhabited.append(image)
        elif not len(regions):
            nobody.append(image)
    some = _spread(nobody, limit // 2)
    return [*_spread(inhabited, limit - len(some)), *some]


def _spread(images: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    if len(images) <= count:
        return images
    return [images[i] for i in np.linspace(0, len(images) - 1, count).round().astype(int)]


def gather(
    network: Network, sets: Iterable[tuple[KeypointFile, Path]], size: int, limit: int
) -> list[Seen]:
    """The maps of the sampled pictures of all sets; ``limit`` pictures of each."""
    found = []
    for content, folder in sets:
        for picture in pictures(content, folder, size, sample(content, limit)):
            found.append(Seen(picture, look(network, picture.prepared)))
    return found


def weigh(seen: Sequence[Seen], settings: DecodeSettings, most_false: float) -> Fit:
    """The best least score and least number of points, all else as in ``settings``."""
    rows, shown, people = [], [], 0
    for index, one in enumerate(seen):
        found, truth = one.people(settings), one.picture.truth
        verdicts = judge(found, truth, THERE_AT).found
        people += len(truth.points)
        for person, verdict in zip(found, verdicts, strict=True):
            count = int((person.keypoints[:, 2] > 0).sum())
            rows.append((person.score, count, int(verdict)))
            if truth.empty:
                shown.append((index, person.score, count))
    empty = sum(one.picture.truth.empty for one in seen)
    table, strangers = np.array(rows).reshape(-1, 3), np.array(shown).reshape(-1, 3)
    best = Fit(replace(settings, min_score=1.0), -1.0, 0.0)
    for points, least in itertools.product(POINTS, _steps(table[:, 0])):
        kept = table[(table[:, 0] >= least) & (table[:, 1] >= points), 2]
        right, wrong = int((kept == RIGHT).sum()), int((kept == WRONG).sum())
        false = strangers[(strangers[:, 1] >= least) & (strangers[:, 2] >= points), 0]
        share = len(np.unique(false)) / max(empty, 1)
        f1 = 2 * right / max(right + wrong + people, 1)
        if share <= most_false and f1 > best.f1:
            chosen = replace(settings, min_keypoints=points, min_score=float(least))
            best = Fit(chosen, f1, share)
    return best


def _steps(scores: np.ndarray) -> np.ndarray:
    """Least scores to try: whole hundredths up to the highest score."""
    highest = float(scores.max()) if len(scores) else 0.0
    return np.round(np.arange(0.05, highest + 0.01, 0.01), 2)


def fit(seen: Sequence[Seen], most_false: float = 0.03) -> Fit:
    """Search one threshold after the other, the others as found so far.

    A threshold leaves its usual place only where that gains at least ``WORTH``.
    """
    steps: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("peak", PEAKS), ("agreement", AGREEMENTS), ("affinity", AFFINITIES),
    )  # fmt: skip
    bar = progress(title="thresholds", total=1 + sum(len(values) for _, values in steps))
    with bar:
        best = weigh(seen, OPEN_DOOR, most_false)
        bar.update()
        for name, values in steps:
            best = _search(name, values, seen, best, most_false, bar.update)
    return replace(best, settings=replace(best.settings, faint=DEFAULTS.faint))


def _search(
    name: str, values: Sequence[Any], seen: Sequence[Seen], best: Fit, most_false: float,
    done: Callable[[], object],
) -> Fit:  # fmt: skip
    """Try values of one threshold; ``done`` is called after each."""
    start = best
    for value in values:
        so_far = best.settings
        base = replace(
            OPEN_DOOR, peak=so_far.peak, agreement=so_far.agreement, affinity=so_far.affinity
        )
        if value != getattr(base, name):
            found = weigh(seen, replace(base, **{name: value}), most_false)
            if found.f1 >= start.f1 + WORTH and found.f1 > best.f1:
                best = found
        done()
    return best


def check(seen: Sequence[Seen], settings: DecodeSettings) -> Score:
    """How settings do on pictures, judged anew."""
    answers = [one.people(settings) for one in progress(seen, title="people", unit="picture")]
    return score(answers, [one.picture.truth for one in seen], THERE_AT)


def save(path: Path, out: Path, settings: DecodeSettings) -> None:
    """Write the checkpoint with these thresholds among its extras; ``out`` may be ``path``."""
    content = read_checkpoint(path)
    extras = {**(content.get("extras") or {}), thresholds.KEY: settings.plain()}
    try:
        write_atomically({**content, "extras": extras}, out)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror or error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m distill pose thresholds", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a student or teacher")
    parser.add_argument(
        "--set", nargs=2, type=Path, action="append", required=True, dest="sets",
        metavar=("ANNOTATIONS", "IMAGES"),
        help="training pictures, COCO format; those without any annotation count as empty; repeat",
    )  # fmt: skip
    parser.add_argument("--limit", type=whole(), default=600, help="pictures of each set (600)")
    parser.add_argument("--size", type=whole(), default=128, help="side of the input (128)")
    parser.add_argument(
        "--false", type=real(0, 1), default=0.03, help="most empty pictures with somebody (0.03)"
    )
    parser.add_argument(
        "-o", "--output", type=to_file, help="checkpoint to write (may be the same)"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Fit, print, and write the checkpoint if asked to.

    Raises:
        UserError: files that cannot be read or written, or sets without people or without empty
            pictures.
    """
    options = _parser().parse_args(arguments)
    check_side("--size", options.size)
    network = load_network(options.checkpoint)
    sets = [
        (KeypointFile(annotations, nobody=True), images) for annotations, images in options.sets
    ]
    seen = gather(network, sets, options.size, options.limit)
    people = sum(len(one.picture.truth.points) for one in seen)
    empty = sum(one.picture.truth.empty for one in seen)
    for content, _ in sets:
        if content.skipped:
            say(f"{content.path}: left out {content.skipped}")
    if not people or not empty:
        raise UserError(
            f"{people} people and {empty} pictures without anybody were found; thresholds need "
            "both: name more sets with --set"
        )
    found = fit(seen, options.false)
    result = check(seen, found.settings)
    print(f"{len(seen)} pictures, {people} people, {empty} pictures without anybody")
    print(", ".join(f"{name} {value:g}" for name, value in found.settings.plain().items()))
    print(
        f"precision {percent(result.precision)}, recall {percent(result.recall)}, "
        f"F1 {percent(result.f1)}, empty pictures with somebody {percent(result.false_pictures)}"
    )
    if options.output is not None:
        save(options.checkpoint, options.output, found.settings)
        say(str(options.output))
    return 0
