"""How far lifted poses are from the truth: MPJPE, after Procrustes alignment, and per joint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distill.tasks.lift.skeleton import JOINTS


@dataclass(frozen=True)
class Errors:
    """Mean distances in millimetres.

    The pelvis, which is the origin, is not counted: with it every figure were smaller by 1/17.

    Attributes:
        mpjpe: mean over poses and the 16 joints.
        aligned: the same after the best shift, rotation and scaling of every pose (P-MPJPE).
        per_joint: mean over poses, by joint.
        poses: poses counted.
    """

    mpjpe: float
    aligned: float
    per_joint: Mapping[str, float]
    poses: int


def measure(found: npt.ArrayLike, truth: npt.ArrayLike) -> Errors:
    """Compare poses [n, 17, 3] in metres, relative to the pelvis."""
    a, b = np.asarray(found, np.float64), np.asarray(truth, np.float64)
    if a.shape != b.shape or a.ndim != 3 or a.shape[1:] != (len(JOINTS), 3):
        raise ValueError(f"poses {a.shape} do not match truth {b.shape}, [n, 17, 3] is expected")
    distance = 1000 * np.linalg.norm(a - b, axis=2)
    aligned = 1000 * np.linalg.norm(procrustes(a, b) - b, axis=2)
    return Errors(
        float(distance[:, 1:].mean()),
        float(aligned[:, 1:].mean()),
        {name: float(distance[:, j].mean()) for j, name in enumerate(JOINTS) if j},
        len(a),
    )


def procrustes(found: npt.ArrayLike, truth: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Poses [n, J, 3], each shifted, turned and scaled to be nearest to its truth.

    Least squares over similarity transforms without reflection (Umeyama, "Least-squares estimation
    of transformation parameters between two point patterns", 1991).
    """
    a, b = np.asarray(found, np.float64), np.asarray(truth, np.float64)
    mean_a, mean_b = a.mean(axis=1, keepdims=True), b.mean(axis=1, keepdims=True)
    a0, b0 = a - mean_a, b - mean_b
    u, s, vt = np.linalg.svd(a0.transpose(0, 2, 1) @ b0)
    sign = np.ones_like(s)
    sign[:, -1] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None, :]) @ vt
    spread = np.maximum((a0**2).sum(axis=(1, 2)), 1e-12)
    scale = (s * sign).sum(axis=1) / spread
    return np.asarray(scale[:, None, None] * (a0 @ rotation) + mean_b)
