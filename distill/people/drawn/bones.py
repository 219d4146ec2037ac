"""Bodies of drawn people: a small skeleton in three dimensions, posed, turned and projected.

A body is a dictionary of places by name, float64 [3], in its own frame: x to its left, y down, z
ahead, origin between the hips, the standing height one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

# Proportions as fractions of the standing height, about those of anthropometric tables.
SHOULDER, HIP = 0.112, 0.062  # half widths
TORSO, UPPER_ARM, FOREARM, THIGH, SHIN = 0.30, 0.165, 0.15, 0.235, 0.235
HEAD_UP, HEAD = 0.112, 0.066  # neck to the head's centre, the head's radius


def _unit(vector: Points) -> Points:
    """``vector`` scaled to length one."""
    return np.asarray(vector / np.linalg.norm(vector))


def _direction(side: float, raised: float, forward: float) -> Points:
    """Unit vector of a limb that hangs down, raised by one angle towards the side and the front.

    Angles in degrees; ``forward`` 0 is straight to the side, 90 straight ahead.
    """
    up, turn = np.deg2rad([raised, forward])
    return np.array([side * np.sin(up) * np.cos(turn), np.cos(up), np.sin(up) * np.sin(turn)])


def _bend(limb: Points, towards: Points, angle: float) -> Points:
    """Direction of the next bone: ``limb`` turned by ``angle`` degrees towards a direction."""
    across = towards - limb * (towards @ limb)
    if np.linalg.norm(across) < 1e-3:
        across = np.array([limb[1], -limb[0], 0.1])
    radians = np.deg2rad(angle)
    return np.asarray(np.cos(radians) * limb + np.sin(radians) * _unit(across))


def posed(rng: np.random.Generator, active: float) -> dict[str, Points]:
    """A body in its own frame: x to its left, y down, z ahead, origin between the hips.

    ``active`` from 0 (standing) to 1 (jumping about) widens the range of every joint.
    """
    neck = np.array([0, -TORSO, 0.0])
    body = {"neck": neck}
    for sign, side in ((-1.0, "r_"), (1.0, "l_")):
        shoulder = neck + (sign * SHOULDER, 0.01, 0)
        raised = rng.uniform(8, 40 + 120 * active)
        arm = _direction(sign, raised, rng.uniform(-20, 60))
        forearm = _bend(arm, np.array([0, -0.4, 1.0]), rng.uniform(5, 30 + 100 * active))
        hip = np.array([sign * HIP, 0, 0])
        leg = _direction(sign, rng.uniform(2, 10 + 60 * active), rng.uniform(-10, 90))
        shin = _bend(leg, np.array([0, 0.2, -1.0]), rng.uniform(0, 12 + 90 * active))
        body[side + "shoulder"] = shoulder
        body[side + "elbow"] = shoulder + UPPER_ARM * arm
        body[side + "wrist"] = body[side + "elbow"] + FOREARM * forearm
        body[side + "hip"] = hip
        body[side + "knee"] = hip + THIGH * leg
        body[side + "ankle"] = body[side + "knee"] + SHIN * shin
        body[side + "toe"] = body[side + "ankle"] + (sign * 0.015, 0.035, 0.07)
    body.update(_head(neck, rng))
    return body


def _head(neck: Points, rng: np.random.Generator) -> dict[str, Points]:
    """The head's centre and its five keypoints, the head turned a little on the neck."""
    centre = neck + (rng.uniform(-0.02, 0.02), -HEAD_UP, rng.uniform(0, 0.03))
    return head_at(centre, rng.uniform(-25, 25))


def head_at(centre: Points, degrees: float) -> dict[str, Points]:
    """A head there, turned by so much on its neck: its centre and its five keypoints."""
    turn = rotation_y(degrees)
    features = {
        "head": (0.0, 0.0, 0.0),
        "nose": (0.0, 0.012, 1.0 * HEAD),
        "r_eye": (-0.026, -0.012, 0.85 * HEAD),
        "l_eye": (0.026, -0.012, 0.85 * HEAD),
        "r_ear": (-0.92 * HEAD, 0.004, 0.0),
        "l_ear": (0.92 * HEAD, 0.004, 0.0),
    }
    return {name: centre + turn @ np.array(offset) for name, offset in features.items()}


def rotation_y(degrees: float) -> Points:
    """Turn about the vertical axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def rotation_z(degrees: float) -> Points:
    """Lean in the plane of the picture."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def placed(
    body: dict[str, Points], rng: np.random.Generator, width: int, height: int, slot: float
) -> tuple[dict[str, Points], float]:
    """Turn, lean, scale and move a body into the picture.

    ``slot`` is the wanted horizontal place, 0..1.  Returns canvas positions (x, y, depth) and the
    length in canvas pixels of the body's unit, its standing height.
    """
    facing = rng.choice([0.0, 180.0], p=[0.8, 0.2]) + rng.normal(0, 35)
    turn = rotation_z(rng.normal(0, 10)) @ rotation_y(facing)
    turned = {name: turn @ point for name, point in body.items()}
    flat = np.stack(list(turned.values()))[:, :2]
    low, high = flat.min(axis=0) - HEAD, flat.max(axis=0) + 0.03
    unit = rng.uniform(0.6, 0.95) * min(height / (high[1] - low[1]), width / (high[0] - low[0]))
    free = height - unit * (high[1] - low[1])
    top = free * rng.uniform(0.2, 1.0)
    centre = slot * width
    move = np.array([centre - unit * (low[0] + high[0]) / 2, top - unit * low[1], 0])
    return {name: point * unit + move for name, point in turned.items()}, float(unit)
