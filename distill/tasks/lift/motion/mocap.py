"""Motion capture as sequences of 3D poses: plain ``.npz`` files and Human3.6M archives.

Both readers give :class:`Motion`. Nothing in a file is executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.errors import UserError
from common.incoming import read_arrays
from distill.tasks.lift.skeleton import JOINTS, NUM_JOINTS, PARENTS

_MAX_BYTES = 1 << 30  # some million poses
_KEYS = ("poses", "sequence", "names", "joint_names", "parents")


@dataclass(frozen=True, eq=False)
class Motion:
    """3D poses in runs without gaps.

    Attributes:
        poses: float32 [N, 17, 3], metres, in a right-handed frame whose third axis points up.
        sequence: int64 [N], which run a pose belongs to; the poses of a run are neighbours.
        names: name of every run.
    """

    poses: npt.NDArray[np.float32]
    sequence: npt.NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.poses)

    def windows(self, length: int) -> npt.NDArray[np.int64]:
        """Index of every pose that is the middle of ``length`` poses of its own run.

        A window reaches ``(length - 1) // 2`` poses back; see :func:`window_indices`. Runs shorter
        than the window give none.

        Raises:
            UserError: every run is shorter.
        """
        before, after = window_reach(length)
        index = np.arange(len(self))
        inside = (index >= before) & (index < len(self) - after)
        middle = index[inside]
        same = self.sequence[middle - before] == self.sequence[middle + after]
        if not same.any():
            longest = int(np.bincount(self.sequence).max()) if len(self) else 0
            raise UserError(
                f"expected sequences of at least {length} poses (the temporal window), found at "
                f"most {longest}; use longer recordings or a smaller window"
            )
        return middle[same]


def window_reach(length: int) -> tuple[int, int]:
    """Poses before and after the middle of a window."""
    before = (length - 1) // 2
    return before, length - 1 - before


def window_indices(middle: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    """Indices [n, length] of the windows around ``middle`` [n]."""
    before, after = window_reach(length)
    return np.asarray(middle)[:, None] + np.arange(-before, after + 1)[None, :]


def read_motion(path: Path, limit: int | None = None) -> Motion:
    """Read a motion-capture file.

    Its arrays are ``poses`` [N, 17, 3] in metres, ``sequence`` [N], ``names`` [S], ``joint_names``
    [17] and ``parents`` [17].

    Args:
        path: ``.npz`` file.
        limit: use only the first poses.

    Raises:
        UserError: unreadable, another joint count or order, or poses that are not numbers.
    """
    try:
        data = read_arrays(path, _MAX_BYTES)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise UserError(f"{path} is no archive of plain arrays: {error}") from None
    missing = [key for key in _KEYS if key not in data]
    if missing:
        raise UserError(f"{path}: the array '{missing[0]}' is missing; it is needed")
    poses = data["poses"]
    check_poses(path, poses)
    names = tuple(str(name) for name in data["joint_names"])
    if names != JOINTS or tuple(data["parents"].tolist()) != PARENTS:
        raise UserError(
            f"{path}: expected the joints {', '.join(JOINTS)}, found {', '.join(names)}; "
            "reorder them"
        )
    sequence = data["sequence"].astype(np.int64)
    runs = len(data["names"])
    if sequence.shape != (len(poses),) or not ((sequence >= 0) & (sequence < runs)).all():
        raise UserError(
            f"{path}: expected a sequence number below {runs} for each of {len(poses)} poses, "
            f"found shape {sequence.shape}"
        )
    poses = np.ascontiguousarray(poses[:limit], np.float32)
    return Motion(poses, sequence[:limit], tuple(str(name) for name in data["names"]))


def check_poses(where: object, poses: np.ndarray, axes: int = 3) -> None:
    """Refuse poses [N, 17, axes] of another shape or with values that are no numbers.

    Raises:
        UserError: it names the expected and the found shape.
    """
    if poses.ndim != 3 or poses.shape[1:] != (NUM_JOINTS, axes) or not len(poses):
        raise UserError(
            f"{where}: expected poses of shape [N, {NUM_JOINTS}, {axes}], found "
            f"{list(poses.shape)}; other joint counts have to be mapped first"
        )
    finite = np.isfinite(poses).all(axis=(1, 2))
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise UserError(
            f"{where}: {len(bad)} of {len(poses)} poses {list(poses.shape)} hold NaN or infinite "
            f"values, the first is number {bad[0]}; remove them"
        )


def join(parts: Sequence[Motion]) -> Motion:
    """One motion of several, runs numbered on."""
    offsets = np.cumsum([0, *(len(part.names) for part in parts[:-1])])
    return Motion(
        np.concatenate([part.poses for part in parts]),
        np.concatenate([p.sequence + o for p, o in zip(parts, offsets, strict=True)]),
        tuple(name for part in parts for name in part.names),
    )
