"""What the networks answer: poses of 17 COCO points, how alike two are, their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai8x_models.skeleton import COCO17
from distill.people.metrics import OKS_SIGMAS

JOINTS = len(COCO17)
#: Area of a person over the area of the box around the points, as the shipped sets have it
#: (fitted on COCO people with masks).
AREA_OF_BOX = 0.47
#: What a box has more than the extent of the points, of its longer side, on every side.
MARGIN = 0.08
_VARIANCES = (2 * OKS_SIGMAS[JOINTS]) ** 2

Box = tuple[float, float, float, float]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pose:
    """One person in a picture.

    Attributes:
        points: float32 [17, 3]: x, y in the picture's pixels (0, 0 is the centre of the first
            one), and the network's confidence of the point, 0..1; 0 where it gives none.
        score: how sure the network is of the person, 0..1.
    """

    points: Floats
    score: float

    def good(self, least: float) -> npt.NDArray[np.bool_]:
        """Which points have at least this confidence, bool [17]."""
        return np.asarray((self.points[:, 2] >= least) & (self.points[:, 2] > 0))


def extent(points: Floats, use: npt.NDArray[np.bool_]) -> Box:
    """Left, top, right, bottom of the points in ``use``, of which there is at least one."""
    low, high = points[use, :2].min(axis=0), points[use, :2].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def grown(box: Box, width: int, height: int) -> Box:
    """A box with its margin, within the picture."""
    left, top, right, bottom = box
    margin = MARGIN * max(right - left, bottom - top)
    return (
        max(left - margin, 0.0), max(top - margin, 0.0),
        min(right + margin, width - 1.0), min(bottom + margin, height - 1.0),
    )  # fmt: skip


def shared_area(first: Box, second: Box) -> float:
    """Area that two boxes have in common."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0.0) * max(height, 0.0)


def box_area(box: Box) -> float:
    """Area of a box, at least one pixel."""
    return max(box[2] - box[0], 1.0) * max(box[3] - box[1], 1.0)


def alike(first: Floats, second: Floats, least: float = 0.0) -> float:
    """Object keypoint similarity, 0..1, of two poses [17, 3]; 0 without common points.

    It is that of COCO's evaluation (Lin et al., pycocotools ``computeOks``) with the smaller
    pose's area, over the points that both have with more than ``least`` confidence.
    """
    both = (first[:, 2] > least) & (second[:, 2] > least)
    if not both.any():
        return 0.0
    areas = [box_area(extent(points, points[:, 2] > least)) for points in (first, second)]
    squares = ((first[both, :2] - second[both, :2]).astype(np.float64) ** 2).sum(axis=1)
    return float(np.exp(-squares / (2 * AREA_OF_BOX * min(areas) * _VARIANCES[both])).mean())


def without_doubles(poses: Sequence[Pose], limit: float) -> list[Pose]:
    """The poses of which no surer one is alike by more than ``limit``, the surest first."""
    kept: list[Pose] = []
    for pose in sorted(poses, key=lambda pose: -pose.score):
        if all(alike(pose.points, other.points) <= limit for other in kept):
            kept.append(pose)
    return kept
