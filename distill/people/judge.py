"""Who was found, who was missed, who does not exist: decoded people against labelled ones, by OKS.

A found person is *right* when its OKS with a labelled one reaches a threshold; each labelled person
is given to one found person only, the surest first. Who lies in a region that the labels leave
open (a crowd, somebody without key points, somebody a labeller was unsure of) counts neither way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_models.decode import Person
from ai8x_models.skeleton import to_coco17, to_lsp14
from distill.people.annotation_checks import area_of
from distill.people.annotations import KeypointFile
from distill.people.metrics import OKS_SIGMAS

Floats = npt.NDArray[np.float64]

RIGHT, OPEN, WRONG = 1, 0, -1
"""Verdicts on a found person."""
SIZES: tuple[tuple[str, float], ...] = (
    ("half of the picture or more", 0.5),
    ("a quarter to a half", 0.25),
    ("less", 0.0),
)
"""Classes of people by height: name and the least share of the picture's height."""
_TO_SCHEME = {17: to_coco17, 14: to_lsp14}
_INSIDE = 0.5  # of the points found, for somebody to lie in an open region


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of one picture.

    Attributes:
        points: float64 [n, joints, 3], x, y, visibility, in the picture's pixels.
        areas: float64 [n], square pixels.
        heights: float64 [n], of the boxes, as shares of the picture's height.
        regions: float64 [m, 4], x, y, width, height of what the labels leave open.
    """

    points: Floats
    areas: Floats
    heights: Floats
    regions: Floats

    @property
    def empty(self) -> bool:
        """Nobody is there, as far as the labels tell."""
        return not len(self.points) and not len(self.regions)


def truth_of(content: KeypointFile, image: dict[str, Any], size: tuple[int, int]) -> Truth:
    """The truth a set tells of one of its pictures, which has (width, height) ``size``."""
    people, regions = content.people_of(image, *size)
    boxes = np.array([a["bbox"] for a in people], np.float64).reshape(-1, 4)
    areas = [area_of(a) for a in people]
    points = np.array([a["keypoints"] for a in people], np.float64)
    return Truth(
        points.reshape(-1, content.joints, 3),
        np.array(areas, np.float64),
        boxes[:, 3] / size[1],
        regions.astype(np.float64),
    )


def similarities(people: Sequence[Person], truth: Truth) -> Floats:
    """OKS of every found person with every labelled one, [found, labelled], as COCO counts it.

    A point that was not found is taken to be where the found ones are on average.
    """
    out = np.zeros((len(people), len(truth.points)))
    if not out.size:
        return out
    joints = truth.points.shape[1]
    spread = 2 * (2 * OKS_SIGMAS[joints]) ** 2
    labelled = truth.points[..., 2] > 0
    for row, person in enumerate(people):
        points = np.asarray(_TO_SCHEME[joints](person.keypoints), np.float64)
        seen = points[:, 2] > 0
        if not seen.any():
            continue
        points[~seen, :2] = points[seen, :2].mean(axis=0)
        squared = ((truth.points[..., :2] - points[:, :2]) ** 2).sum(axis=-1)
        near = np.exp(-squared / (spread * np.maximum(truth.areas, 1)[:, None]))
        out[row] = (near * labelled).sum(axis=1) / np.maximum(labelled.sum(axis=1), 1)
    return out


def _in_regions(person: Person, regions: Floats) -> bool:
    """Whether somebody lies in an open region."""
    points = person.keypoints[person.keypoints[:, 2] > 0, :2].astype(np.float64)
    if not len(points) or not len(regions):
        return False
    low, high = regions[:, None, :2], regions[:, None, :2] + regions[:, None, 2:]
    inside = ((points >= low) & (points <= high)).all(axis=-1).mean(axis=1)
    return bool((inside >= _INSIDE).any())


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What became of the people found in one picture, and of those who are there.

    Attributes:
        found: int [found], RIGHT, OPEN or WRONG, in the order given.
        seen: bool [labelled], who was found.
    """

    found: npt.NDArray[np.int64]
    seen: npt.NDArray[np.bool_]


def judge(people: Sequence[Person], truth: Truth, threshold: float = 0.5) -> Verdicts:
    """Compare the people found in a picture, the surest first, with who is there."""
    oks = similarities(people, truth)
    seen = np.zeros(len(truth.points), bool)
    found = np.full(len(people), WRONG, np.int64)
    for row, person in enumerate(people):
        free = np.where(seen, -1.0, oks[row])
        if free.size and free.max() >= threshold:
            seen[int(free.argmax())] = True
            found[row] = RIGHT
        elif _in_regions(person, truth.regions):
            found[row] = OPEN
    return Verdicts(found, seen)


@dataclass(frozen=True)
class Score:
    """How a set of pictures was answered.

    Attributes:
        precision: right among the people reported (open ones left out); NaN when none was.
        recall: found among the people who are there; NaN when nobody is.
        by_size: recall by the names of ``SIZES``; NaN for sizes nobody has.
        people: how many of each size are there.
        false_pictures: share of the empty pictures that show somebody; NaN without such pictures.
        empty: how many empty pictures there are.
    """

    precision: float
    recall: float
    by_size: Mapping[str, float]
    people: Mapping[str, int]
    false_pictures: float
    empty: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 when either is 0 or not known."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total > 0 else 0.0


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def score(answers: Sequence[Sequence[Person]], truths: Sequence[Truth], oks: float = 0.5) -> Score:
    """Judge the answers to several pictures; people must be in the picture's pixels."""
    verdicts = [judge(people, truth, oks) for people, truth in zip(answers, truths, strict=True)]
    found = np.concatenate([v.found for v in verdicts] or [np.zeros(0, np.int64)])
    seen = np.concatenate([v.seen for v in verdicts] or [np.zeros(0, bool)])
    heights = np.concatenate([t.heights for t in truths] or [np.zeros(0)])
    right = int((found == RIGHT).sum())
    by_size, people, above = {}, {}, np.inf
    for name, least in SIZES:
        of_size = (heights >= least) & (heights < above)
        by_size[name] = _share(seen[of_size].sum(), of_size.sum())
        people[name] = int(of_size.sum())
        above = least
    shown = [bool(p) for p, truth in zip(answers, truths, strict=True) if truth.empty]
    return Score(
        _share(right, right + int((found == WRONG).sum())),
        _share(seen.sum(), len(seen)),
        by_size,
        people,
        _share(sum(shown), len(shown)),
        len(shown),
    )
