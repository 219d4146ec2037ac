"""Lifting around the chip in integers: what the firmware computes before and after the network.

The twin of ``firmware_templates/lifting/lift_points.c``, bit for bit. The arithmetic is exact,
while :func:`distill.tasks.lift.keypoints.normalise_known` rounds to float32: the bytes of the two
differ by one at most, where the exact value lies within float32's error of a rounding step.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ai8x_models.skeleton import KEYPOINTS
from distill.tasks.lift.skeleton import JOINTS, NUM_JOINTS

_STEPS = 40
"""Positions are in steps of 1/40 of the decoder's, in which all joints have whole coordinates."""
_NECK, _HEAD_TOP = (3, 4), (8, 5)
_P = {name: i for i, name in enumerate(KEYPOINTS)}


def view_bytes(points: npt.ArrayLike) -> tuple[npt.NDArray[np.int8], int] | None:
    """The lifter's input of one decoded person.

    Args:
        points: integers [18, 3] as the decoder gives them: x and y in 1/16 pixel, and a value
            above 0 where the point was found.

    Returns:
        int8 [32], and the known joints (bit j: joint j + 1); None when a hip is missing.

    Raises:
        ValueError: another shape, or no integers.
    """
    given = np.asarray(points)
    if given.shape != (len(KEYPOINTS), 3) or given.dtype.kind not in "iu":
        raise ValueError(
            f"points are {given.dtype} {given.shape}; integers [{len(KEYPOINTS)}, 3] are expected"
        )
    joints = _joints(given.astype(np.int64))
    if joints[0, 2] == 0:
        return None
    known = joints[1:, 2] > 0
    centred = np.where(known[:, None], joints[1:, :2] - joints[0, :2], 0)
    extent = int(np.abs(centred).max())
    rounded = (254 * centred + extent) // max(2 * extent, 1)
    return rounded.reshape(-1).astype(np.int8), sum(1 << int(j) for j in np.flatnonzero(known))


def _joints(points: np.ndarray) -> np.ndarray:
    """The 17 joints, int64 [17, 3]: x, y in 1/640 pixel, 1 where known.

    The rules are those of :func:`distill.tasks.lift.skeleton.from_18`.
    """
    scaled = points * (_STEPS, _STEPS, 1)
    scaled[:, 2] = scaled[:, 2] > 0
    out = np.zeros((NUM_JOINTS, 3), np.int64)
    for joint, name in enumerate(JOINTS):
        if name in _P and name != "neck":  # the 18 points' neck lies between the shoulders
            out[joint] = scaled[_P[name]]
    out[0] = _middle(scaled[_P["r_hip"]], scaled[_P["l_hip"]])
    out[8] = _middle(scaled[_P["r_shoulder"]], scaled[_P["l_shoulder"]])
    out[7] = _middle(out[0], out[8])
    head = _head(scaled)
    out[9] = _along(out[8], head, *_NECK)
    out[10] = _along(out[8], head, *_HEAD_TOP)
    return out


def _middle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.append((a[:2] + b[:2]) // 2, a[2] & b[2])


def _along(start: np.ndarray, end: np.ndarray, share: int, of: int) -> np.ndarray:
    return np.append(start[:2] + share * (end[:2] - start[:2]) // of, start[2] & end[2])


def _head(points: np.ndarray) -> np.ndarray:
    for part in ("ear", "eye"):
        middle = _middle(points[_P[f"r_{part}"]], points[_P[f"l_{part}"]])
        if middle[2]:
            return middle
    return points[_P["nose"]]


def millimetres(answers: npt.ArrayLike, unit: int) -> npt.NDArray[np.int16]:
    """The network's answers, integers in steps of 2**-unit m, as millimetres of the same shape.

    Rounded, halves up; saturating.
    """
    values = np.asarray(answers, np.int64)
    rounded = (1000 * values + (1 << unit >> 1)) >> unit
    return rounded.clip(-(2**15), 2**15 - 1).astype(np.int16)
