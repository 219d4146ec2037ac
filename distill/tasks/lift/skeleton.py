"""The 17 joints of lifting: mirror pairs, and how the 18 points map to them.

The pelvis is the origin of every normalised pose, so networks neither read nor predict it: they see
and answer with the 16 others.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ai8x_models.skeleton import BONES_3D, JOINTS_3D, KEYPOINTS, PARENTS_3D, mirrored

JOINTS, PARENTS, BONES = JOINTS_3D, PARENTS_3D, BONES_3D
NUM_JOINTS = len(JOINTS)


MIRROR: tuple[int, ...] = tuple(JOINTS.index(mirrored(name)) for name in JOINTS)
"""For each joint the one on the other side of the body (itself on the middle line)."""

SYMMETRIC_BONES: tuple[tuple[int, int], ...] = tuple(
    (index, BONES.index((MIRROR[p], MIRROR[j])))
    for index, (p, j) in enumerate(BONES)
    if JOINTS[j].startswith("l_")
)
"""Pairs of bone numbers, left and right."""

_P = {name: i for i, name in enumerate(KEYPOINTS)}
_DIRECT = [(j, _P[name]) for j, name in enumerate(JOINTS) if name[:2] in ("r_", "l_")]
# Where on the line from the thorax to the middle of the ears the two lie. The ears are somewhat
# above the top of the neck; the head bone of the motion capture ends below the crown.
NECK_SHARE, HEAD_SHARE = 0.75, 1.6


def hops() -> npt.NDArray[np.int64]:
    """Number of bones between every two joints, [17, 17]."""
    distance = np.full((NUM_JOINTS, NUM_JOINTS), NUM_JOINTS)
    np.fill_diagonal(distance, 0)
    for a, b in BONES:
        distance[a, b] = distance[b, a] = 1
    for k in range(NUM_JOINTS):
        distance = np.minimum(distance, distance[:, k : k + 1] + distance[k : k + 1])
    return distance


def from_18(points: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Turn the 18 points of the pose network into the 17 joints of lifting, in 2D.

    Limbs are taken over. The pelvis is the middle of the hips and the thorax that of the shoulders;
    the spine lies half way between. Neck and head top continue from the thorax towards the middle
    of the ears (else the eyes, else the nose), a rule of thumb.

    Args:
        points: [..., 18, 3], x, y and a third value above 0 where the point was found.

    Returns:
        float32 [..., 17, 3]; x, y and 1 where known, all zero elsewhere.
    """
    given = np.asarray(points, np.float64)
    if given.ndim < 2 or given.shape[-2:] != (len(KEYPOINTS), 3):
        raise ValueError(f"keypoints have shape {given.shape}, but [..., 18, 3] is expected")
    out = np.zeros((*given.shape[:-2], NUM_JOINTS, 3))
    for joint, point in _DIRECT:
        out[..., joint, :] = given[..., point, :]
    out[..., 2] = out[..., 2] > 0
    out[..., 0, :] = _middle(out[..., 1, :], out[..., 4, :])
    out[..., 8, :] = _middle(out[..., 11, :], out[..., 14, :])
    out[..., 7, :] = _middle(out[..., 0, :], out[..., 8, :])
    head = _head(given)
    thorax = out[..., 8, :]
    both = (head[..., 2:] > 0) & (thorax[..., 2:] > 0)
    for joint, share in ((9, NECK_SHARE), (10, HEAD_SHARE)):
        place = thorax + share * (head - thorax)
        place[..., 2] = 1
        out[..., joint, :] = np.where(both, place, 0)
    out[out[..., 2] <= 0] = 0
    return out.astype(np.float32)


def _middle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean of two joints [..., 3], all zero where either is missing."""
    known = (a[..., 2:] > 0) & (b[..., 2:] > 0)
    mean = (a + b) / 2
    mean[..., 2] = 1
    return np.where(known, mean, 0)


def _head(points: np.ndarray) -> np.ndarray:
    """Middle of the ears, else of the eyes, else the nose, [..., 3]; all zero without any."""
    nose = points[..., _P["nose"], :].copy()
    nose[..., 2] = nose[..., 2] > 0
    head = nose
    for part in ("eye", "ear"):
        middle = _middle(points[..., _P[f"r_{part}"], :], points[..., _P[f"l_{part}"], :])
        head = np.where(middle[..., 2:] > 0, middle, head)
    return head
