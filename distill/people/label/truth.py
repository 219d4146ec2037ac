"""Ground truth that labels are added to, in the order of COCO's 17 points."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ai8x_models.skeleton import from_lsp14, to_coco17
from common.errors import UserError
from common.texts import shown
from distill.people.annotation_checks import says_coco
from distill.people.annotations import KeypointFile
from distill.people.label.judge import Known
from distill.people.label.poses import JOINTS, Floats

log = logging.getLogger(__name__)

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
        if self.content.joints != _LSP and not says_coco(self.content.names):
            raise UserError(
                f"{path} only counts its points ({', '.join(map(shown, self.content.names[:4]))}, "
                "...); name them as COCO does, so that their order is known"
            )
        if self.content.skipped:
            log.warning("%s: left out %s", path, self.content.skipped)
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
