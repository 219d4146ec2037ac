"""The MobileNet pose network (Lightweight OpenPose) as a finder, through our decoder.

Input ``[n, 3, h, w]`` blue, green, red, 0..255, output 19 heatmaps and 38 part affinities in our
order of channels, at an eighth of the size.
"""

from __future__ import annotations

import cv2
import numpy as np

from ai8x_models.decode import Person, decode_all
from ai8x_models.skeleton import NUM_HEATMAPS, NUM_PAFS, to_coco17
from ai8x_models.thresholds import DecodeSettings, for_size
from distill.people.label.families import Family, peaks
from distill.people.label.picture import Pixels, fitted, placed
from distill.people.label.poses import Pose
from distill.people.label.signature import Runner, Signature

SIZE = 256  # long side of the picture it sees
STEP = 8  # pixels per cell
ENLARGED = 4  # times, before peaks are sought
# Spelt out, since the students' may change.
_SETTINGS = DecodeSettings(peak=0.1, affinity=0.05, agreement=0.7, min_keypoints=3, min_score=0)


class OpenPose:
    """Any number of people, with the decoder's score."""

    least, keep = 0.07, 0.2

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def find(self, pixels: Pixels) -> list[Pose]:
        """See :class:`distill.people.label.families.Finder`."""
        scale = SIZE / max(pixels.shape[:2])
        height, width = (
            min(max(-(-round(side * scale) // STEP), 4) * STEP, SIZE) for side in pixels.shape[:2]
        )
        canvas, back = fitted(pixels, width, height, fill=128)
        maps = self.runner(canvas[..., ::-1].transpose(2, 0, 1)[None])[0][0]
        peaks(maps[: NUM_HEATMAPS - 1].max(axis=(1, 2)), self.runner.path)
        size = (maps.shape[2] * ENLARGED, maps.shape[1] * ENLARGED)
        large = np.stack([cv2.resize(m, size, interpolation=cv2.INTER_CUBIC) for m in maps])
        people = decode_all(large[:NUM_HEATMAPS], large[NUM_HEATMAPS:], STEP // ENLARGED, _SETTINGS)
        poses = [
            Pose(placed(_confident(to_coco17(person.keypoints)), back), _sureness(person, size))
            for person in people
            if person.score > 0 and (to_coco17(person.keypoints)[:, 2] > 0).any()
        ]
        return [pose for pose in poses if pose.score >= self.least]


def _sureness(person: Person, size: tuple[int, int]) -> float:
    """How sure the person is, whatever its size: labellers' scores are compared, point by point."""
    seen = person.keypoints[person.keypoints[:, 2] > 0, :2] / (STEP // ENLARGED)
    share = max(float(np.ptp(seen, axis=0).max()), 1.0) / max(size)
    return min(person.score - for_size(share), 1.0)


def _confident(points: np.ndarray) -> np.ndarray:
    """Points with the peaks' heights within 0..1."""
    points[:, 2] = np.clip(points[:, 2], 0, 1)
    return points


def _fits(signature: Signature) -> bool:
    if len(signature.inputs) != 1 or len(signature.outputs) != 1:
        return False
    image, maps = signature.inputs[0], signature.outputs[0]
    channels = NUM_HEATMAPS + NUM_PAFS
    return image.fits(None, 3, None, None) and maps.says(1, channels) and len(maps.shape) == 4


FAMILIES = (Family("Lightweight OpenPose", "[n, 3, h, w] -> [n, 57, h/8, w/8]", _fits, OpenPose),)
