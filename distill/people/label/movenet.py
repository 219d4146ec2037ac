"""MoveNet, single person (Lightning, Thunder) and MultiPose, as Google publishes them.

Input ``[1, h, w, 3]`` red, green, blue, 0..255; answers are (y, x, score) relative to the input's
height and width (model cards "MoveNet.SinglePose" and "MoveNet.MultiPose", 2021).
"""

from __future__ import annotations

import numpy as np

from distill.people.label.families import Family, probabilities
from distill.people.label.picture import Pixels, cut, fitted, placed
from distill.people.label.poses import JOINTS, Floats, Pose, without_doubles
from distill.people.label.signature import Runner, Signature

STEP = 32  # sides of MultiPose's input are multiples
PEOPLE = 6
SIZES = (256, 512)  # long sides at which MultiPose looks at a picture
SMALL, SMALL_SIZES = 400, (256, 384)  # the same for pictures of at most so many pixels
DOUBLE = 0.5  # OKS above which two finds are one person


def _points(answer: Floats, width: int, height: int) -> Floats:
    """(y, x, score) relative -> (x, y, score) in pixels of the input, centres at whole numbers."""
    y, x, score = answer.reshape(JOINTS, 3).T
    return np.stack([x * width - 0.5, y * height - 0.5, score], axis=1).astype(np.float32)


class MultiPose:
    """Up to six people at each of two sizes, joined."""

    least, keep = 0.11, 0.2

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def find(self, pixels: Pixels) -> list[Pose]:
        """See :class:`distill.people.label.families.Finder`."""
        side = max(pixels.shape[:2])
        found = []
        for size in SMALL_SIZES if side <= SMALL else SIZES:
            found += self.look(pixels, size)
        return without_doubles(found, DOUBLE)

    def look(self, pixels: Pixels, size: int) -> list[Pose]:
        """People in uint8 [h, w, 3] RGB, whose longer side becomes ``size`` pixels, or the next
        multiple of 32."""
        size = -(-size // STEP) * STEP
        scale = size / max(pixels.shape[:2])
        height, width = (
            -(-max(1, round(side * scale)) // STEP) * STEP for side in pixels.shape[:2]
        )
        side = (min(width, size), min(height, size))
        canvas, back = fitted(pixels, *side, fill=0)
        answers = self.runner(canvas[None])[0].reshape(PEOPLE, -1)
        probabilities(answers[:, [2, -1]], self.runner.path)
        return [
            Pose(placed(_points(answer[: 3 * JOINTS], *side), back), float(answer[-1]))
            for answer in answers
            if answer[-1] >= self.least
        ]


class SinglePose:
    """One person in a square crop."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.side = runner.signature.inputs[0].shape[1] or 256

    def refine(self, pixels: Pixels, person: Pose) -> Pose:
        """See :class:`distill.people.label.families.Refiner`."""
        crop, back = cut(pixels, person, self.side, self.side)
        points = _points(self.runner(crop[None])[0], self.side, self.side)
        points[:, 2] = probabilities(points[:, 2], self.runner.path)
        return Pose(placed(points, back), person.score)


def _is_single(signature: Signature) -> bool:
    ends = (signature.inputs, signature.outputs)
    return (
        all(len(tensors) == 1 for tensors in ends)
        and signature.inputs[0].fits(1, None, None, 3)
        and signature.outputs[0].fits(1, 1, JOINTS, 3)
        and signature.outputs[0].says(2, JOINTS)
    )


def _is_multi(signature: Signature) -> bool:
    ends = (signature.inputs, signature.outputs)
    return (
        all(len(tensors) == 1 for tensors in ends)
        and signature.inputs[0].fits(1, None, None, 3)
        and signature.outputs[0].fits(1, PEOPLE, 3 * JOINTS + 5)
        and signature.outputs[0].says(2, 3 * JOINTS + 5)
    )


FAMILIES = (
    Family("MoveNet MultiPose", "[1, h, w, 3] -> [1, 6, 56]", _is_multi, MultiPose),
    Family("MoveNet for one person", "[1, h, w, 3] -> [1, 1, 17, 3]", _is_single, SinglePose),
)
