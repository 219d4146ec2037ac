"""Networks of other people, measured as ours are: those that label, in ONNX.

They show what may be hoped for at an input of some size, from a network that need not fit the chip.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ai8x_models.decode import Person
from ai8x_models.skeleton import NUM_KEYPOINTS, from_coco17
from distill.people.label import mmpose, movenet, yolo
from distill.people.label.families import Finder, Refiner
from distill.people.label.movenet import MultiPose
from distill.people.label.picture import Pixels, whole
from distill.people.label.poses import Pose
from distill.people.label.signature import Runner

FAMILIES = (*movenet.FAMILIES, *mmpose.FAMILIES, *yolo.FAMILIES)
_LEAST_POINT = 0.05  # confidence of a point that one of several people is said to have


class Published:
    """A network that answers with people or, for a crop, with one person's points.

    Args:
        network: MoveNet MultiPose looks at the pixels it is given; one whose input has a size of
            its own gets them enlarged.
    """

    def __init__(self, network: Finder | Refiner) -> None:
        self.network = network

    def people(self, pixels: Pixels) -> list[Person]:
        """The people in uint8 [h, w, 3] RGB, in its pixels, the surest first."""
        poses = sorted(self._poses(pixels), key=lambda pose: -pose.score)
        return [Person(_points(pose, _LEAST_POINT), pose.score) for pose in poses]

    def points(self, crop: Pixels) -> npt.NDArray[np.float32]:
        """The points of the surest person of a crop, float32 [18, 3] in its pixels."""
        poses = self._poses(crop)
        if not poses:
            return np.zeros((NUM_KEYPOINTS, 3), np.float32)
        return _points(max(poses, key=lambda pose: pose.score), 0.0)

    def _poses(self, pixels: Pixels) -> list[Pose]:
        if isinstance(self.network, MultiPose):
            return self.network.look(pixels, max(pixels.shape[:2]))
        if isinstance(self.network, Finder):
            return self.network.find(pixels)
        return [self.network.refine(pixels, whole(pixels))]


def _points(pose: Pose, least: float) -> npt.NDArray[np.float32]:
    """The points of at least a confidence, as float32 [18, 3]."""
    return from_coco17(np.where(pose.points[:, 2:] >= least, pose.points, 0))


def published(path: Path) -> Published | None:
    """The network of an ONNX file that is one of those, or None.

    Raises:
        UserError: the file is no ONNX network that can be run.
    """
    if path.suffix.lower() != ".onnx":
        return None
    runner = Runner(path)
    for family in FAMILIES:
        if family.fits(runner.signature):
            return Published(family.build(runner))
    return None
