"""The keypoints of the grey task: which of the 18 there are, their order, sigmas, mirror images.

13 points: the neck and the twelve limb joints, which both sets of photographs mark. 17 points:
COCO's own, in COCO's order. Either way they are places in the 18-point skeleton.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai8x_models.skeleton import COCO17_TO_18, FLIP_KEYPOINTS, KEYPOINTS, NUM_KEYPOINTS
from common.errors import UserError
from distill.people.metrics import OKS_SIGMAS

_NECK, _SHOULDER = KEYPOINTS.index("neck"), KEYPOINTS.index("r_shoulder")


@dataclass(frozen=True)
class Points:
    """A choice of keypoints.

    Attributes:
        places: their places among the 18 points.
    """

    places: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(KEYPOINTS[place] for place in self.places)

    @property
    def mirrored(self) -> tuple[int, ...]:
        """Entry k is the place, in this order, of point k's other side."""
        return tuple(self.places.index(FLIP_KEYPOINTS[place]) for place in self.places)

    @property
    def sigmas(self) -> npt.NDArray[np.float64]:
        """OKS sigmas [K]: COCO's own by joint; the neck, which COCO lacks, takes the shoulder's."""
        by_place = dict(zip(COCO17_TO_18, OKS_SIGMAS[17], strict=True))
        by_place[_NECK] = by_place[_SHOULDER]
        return np.array([by_place[place] for place in self.places])

    def take(self, points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[..., 18, c] -> [..., K, c]."""
        return points[..., list(self.places), :]

    def spread(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """[..., K, c] -> [..., 18, c]; what is not among them is zero."""
        out = np.zeros((*points.shape[:-2], NUM_KEYPOINTS, points.shape[-1]))
        out[..., list(self.places), :] = points
        return out


POINTS: dict[int, Points] = {
    13: Points(tuple(range(_NECK, KEYPOINTS.index("l_ankle") + 1))),
    17: Points(COCO17_TO_18),
}


def points_of(count: int) -> Points:
    """The points by their number.

    Raises:
        UserError: neither 13 nor 17.
    """
    if count not in POINTS:
        raise UserError(f"keypoints is {count}; 13 (neck and limbs) and 17 (COCO) are known")
    return POINTS[count]
