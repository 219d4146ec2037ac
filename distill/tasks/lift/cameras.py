"""Random virtual cameras: motion capture becomes pairs of a 2D view and a 3D pose to be found.

A camera looks at the pelvis from a random side, height and distance, with some roll. Camera frame:
x to the right, y down, z away from the camera, metres; poses are relative to the pelvis. The view
is the perspective projection, normalised by :func:`normalise` so that neither focal length nor the
place or size in the picture matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

TOP = 127.0 / 128.0
"""Largest normalised coordinate: that of the largest signed byte."""
MIN_DEPTH = 0.5  # metres between the camera and a joint


@dataclass(frozen=True)
class CameraRange:
    """Where cameras may stand: degrees, metres.

    Attributes:
        pitch: lowest and highest angle above the horizon.
        roll: largest tilt to either side.
        distance: nearest and farthest.
    """

    pitch: tuple[float, float] = (-10.0, 30.0)
    roll: float = 10.0
    distance: tuple[float, float] = (3.0, 8.0)


def uniform(generator: torch.Generator, count: int, low: float, high: float) -> Tensor:
    """Random numbers float32 [count] in low..high."""
    return low + (high - low) * torch.rand(count, generator=generator)


def random_cameras(
    count: int, generator: torch.Generator, ranges: CameraRange | None = None
) -> tuple[Tensor, Tensor]:
    """Draw cameras.

    Returns:
        Rotations float32 [count, 3, 3] from the world (third axis up) into the camera frame, and
        distances float32 [count] in metres.
    """
    ranges = ranges or CameraRange()
    yaw = uniform(generator, count, 0.0, 2 * math.pi)
    pitch = torch.deg2rad(uniform(generator, count, *ranges.pitch))
    roll = torch.deg2rad(uniform(generator, count, -ranges.roll, ranges.roll))
    distance = uniform(generator, count, *ranges.distance)
    return view_rotation(yaw, pitch, roll), distance


def view_rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Rotations [n, 3, 3] of cameras that look at the origin; angles [n] in radians."""
    zero = torch.zeros_like(yaw)
    # Away from the camera, seen in the world; a camera above the horizon looks down.
    ahead = torch.stack(
        [torch.cos(yaw) * torch.cos(pitch), torch.sin(yaw) * torch.cos(pitch), -torch.sin(pitch)],
        dim=1,
    )
    right = torch.stack([torch.sin(yaw), -torch.cos(yaw), zero], dim=1)
    down = torch.linalg.cross(ahead, right)
    base = torch.stack([right, down, ahead], dim=1)
    c, s = torch.cos(roll), torch.sin(roll)
    one = torch.ones_like(zero)
    tilt = torch.stack([c, -s, zero, s, c, zero, zero, zero, one], dim=1).reshape(-1, 3, 3)
    return tilt @ base


def to_camera(world: Tensor, rotation: Tensor) -> Tensor:
    """Poses [n, ..., 17, 3] in the camera frame, relative to the pelvis.

    ``rotation`` [n, 3, 3] is the same for all poses of a window.
    """
    centred = world - world[..., :1, :]
    flat = centred.reshape(len(world), -1, 3)
    return (flat @ rotation.transpose(1, 2)).reshape(world.shape)


def project(pose: Tensor, distance: Tensor) -> Tensor:
    """Perspective view [n, ..., 17, 2] of poses [n, ..., 17, 3] at a ``distance`` [n]."""
    depth = pose[..., 2] + distance.reshape(-1, *[1] * (pose.ndim - 2))
    return pose[..., :2] / depth.clamp(min=MIN_DEPTH)[..., None]


def normalise(points: Tensor) -> Tensor:
    """Shift the pelvis to the origin and scale the farthest coordinate to 127/128.

    ``points`` is [..., T, 17, 2]; the T poses of a window have one scale: movement stays visible.
    """
    centred = points - points[..., :1, :]
    extent = centred.abs().amax(dim=(-3, -2, -1), keepdim=True).clamp(min=1e-6)
    return centred / extent * TOP
