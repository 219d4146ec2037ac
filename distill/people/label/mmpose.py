"""The families of MMPose and their kin: RTMPose, RTMO, heatmaps (ViTPose, HRNet).

RTMPose and heatmap networks take ``[n, 3, h, w]``, red, green, blue less ImageNet's mean over its
deviation (MMPose's ``PoseDataPreprocessor`` of these configurations). RTMPose answers with one row
per point and axis, twice as fine as the pixels (Jiang et al., "RTMPose", 2023; SimCC with
``simcc_split_ratio=2``); heatmaps have a quarter of the input's size. RTMO takes the whole picture,
blue, green, red, 0..255, grey 114 at the right and below (its configuration: mean 0, deviation 1,
``bgr_to_rgb=False``), and answers with boxes and points of people (Lu et al., "RTMO", 2024).
"""

from __future__ import annotations

import numpy as np

from ai8x_models.decode import refine
from distill.people.label.families import Family, peaks, probabilities
from distill.people.label.picture import Pixels, cut, fitted, normalised, placed
from distill.people.label.poses import JOINTS, Floats, Pose, without_doubles
from distill.people.label.signature import Runner, Signature

SPLIT = 2  # positions per pixel in RTMPose's rows
STRIDE = 4  # pixels per cell of a heatmap
_FILL = 114
_DOUBLE = 0.7


def _sides(runner: Runner, width: int, height: int) -> tuple[int, int]:
    """Width and height of the input; the usual ones where the file leaves them open."""
    shape = runner.signature.inputs[0].shape
    return shape[3] or width, shape[2] or height


class RtmPose:
    """One person from two sets of rows, float32 [n, 17, 2 w] and [n, 17, 2 h]."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.size = _sides(runner, 192, 256)

    def refine(self, pixels: Pixels, person: Pose) -> Pose:
        """See :class:`distill.people.label.families.Refiner`."""
        crop, back = cut(pixels, person, *self.size)
        x, y = (rows[0] for rows in self.runner(normalised(crop))[:2])
        heights = peaks(np.minimum(x.max(axis=1), y.max(axis=1)), self.runner.path)
        at = (x.argmax(axis=1) / SPLIT, y.argmax(axis=1) / SPLIT)
        points = np.stack([*at, heights], axis=1).astype(np.float32)
        return Pose(placed(points, back), person.score)


class Heatmaps:
    """One person from heatmaps float32 [n, 17, h/4, w/4]."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.size = _sides(runner, 192, 256)

    def refine(self, pixels: Pixels, person: Pose) -> Pose:
        """See :class:`distill.people.label.families.Refiner`."""
        crop, back = cut(pixels, person, *self.size)
        maps = self.runner(normalised(crop))[0][0]
        points = np.zeros((JOINTS, 3), np.float32)
        for joint, heat in enumerate(maps):
            row, column = np.unravel_index(int(heat.argmax()), heat.shape)
            points[joint, :2] = (refine(heat, [row], [column])[0] + 0.5) * STRIDE - 0.5
            points[joint, 2] = heat[row, column]
        points[:, 2] = peaks(points[:, 2], self.runner.path)
        return Pose(placed(points, back), person.score)


class Rtmo:
    """All people at once: boxes float32 [1, n, 5] with their scores, points [1, n, 17, 3]."""

    least, keep = 0.1, 0.3

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.size = _sides(runner, 640, 640)

    def find(self, pixels: Pixels) -> list[Pose]:
        """See :class:`distill.people.label.families.Finder`."""
        canvas, back = fitted(pixels, *self.size, fill=_FILL)
        answers = self.runner(canvas[..., ::-1].transpose(2, 0, 1)[None])
        boxes, points = sorted((a[0] for a in answers[:2]), key=lambda answer: answer.ndim)
        scores = probabilities(boxes[:, 4], self.runner.path)
        return without_doubles(
            [
                Pose(placed(self._checked(person), back), float(score))
                for person, score in zip(points, scores, strict=True)
                if score >= self.least
            ],
            _DOUBLE,
        )

    def _checked(self, points: Floats) -> Floats:
        out = points.copy()
        out[:, 2] = probabilities(points[:, 2], self.runner.path)
        return out


def _takes_pictures(signature: Signature, outputs: int) -> bool:
    return (
        len(signature.inputs) == 1
        and len(signature.outputs) == outputs
        and signature.inputs[0].fits(None, 3, None, None)
    )


def _is_rtmpose(signature: Signature) -> bool:
    return _takes_pictures(signature, 2) and all(
        len(rows.shape) == 3 and rows.says(1, JOINTS) for rows in signature.outputs
    )


def _is_heatmaps(signature: Signature) -> bool:
    if not _takes_pictures(signature, 1):
        return False
    maps = signature.outputs[0]
    return len(maps.shape) == 4 and maps.says(1, JOINTS)


def _is_rtmo(signature: Signature) -> bool:
    if not _takes_pictures(signature, 2):
        return False
    boxes, points = sorted(signature.outputs, key=lambda tensor: len(tensor.shape))
    return boxes.fits(None, None, 5) and points.fits(None, None, JOINTS, 3)


FAMILIES = (
    Family("RTMPose", "[n, 3, h, w] -> [n, 17, 2 w], [n, 17, 2 h]", _is_rtmpose, RtmPose),
    Family("RTMO", "[1, 3, h, w] -> [1, n, 5], [1, n, 17, 3]", _is_rtmo, Rtmo),
    Family(
        "ViTPose and other heatmaps", "[n, 3, h, w] -> [n, 17, h/4, w/4]", _is_heatmaps, Heatmaps
    ),
)
