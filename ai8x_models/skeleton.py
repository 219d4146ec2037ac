"""The 18-point skeleton: names, limbs, flips and conversions from other annotation schemes.

Order of the points: OpenPose's 18-point COCO order.  Order of the limbs: the one in which the
public Lightweight OpenPose network (Osokin, "Real-time 2D Multi-Person Pose Estimation on CPU",
2018, and its public implementation) lays out its part-affinity channels, so that a teacher
trained on COCO can be read without a channel permutation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

KEYPOINTS: tuple[str, ...] = (
    "nose",
    "neck",
    "r_shoulder",
    "r_elbow",
    "r_wrist",
    "l_shoulder",
    "l_elbow",
    "l_wrist",
    "r_hip",
    "r_knee",
    "r_ankle",
    "l_hip",
    "l_knee",
    "l_ankle",
    "r_eye",
    "l_eye",
    "r_ear",
    "l_ear",
)
NUM_KEYPOINTS = len(KEYPOINTS)
NUM_HEATMAPS = NUM_KEYPOINTS + 1  # the background is the last channel
BACKGROUND = NUM_KEYPOINTS

# Limb n owns part-affinity channels 2n (x component) and 2n + 1 (y component).
LIMBS: tuple[tuple[int, int], ...] = (
    (1, 8),
    (8, 9),
    (9, 10),
    (1, 11),
    (11, 12),
    (12, 13),
    (1, 2),
    (2, 3),
    (3, 4),
    (2, 16),
    (1, 5),
    (5, 6),
    (6, 7),
    (5, 17),
    (1, 0),
    (0, 14),
    (0, 15),
    (14, 16),
    (15, 17),
)
NUM_LIMBS = len(LIMBS)
NUM_PAFS = 2 * NUM_LIMBS
# Shoulder to ear: they close loops that the other seventeen limbs, a tree, already span.
LOOP_LIMBS: tuple[int, ...] = (LIMBS.index((2, 16)), LIMBS.index((5, 17)))
DRAWN_LIMBS: tuple[tuple[int, int], ...] = tuple(
    limb for index, limb in enumerate(LIMBS) if index not in LOOP_LIMBS
)
# From the neck outwards, loops last: the order in which people are put together.
GROUP_ORDER: tuple[int, ...] = (6, 10, 7, 8, 11, 12, 0, 1, 2, 3, 4, 5, 14, 15, 17, 16, 18, 9, 13)


def mirrored(name: str) -> str:
    """Name of the same point on the other side of the body."""
    return {"r_": "l_", "l_": "r_"}.get(name[:2], name[:2]) + name[2:]


FLIP_KEYPOINTS: tuple[int, ...] = tuple(KEYPOINTS.index(mirrored(name)) for name in KEYPOINTS)
FLIP_HEATMAPS: tuple[int, ...] = (*FLIP_KEYPOINTS, BACKGROUND)
FLIP_LIMBS: tuple[int, ...] = tuple(
    LIMBS.index((FLIP_KEYPOINTS[a], FLIP_KEYPOINTS[b])) for a, b in LIMBS
)
FLIP_PAFS: tuple[int, ...] = tuple(2 * limb + axis for limb in FLIP_LIMBS for axis in (0, 1))

# Where the points of a body are on average, in 32nds of the way from the neck to the middle of the
# hips, from the neck: x to the right, y down. Means over the people labelled in the photographs the
# students learn from, as they are and mirrored (10,815 of them with ten points or more).
BODY: tuple[tuple[int, int], ...] = (
    (0, -9), (0, 0), (-6, 0), (-9, 15), (-7, 18), (6, 0), (9, 15), (7, 18), (-4, 31),
    (-3, 50), (-3, 72), (4, 31), (3, 50), (3, 72), (-1, -11), (1, -11), (-3, -11), (3, -11),
)  # fmt: skip
# Which points tell best where each one is: whose way to it varies least among these people.
NEAREST: tuple[tuple[int, ...], ...] = (
    (15, 14, 17, 16, 1, 5), (17, 16, 5, 2, 14, 15), (16, 1, 8, 14, 3, 0), (2, 4, 16, 8, 14, 1),
    (3, 2, 14, 0, 16, 15), (17, 1, 11, 15, 6, 0), (5, 7, 17, 11, 15, 1), (6, 5, 15, 0, 17, 14),
    (2, 1, 11, 16, 17, 3), (10, 8, 2, 12, 16, 1), (9, 8, 2, 12, 13, 1), (5, 1, 8, 17, 16, 6),
    (13, 11, 5, 9, 17, 1), (12, 11, 5, 9, 10, 1), (0, 15, 16, 17, 1, 2), (0, 14, 17, 16, 1, 5),
    (14, 0, 1, 15, 2, 17), (15, 0, 1, 14, 5, 16),
)  # fmt: skip

# COCO 2017's 17 points in their own order: names, limbs (counted from 1, as its files have them),
# and which of KEYPOINTS each of them is.
COCO17: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
    "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
COCO17_LIMBS: tuple[tuple[int, int], ...] = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9),
    (8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
COCO17_TO_18: tuple[int, ...] = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)
# Leeds Sports Pose, 14 points: right leg upwards, left leg downwards, right arm inwards, left
# arm outwards, neck, head top.  The head top has no counterpart here.
LSP14_TO_18: tuple[int, ...] = (10, 9, 8, 11, 12, 13, 4, 3, 2, 5, 6, 7, 1, -1)

# The 17 joints of a pose in 3D, in the order in which Human3.6M's are usually published.
JOINTS_3D: tuple[str, ...] = (
    "pelvis", "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "spine", "thorax",
    "neck", "head_top", "l_shoulder", "l_elbow", "l_wrist", "r_shoulder", "r_elbow", "r_wrist",
)  # fmt: skip
PARENTS_3D: tuple[int, ...] = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
BONES_3D: tuple[tuple[int, int], ...] = tuple((p, j) for j, p in enumerate(PARENTS_3D) if p >= 0)
"""(parent, joint) of every bone, by joint."""

_NECK, _R_SHOULDER, _L_SHOULDER = 1, 2, 5


def _scatter(points: npt.ArrayLike, table: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Move points [..., len(table), 3] to their places among 18; the others are all zero."""
    source = np.asarray(points, dtype=np.float32)
    if source.ndim < 2 or source.shape[-2:] != (len(table), 3):
        raise ValueError(
            f"keypoints have shape {source.shape}, but [..., {len(table)}, 3] is expected"
        )
    out = np.zeros((*source.shape[:-2], NUM_KEYPOINTS, 3), dtype=np.float32)
    for index, target in enumerate(table):
        if target >= 0:
            out[..., target, :] = source[..., index, :]
    out[out[..., 2] <= 0] = 0
    return out


def from_coco17(points: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Convert COCO points [..., 17, 3] (x, y, visibility) to [..., 18, 3] float32.

    The neck, which COCO lacks, is the mean of the shoulders where both are labelled; its
    visibility is the smaller of theirs.
    """
    out = _scatter(points, COCO17_TO_18)
    right, left = out[..., _R_SHOULDER, :], out[..., _L_SHOULDER, :]
    both = (right[..., 2] > 0) & (left[..., 2] > 0)
    neck = (right + left) / 2
    neck[..., 2] = np.minimum(right[..., 2], left[..., 2])
    out[..., _NECK, :] = np.where(both[..., None], neck, 0)
    return out


def from_lsp14(points: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Convert Leeds Sports Pose points [..., 14, 3] to [..., 18, 3] float32.

    Nose, eyes and ears are not in that set: use :data:`LSP14_LABELLED` with :func:`loss_masks`.
    """
    return _scatter(points, LSP14_TO_18)


def _gather(points: npt.ArrayLike, table: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Points [..., 18, 3] in the order of another scheme; what 18 points lack is zero."""
    source = np.asarray(points, dtype=np.float32)
    out = source[..., list(table), :]
    out[..., [index for index, target in enumerate(table) if target < 0], :] = 0
    return np.asarray(out, dtype=np.float32)


def to_coco17(points: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Points [..., 18, 3] as COCO's 17 in COCO's order; the neck is dropped."""
    return _gather(points, COCO17_TO_18)


def to_lsp14(points: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Points [..., 18, 3] as Leeds Sports Pose's 14; the head top stays zero."""
    return _gather(points, LSP14_TO_18)


# Which of the 18 points a set can label at all.
COCO17_LABELLED: npt.NDArray[np.bool_] = np.ones(NUM_KEYPOINTS, dtype=bool)
LSP14_LABELLED: npt.NDArray[np.bool_] = np.isin(np.arange(NUM_KEYPOINTS), LSP14_TO_18)


def loss_masks(
    labelled: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Channel weights (0 or 1) for the loss of a set that labels only some points.

    ``labelled`` is bool [18].  Returns float32 [19] for heatmaps and [38] for part affinities.
    A limb counts if both its ends are labelled; the background only if every point is, since
    with an unlabelled point one minus the largest map is not the background.
    """
    heat = np.concatenate([labelled, [labelled.all()]]).astype(np.float32)
    limbs = np.array([labelled[a] and labelled[b] for a, b in LIMBS], dtype=np.float32)
    return heat, np.repeat(limbs, 2)
