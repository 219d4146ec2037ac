"""Reader of the usual Human3.6M archives: ``data_3d_*.npz`` and ``data_2d_*.npz``.

Layout, as VideoPose3D (Pavllo et al., CVPR 2019; its ``DATASETS.md`` and dataset classes) writes
and the projects after it read it: one array ``positions_3d`` or ``positions_2d`` of type object
that holds a dictionary subject -> action -> poses. The 3D poses are [frames, joints, 3], metres,
world coordinates, third axis up; the 2D ones a list with [frames, joints, 2] for each camera, in
pixels. Object arrays are pickles, which ``pickled_arrays.py`` reads safely.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import UserError
from distill.tasks.lift.motion.mocap import Motion, check_poses
from distill.tasks.lift.motion.pickled_arrays import read_object
from distill.tasks.lift.skeleton import NUM_JOINTS

OF_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""Of the 32 joints that are recorded, the 17 that move and are not stored twice."""


def read_3d(path: Path, subjects: Collection[str] = (), step: int = 2) -> Motion:
    """Read 3D poses.

    Args:
        path: ``data_3d_*.npz``.
        subjects: names (``S1`` ...) to take; empty takes all.
        step: take every so-many-th frame (the recording has 50 per second).

    Raises:
        UserError: unreadable, unsafe, unknown subjects, other joint counts, or NaNs.
    """
    poses, numbers = [], []
    names: list[str] = []
    for name, value in _actions(path, "positions_3d", subjects):
        frames = _seventeen(f"{path}, {name}", value, 3)[::step]
        poses.append(frames)
        numbers.append(np.full(len(frames), len(names)))
        names.append(name)
    return Motion(
        np.concatenate(poses).astype(np.float32),
        np.concatenate(numbers).astype(np.int64),
        tuple(names),
    )


def read_2d(
    path: Path, subjects: Collection[str] = (), step: int = 2
) -> dict[str, list[npt.NDArray[np.float32]]]:
    """Read 2D poses: for each run, float32 [frames, 17, 2] in pixels for each camera.

    Arguments and errors as :func:`read_3d`.
    """
    result = {}
    for name, value in _actions(path, "positions_2d", subjects):
        cameras = value if isinstance(value, list) else [value]
        result[name] = [
            _seventeen(f"{path}, {name}, camera {n}", poses, 2)[::step].astype(np.float32)
            for n, poses in enumerate(cameras)
        ]
    return result


def _actions(path: Path, key: str, subjects: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield (``subject action``, poses)."""
    content = read_object(path, key)
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise UserError(f"{path}: '{key}' is no dictionary of subjects with their actions")
    unknown = sorted(set(subjects) - set(content))
    if unknown:
        raise UserError(f"{path}: it has no subject {unknown[0]}, only {', '.join(content)}")
    chosen = [subject for subject in content if not subjects or subject in subjects]
    if not any(content[subject] for subject in chosen):
        raise UserError(f"{path}: '{key}' holds no action")
    for subject in chosen:
        for action, value in content[subject].items():
            yield f"{subject} {action}", value


def _seventeen(where: str, value: Any, axes: int) -> npt.NDArray[np.float64]:
    """Poses with 17 joints, of 17 or 32."""
    poses = np.asarray(value) if isinstance(value, np.ndarray) else np.zeros(0)
    if poses.ndim == 3 and poses.shape[1] == 32:
        poses = poses[:, OF_32]
    if poses.ndim != 3 or poses.shape[1:] != (NUM_JOINTS, axes):
        raise UserError(
            f"{where}: expected poses of shape [frames, {NUM_JOINTS} or 32, {axes}], found "
            f"{list(poses.shape)}"
        )
    check_poses(where, poses, axes)
    return poses.astype(np.float64)
