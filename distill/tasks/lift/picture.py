"""Pictures of lifted poses: the view, and the skeleton from the front, the side and above."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ai8x_models.overlay import write_picture
from distill.tasks.lift.skeleton import BONES, JOINTS

SIDE = 220  # pixels of a panel
CAPTION = 22
REACH = 1.1  # metres from the pelvis to the edge of a panel
_LEFT, _RIGHT, _MIDDLE = (235, 120, 40), (40, 120, 235), (90, 90, 90)
_AXES = {"view": (0, 1), "side": (2, 1), "above": (0, 2)}
"""Which coordinates go right and down; seen from above, away from the camera is up."""

Pixels = npt.NDArray[np.uint8]


def _colour(joint: int) -> tuple[int, int, int]:
    return {"l_": _LEFT, "r_": _RIGHT}.get(JOINTS[joint][:2], _MIDDLE)


def panel(points: npt.ArrayLike, caption: str, known: npt.ArrayLike | None = None) -> Pixels:
    """Draw a skeleton whose joints [17, 2] are in -1..1, right and down."""
    canvas = np.full((SIDE + CAPTION, SIDE, 3), 255, np.uint8)
    cv2.putText(
        canvas, caption, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (60, 60, 60), 1, cv2.LINE_AA
    )
    pixels = (np.asarray(points, np.float64) * 0.92 + 1) / 2 * SIDE
    visible = np.ones(len(JOINTS), bool) if known is None else np.asarray(known, bool)
    for parent, joint in BONES:
        if visible[parent] and visible[joint]:
            (x0, y0), (x1, y1) = pixels[[parent, joint]].round().astype(int).tolist()
            start, end = (x0, y0 + CAPTION), (x1, y1 + CAPTION)
            cv2.line(canvas, start, end, _colour(joint), 2, cv2.LINE_AA)
    return canvas


def pose_panels(pose: npt.ArrayLike, caption: str) -> Pixels:
    """A pose [17, 3] in metres, camera frame: from its camera, from the side, from above."""
    values = np.asarray(pose, np.float64) / REACH
    panels = []
    for name, axes in _AXES.items():
        points = values[:, axes].copy()
        if name == "above":
            points[:, 1] = -points[:, 1]
        panels.append(panel(points, f"{caption} {name}"))
    return np.concatenate(panels, axis=1)


def pose_picture(view: npt.ArrayLike, pose: npt.ArrayLike, caption: str) -> Pixels:
    """The normalised view [17, 2] beside the pose [17, 3] lifted from it."""
    return np.concatenate([panel(view, "keypoints"), pose_panels(pose, caption)], axis=1)


def compare_pictures(
    folder: Path,
    names: list[str],
    found: list[np.ndarray],
    views: np.ndarray,
    truth: np.ndarray,
    count: int = 6,
) -> Path:
    """Write pictures of some poses: truth and every network, one below the other."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in np.linspace(0, len(truth) - 1, min(count, len(truth))).astype(int).tolist():
        rows = [pose_picture(views[number], truth[number], "truth")]
        rows += [
            pose_picture(views[number], poses[number], name[-18:])
            for name, poses in zip(names, found, strict=True)
        ]
        write_picture(folder / f"pose{number:05d}.png", np.concatenate(rows))
    return folder
