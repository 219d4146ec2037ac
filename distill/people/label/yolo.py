"""YOLO networks with key points, as Ultralytics exports them.

Input ``[1, 3, h, w]``, red, green, blue, 0..1, the picture in the middle of grey 114. Output
``[1, 56, n]``, a column per candidate: centre and size of its box, its score, 17 times
(x, y, score), in pixels of the input; or, from networks that need no suppression of doubles,
``[1, n, 57]``, a row per person: two corners, score, class, the points.
"""

from __future__ import annotations

import numpy as np

from distill.people.label.families import Family, probabilities
from distill.people.label.picture import Pixels, fitted, placed
from distill.people.label.poses import JOINTS, Floats, Pose, without_doubles
from distill.people.label.signature import Runner, Signature

COLUMN = 5 + 3 * JOINTS
ROW = 6 + 3 * JOINTS
_FILL, _USUAL = 114, 640
_DOUBLE = 0.7
_MOST = 300  # candidates looked at, the surest


class Yolo:
    """All people at once."""

    least, keep = 0.1, 0.3

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        shape = runner.signature.inputs[0].shape
        self.size = (shape[3] or _USUAL, shape[2] or _USUAL)
        self.columns = runner.signature.outputs[0].says(1, COLUMN)

    def find(self, pixels: Pixels) -> list[Pose]:
        """See :class:`distill.people.label.families.Finder`."""
        canvas, back = fitted(pixels, *self.size, fill=_FILL, centred=True)
        answer = self.runner(canvas.astype(np.float32).transpose(2, 0, 1)[None] / 255)[0][0]
        rows = answer.T if self.columns else answer
        rows = rows[np.argsort(-rows[:, 4], kind="stable")[:_MOST]]
        probabilities(rows[:, 4], self.runner.path)
        return without_doubles(
            [self._pose(row, back) for row in rows if row[4] >= self.least], _DOUBLE
        )

    def _pose(self, row: Floats, back: np.ndarray) -> Pose:
        points = row[-3 * JOINTS :].reshape(JOINTS, 3).copy()
        points[:, 2] = probabilities(points[:, 2], self.runner.path)
        points[:, :2] -= 0.5  # its pixels have their corners at whole numbers
        return Pose(placed(points, back), float(row[4]))


def _fits(signature: Signature) -> bool:
    if len(signature.inputs) != 1 or len(signature.outputs) != 1:
        return False
    answer = signature.outputs[0]
    return (
        signature.inputs[0].fits(None, 3, None, None)
        and len(answer.shape) == 3
        and (answer.says(1, COLUMN) or answer.says(2, ROW))
    )


FAMILIES = (Family("YOLO-pose", "[1, 3, h, w] -> [1, 56, n] or [1, n, 57]", _fits, Yolo),)
