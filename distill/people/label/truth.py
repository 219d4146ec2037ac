"""Ground truth that labels are added to, in the order of COCO's 17 points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ai8x_models.skeleton import COCO17, from_lsp14, to_coco17
from common.errors import UserError
from distill.people.annotations import KeypointFile
from distill.people.label.judge import Known
from distill.people.label.poses import JOINTS, Floats

_LSP = 14


class Truth:
    """The people of a COCO keypoint file, by picture.

    A set of 14 points (Leeds Sports Pose) keeps its twelve limb joints; the points as they were
    stay beside them as ``lsp14``.

    Raises:
        UserError: unreadable, or labels of another skeleton.
    """

    def __init__(self, path: Path) -> None:
        self.content = KeypointFile(path)
        known = self.content.joints == _LSP or tuple(self.content.names) == COCO17
        if not known:
            raise UserError(
                f"{path} has {self.content.joints} points per person ("
                f"{', '.join(map(str, self.content.names[:4]))}, ...); the 17 of COCO in its "
                "order, or the 14 of Leeds Sports Pose, can be completed"
            )
        self.images = {image["file_name"]: image for image in self.content.images}

    def people(self, name: str) -> list[Known]:
        """Everybody annotated in a picture, crowds too."""
        people = self.content.annotations_of(self.images[name])
        return [self._known(annotation) for annotation in people]

    def _known(self, annotation: dict[str, Any]) -> Known:
        left, top, width, height = annotation["bbox"]
        crowd = bool(annotation.get("iscrowd"))
        points = self._points(annotation)
        kept = {k: v for k, v in annotation.items() if k not in ("id", "image_id", "category_id")}
        if self.content.joints == _LSP:
            kept["lsp14"] = annotation["keypoints"]
            kept["keypoints"] = [float(v) for v in points.reshape(-1)]
            kept["num_keypoints"] = int((points[:, 2] > 0).sum())
        return Known(points, (left, top, left + width, top + height), kept, crowd)

    def _points(self, annotation: dict[str, Any]) -> Floats:
        given = np.array(annotation["keypoints"], np.float32).reshape(-1, 3)
        if not annotation.get("num_keypoints", 1):
            return np.zeros((JOINTS, 3), np.float32)
        if self.content.joints == _LSP:
            return np.asarray(to_coco17(from_lsp14(given)), np.float32)
        return given
