"""From people to what the pose student learns: heatmaps and part affinities."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ai8x_models import codec, skeleton
from distill.tasks.pose.teachers.transformer.model import JOINTS, LinearPose, People

SCORE = 0.3  # queries less certain are nobody
SEEN = 0.3  # points less certain are not drawn


def keypoints18(found: People, size: int) -> np.ndarray:
    """Points float32 [n, p, 18, 3] in pixels of a picture of ``size`` x ``size``, by confidence.

    The third value is 0..1, the query's score times the point's, and zero where either is too
    uncertain. The neck is the mean of the shoulders.
    """
    score, seen = torch.sigmoid(found.score), torch.sigmoid(found.seen)
    sure = (score > SCORE)[..., None] & (seen > SEEN)
    confidence = torch.where(sure, score[..., None] * seen, 0.0)
    at = found.points * size - 0.5
    return skeleton.from_coco17(torch.cat([at, confidence.unsqueeze(-1)], dim=-1).cpu().numpy())


def render(points: np.ndarray, size: int, sigma: float = codec.SIGMA) -> np.ndarray:
    """Maps float32 [n, 57, size / 8, size / 8] of points [n, p, 18, 3] by confidence.

    Every person is drawn as training targets are, times its points' confidence (a limb's is the
    smaller of its ends'). Where people overlap the surer one's maps are kept.
    """
    n, people = points.shape[:2]
    heat, pafs = codec.encode_batch(points.reshape(n * people, 1, *points.shape[2:]), size,
                                    sigma=sigma)  # fmt: skip
    side = size // codec.STRIDE
    sure = points[..., 2]
    ends = np.array(skeleton.LIMBS)
    limb = np.minimum(sure[..., ends[:, 0]], sure[..., ends[:, 1]])
    heat = heat.reshape(n, people, -1, side, side)[:, :, : codec.BACKGROUND]
    heat = (heat * sure[..., None, None]).max(axis=1)
    pafs = pafs.reshape(n, people, len(ends), 2, side, side) * limb[..., None, None, None]
    surest = np.hypot(pafs[:, :, :, :1], pafs[:, :, :, 1:]).argmax(axis=1)
    pafs = np.take_along_axis(pafs, surest[:, None], axis=1)[:, 0]
    background = 1 - heat.max(axis=1, keepdims=True)
    return np.concatenate([heat, background, pafs.reshape(n, -1, side, side)], axis=1)


class LinearTeacher(nn.Module):
    """The pose transformer as a teacher of maps: called like the Lightweight OpenPose network.

    ``sigma`` is the width in pixels of the heatmaps' Gaussians.
    """

    def __init__(self, network: LinearPose, sigma: float = codec.SIGMA) -> None:
        super().__init__()
        self.network, self.sigma = network, sigma

    @torch.no_grad()
    def forward(self, x: Tensor) -> list[Tensor]:
        """A list of one tensor float32 [n, 57, size / 8, size / 8] for [n, 3, size, size]."""
        found: People = self.network(x)[-1]
        points = keypoints18(found, x.shape[-1])
        return [torch.from_numpy(render(points, x.shape[-1], self.sigma)).to(x.device)]

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Heatmaps and part affinities, as a student's ``maps``."""
        (both,) = self(x)
        return both[:, : codec.NUM_HEATMAPS], both[:, codec.NUM_HEATMAPS :]


def best_person(found: People, size: int) -> np.ndarray:
    """The surest person of every picture, float32 [n, 18, 3] in pixels, all its points.

    The third value is the point's probability; the neck is the mean of the shoulders.
    """
    best = found.score.argmax(dim=1)
    picture = torch.arange(len(best), device=best.device)
    at = found.points[picture, best] * size - 0.5
    seen = torch.sigmoid(found.seen[picture, best]).clamp(min=1e-6)
    points = torch.cat([at, seen.unsqueeze(-1)], dim=-1)
    assert points.shape[1:] == (JOINTS, 3)
    return skeleton.from_coco17(points.cpu().numpy())
