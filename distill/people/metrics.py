"""How good poses are: PCK on crops of one person, OKS average precision on whole pictures."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_models.decode import Person
from ai8x_models.skeleton import KEYPOINTS, to_coco17, to_lsp14
from common.errors import UserError

L_SHOULDER = KEYPOINTS.index("l_shoulder")
R_HIP = KEYPOINTS.index("r_hip")

# Sigmas of OKS by number of joints.  17: COCO's own (pycocotools, Params.setKpParams).  14: the
# same values by joint, neck and head top taking the shoulder's.
OKS_SIGMAS: dict[int, npt.NDArray[np.float64]] = {
    17: np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000,
    14: np.array([89, 87, 107, 107, 87, 89, 62, 72, 79, 79, 72, 62, 79, 79]) / 1000,
}
_TO_SCHEME = {17: to_coco17, 14: to_lsp14}


@dataclass(frozen=True)
class Pck:
    """Percentage of correct keypoints.

    Attributes:
        overall: correct over labelled points, 0..1 (NaN when nothing was labelled).
        per_joint: the same by keypoint name, for points labelled at least once.
        points: labelled points counted.
        people: people counted.
        skipped: people left out because their torso is not labelled.
    """

    overall: float
    per_joint: Mapping[str, float]
    points: int
    people: int
    skipped: int

    @property
    def correct(self) -> int:
        """Correct points counted."""
        return round(self.overall * self.points) if self.points else 0


def torso_lengths(truth: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Distance from left shoulder to right hip, [n]; NaN where either is not labelled.

    ``truth``: [n, 18, 3] with visibility.
    """
    points = np.asarray(truth, dtype=np.float64)
    torso = np.linalg.norm(points[:, L_SHOULDER, :2] - points[:, R_HIP, :2], axis=1)
    known = (points[:, [L_SHOULDER, R_HIP], 2] > 0).all(axis=1)
    return np.where(known, torso, np.nan)


def relative_errors(
    predicted: npt.ArrayLike, truth: npt.ArrayLike, lengths: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Distances [n, 18] over each person's length; NaN where there is no label or no length.

    A labelled point without a prediction (NaN) is infinitely far.
    """
    found = np.asarray(predicted, dtype=np.float64)[..., :2]
    points = np.asarray(truth, dtype=np.float64)
    length = np.asarray(lengths, dtype=np.float64)[:, None]
    distance = np.linalg.norm(found - points[..., :2], axis=2)
    distance = np.where(np.isnan(distance), np.inf, distance)
    countable = (points[..., 2] > 0) & (length > 0)
    return np.where(countable, distance / np.where(length > 0, length, 1), np.nan)


def pck(
    predicted: npt.ArrayLike,
    truth: npt.ArrayLike,
    threshold: float = 0.2,
    lengths: npt.ArrayLike | None = None,
) -> Pck:
    """PCK relative to the torso, the distance from left shoulder to right hip.

    ``predicted``: [n, 18, 2 or more], x and y; ``truth``: [n, 18, 3] with visibility, in the same
    pixels.  A labelled point is correct when it is at most ``threshold`` torsos away.  A point
    not predicted should hold NaN: it counts as wrong.  Other ``lengths`` [n] than the torso's may
    be given, for example the heads'; people whose length is NaN or 0 are left out.
    """
    found = np.asarray(predicted, dtype=np.float64)[..., :2]
    points = np.asarray(truth, dtype=np.float64)
    if found.shape[:-1] != points.shape[:-1] or points.shape[1:] != (len(KEYPOINTS), 3):
        raise ValueError(f"predictions {found.shape} do not match [n, 18, 3] truth {points.shape}")
    length = torso_lengths(points) if lengths is None else np.asarray(lengths, np.float64)
    usable = length > 0
    errors = relative_errors(found, points, length)
    labelled = ~np.isnan(errors)
    correct = labelled & (errors <= threshold)
    hits, total = correct.sum(axis=0), labelled.sum(axis=0)
    per_joint = {
        name: float(hits[k] / total[k]) for k, name in enumerate(KEYPOINTS) if total[k] > 0
    }
    overall = float(hits.sum() / total.sum()) if total.sum() else float("nan")
    return Pck(overall, per_joint, int(total.sum()), int(usable.sum()), int((~usable).sum()))


def detections(
    image_id: int, people: Sequence[Person], joints: int = 17, category_id: int = 1
) -> list[dict[str, Any]]:
    """COCO result records of the people decoded in one picture, in that picture's pixels."""
    records = []
    for person in people:
        points = _TO_SCHEME[joints](person.keypoints)
        seen = points[:, 2] > 0
        if not seen.any():
            continue
        # COCO wants a position for every joint; the mean is as good a guess as any.
        points[~seen, :2] = points[seen, :2].mean(axis=0)
        records.append(
            {
                "image_id": image_id,
                "category_id": category_id,
                "keypoints": [round(float(value), 2) for value in points.reshape(-1)],
                "score": float(person.score),
            }
        )
    return records


def oks_ap(
    annotations: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    sigmas: npt.NDArray[np.float64] | None = None,
) -> dict[str, float]:
    """OKS average precision of ``results`` on a COCO-format set, by pycocotools.

    Returns AP, AP50, AP75, APm, APl, AR, AR50, AR75, ARm, ARl in 0..1 (-1: nothing of that
    size).  No result at all is AP 0, or -1 where nobody is there.  The number of joints is read
    from the set's category; ``sigmas`` [joints] are needed where it is neither 17 (COCO) nor 14
    (LSP).
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    joints = len(annotations["categories"][0].get("keypoints", []))
    if sigmas is None and joints not in OKS_SIGMAS:
        raise UserError(
            f"the set has {joints} joints per person; OKS is defined for 17 (COCO) and 14 (LSP)"
        )
    names = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
    if not results:
        people = annotations["annotations"]
        there = any(a.get("num_keypoints", 1) and not a.get("iscrowd") for a in people)
        return dict.fromkeys(names, 0.0 if there else -1.0)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports on stdout
        truth = COCO()
        truth.dataset = copy.deepcopy(dict(annotations))
        truth.createIndex()
        found = truth.loadRes(copy.deepcopy(list(results)))
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = OKS_SIGMAS[joints] if sigmas is None else sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for name, value in zip(names, evaluation.stats, strict=True)}
