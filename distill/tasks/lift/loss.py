"""Losses of lifting: against labels, and without any.

Without labels a pose is only known through its view. What a guessed pose must satisfy all the
same: seen from its own camera it gives that view (*reprojection*); seen from a random other one and
lifted again it is the same pose (*cycle*; Chen et al., "Unsupervised 3D Pose Estimation with
Geometric Self-Supervision", CVPR 2019); its left and right limbs are equally long (*symmetry*),
limbs have the same proportions in all people of a batch (*limbs*), neighbouring frames are near
(*smooth*), and a network cannot tell its random views from real ones (*adversarial*). Here poses
are in units of the normalised view, and cameras are far away: to project is to drop the depth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from distill.tasks.lift.cameras import normalise, uniform, view_rotation
from distill.tasks.lift.skeleton import BONES, NUM_JOINTS, SYMMETRIC_BONES

Lift = Callable[[Tensor], Tensor]


def distance(found: Tensor, truth: Tensor) -> Tensor:
    """Mean distance of joints [..., 17, axes]; the first, which is the origin, is left out."""
    return torch.linalg.vector_norm(found[..., 1:, :] - truth[..., 1:, :], dim=-1).mean()


def bone_vectors(pose: Tensor) -> Tensor:
    """Bones [..., 16, axes] of poses [..., 17, axes]."""
    parents, joints = zip(*BONES, strict=True)
    return pose[..., list(joints), :] - pose[..., list(parents), :]


def supervised(found: Tensor, truth: Tensor, bone_weight: float) -> Tensor:
    """Mean error of the joints, and of the bones ``bone_weight`` times, in metres."""
    bones = torch.linalg.vector_norm(bone_vectors(found) - bone_vectors(truth), dim=-1).mean()
    return distance(found, truth) + bone_weight * bones


def random_rotation(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Rotations [count, 3, 3] about the vertical, up to 180 degrees, with a little tilt."""
    generator = generator or torch.default_generator
    yaw = uniform(generator, count, -math.pi, math.pi)
    pitch = uniform(generator, count, -math.pi / 9, math.pi / 9)
    level = view_rotation(torch.zeros(1), torch.zeros(1), torch.zeros(1))
    # Camera axes -> upright axes -> a random camera's axes.
    return view_rotation(yaw, pitch, torch.zeros(count)) @ level.transpose(1, 2)


def limb_symmetry(pose: Tensor) -> Tensor:
    """Mean difference of left and right limbs' lengths, relative to their mean."""
    length = torch.linalg.vector_norm(bone_vectors(pose), dim=-1)
    left, right = (length[..., list(side)] for side in zip(*SYMMETRIC_BONES, strict=True))
    return ((left - right).abs() / (left + right + 1e-3)).mean()


def limb_spread(pose: Tensor) -> Tensor:
    """How much the limbs' shares of the whole skeleton vary over a batch of poses [N, 17, 3]."""
    length = torch.linalg.vector_norm(bone_vectors(pose), dim=-1)
    share = length / length.sum(dim=-1, keepdim=True).clamp(min=1e-3)
    return share.std(dim=0).div(share.mean(dim=0).clamp(min=1e-3)).mean()


def reproject(pose: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
    """Turn poses [N, 17, 3]; return them in units of their new view, and that view [N, 17, 2]."""
    turned = pose @ rotation.transpose(1, 2)
    view = normalise(turned[:, None, :, :2])[:, 0]
    extent = turned[..., :2].abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    unit = view.abs().amax(dim=(1, 2), keepdim=True) / extent
    return turned * unit, view


class _Reverse(torch.autograd.Function):
    """The same values; gradients change their sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]


class Critic(nn.Module):
    """Tells real normalised views [N, 17, 2] from those of guessed poses; one number each."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * NUM_JOINTS, width), nn.LeakyReLU(0.2),
            nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1),
        )  # fmt: skip

    def forward(self, view: Tensor) -> Tensor:
        """Higher for real ones, [N]."""
        return self.layers(view.flatten(1))[:, 0]

    def loss(self, real: Tensor, guessed: Tensor) -> Tensor:
        """What the critic lowers; whoever made ``guessed`` gets the opposite gradient."""
        opposite: Tensor = _Reverse.apply(guessed)
        softplus = nn.functional.softplus
        return softplus(-self(real)).mean() + softplus(self(opposite)).mean()


def unsupervised(
    lift: Lift, view: Tensor, neighbour: Tensor | None, critic: Critic | None
) -> dict[str, Tensor]:
    """All losses that need no labels.

    Args:
        lift: normalised views [N, 17, 2] -> poses [N, 17, 3] in units of the view.
        view: the views.
        neighbour: the frames after them, seen by the same cameras, in the same units.
        critic: judge of views, None for no adversarial loss.
    """
    pose = lift(view)
    turned, seen = reproject(pose, random_rotation(len(view)).to(pose))
    again = lift(seen)
    losses = {
        "reprojection": distance(pose[..., :2], view) + distance(again[..., :2], seen),
        "cycle": distance(again, turned),
        "symmetry": limb_symmetry(pose),
        "limbs": limb_spread(pose),
    }
    if neighbour is not None:
        losses["smooth"] = distance(pose, lift(neighbour))
    if critic is not None:
        losses["adversarial"] = critic.loss(view, seen)
    return losses
