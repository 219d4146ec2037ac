"""A small motion-capture file for tests: a skeleton that turns and waves, two runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distill.tasks.lift.skeleton import JOINTS, PARENTS

BONES = np.array(
    [
        [0, 0, 0.95], [0, -0.09, 0], [0, 0, -0.4], [0, 0, -0.4], [0, 0.09, 0], [0, 0, -0.4],
        [0, 0, -0.4], [0, 0, 0.2], [0, 0, 0.25], [0, 0, 0.12], [0, 0, 0.1], [0, 0.17, -0.02],
        [0, 0.03, -0.28], [0, 0.02, -0.25], [0, -0.17, -0.02], [0, -0.03, -0.28], [0, -0.02, -0.25],
    ]
)  # fmt: skip


def poses(count: int) -> np.ndarray:
    """float32 [count, 17, 3]: arms and legs swing, the body turns."""
    rng = np.random.default_rng(7)
    phase, speed = rng.uniform(0, 6, (17, 2)), rng.uniform(0.05, 0.3, (17, 2))
    out = np.zeros((count, 17, 3))
    for frame in range(count):
        for joint, parent in enumerate(PARENTS):
            swing = 0.6 * np.sin(phase[joint] + speed[joint] * frame) if joint else np.zeros(2)
            c, s = np.cos(swing), np.sin(swing)
            pitch = np.array([[c[0], 0, s[0]], [0, 1, 0], [-s[0], 0, c[0]]])
            roll = np.array([[1, 0, 0], [0, c[1], -s[1]], [0, s[1], c[1]]])
            start = out[frame, parent] if parent >= 0 else 0
            out[frame, joint] = start + pitch @ roll @ BONES[joint]
    return out.astype(np.float32)


def write(path: Path, count: int = 40, **changes: object) -> Path:
    """Write a file; ``changes`` replace arrays, None leaves one out."""
    arrays: dict[str, object] = {
        "poses": poses(count),
        "sequence": (np.arange(count) >= count // 2).astype(np.int32),
        "frame": np.arange(count, dtype=np.int32),
        "names": np.array(["a", "b"]),
        "joint_names": np.array(JOINTS),
        "parents": np.array(PARENTS, np.int32),
        "fps": np.int32(30),
        **changes,
    }
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path
