"""Which query answers for which person: the cheapest pairing, and the figures it is made of.

Set prediction with Hungarian matching: Carion et al., "End-to-End Object Detection with
Transformers", 2020. GIoU: Rezatofighi et al., "Generalized Intersection over Union", 2019.
OKS and its sigmas: COCO's keypoint evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ai8x_models.skeleton import COCO17_TO_18, NUM_KEYPOINTS
from common.errors import UserError
from distill.people.metrics import OKS_SIGMAS
from distill.tasks.pose.teachers.transformer.model import JOINTS, People
from distill.tasks.pose.teachers.transformer.recipe import Weights

# Of a person's box the share that the body covers, for OKS; COCO's masks have about this.
BODY_SHARE = 0.5
SIGMAS = torch.tensor(OKS_SIGMAS[JOINTS], dtype=torch.float32)
BOX_MARGIN = 0.08  # of the longer side of the marked points' extent, on every side
MIN_POINTS = 3  # marked points within the picture that make a person


@dataclass(frozen=True)
class Truth:
    """The people of n pictures, at most m in each.

    Attributes:
        box: float32 [n, m, 4], centre x, y, width, height, fractions of the picture.
        points: float32 [n, m, 17, 2], fractions of the picture.
        marked: bool [n, m, 17], marked and within the picture; a row without any is padding.
        known: bool [n, 17], whether the set labels the point at all, so that no mark is absence.
    """

    box: Tensor
    points: Tensor
    marked: Tensor
    known: Tensor

    @property
    def counts(self) -> Tensor:
        """People of every picture, int64 [n]; they come first."""
        return self.marked.any(-1).sum(-1)

    def repeat(self, times: int) -> Truth:
        """The same pictures over and over."""
        parts = (self.box, self.points, self.marked, self.known)
        return Truth(*(part.repeat(times, *[1] * (part.ndim - 1)) for part in parts))


def truth_of(keypoints: Tensor, labelled: Tensor, size: int) -> Truth:
    """People with enough points within their pictures of ``size`` x ``size`` pixels.

    ``keypoints`` float32 [n, p, 18, 3] in pixels, ``labelled`` bool [n, 18]; a box is the extent of
    the marked points, grown a little.

    Raises:
        UserError: keypoints of another shape, or not finite.
    """
    if keypoints.ndim != 4 or keypoints.shape[2:] != (NUM_KEYPOINTS, 3):
        raise UserError(
            f"keypoints have shape {tuple(keypoints.shape)}, but [pictures, people, 18, 3] is "
            "expected"
        )
    if not torch.isfinite(keypoints).all():
        raise UserError("keypoints hold values that are not finite numbers; mark no such point")
    coco = keypoints[:, :, list(COCO17_TO_18)]
    at = (coco[..., :2] + 0.5) / size
    marked = (coco[..., 2] > 0) & ((at > 0) & (at < 1)).all(-1)
    marked &= marked.sum(-1, keepdim=True) >= MIN_POINTS
    # People first, padding last.
    order = torch.argsort(marked.any(-1).int(), dim=1, descending=True, stable=True)
    picture = torch.arange(len(at), device=at.device)[:, None]
    at, marked = at[picture, order], marked[picture, order]
    count = max(int(marked.any(-1).sum(-1).max()), 1)
    at, marked = at[:, :count], marked[:, :count]
    return Truth(_extent(at, marked), at, marked, labelled[:, list(COCO17_TO_18)].bool())


def _extent(at: Tensor, marked: Tensor) -> Tensor:
    """Boxes float32 [n, m, 4] about the marked points; zeros where there are none."""
    far = torch.full_like(at, torch.inf)
    low = torch.where(marked.unsqueeze(-1), at, far).amin(2)
    high = torch.where(marked.unsqueeze(-1), at, -far).amax(2)
    margin = BOX_MARGIN * (high - low).amax(-1, keepdim=True)
    low, high = (low - margin).clamp(0, 1), (high + margin).clamp(0, 1)
    box = torch.cat([(low + high) / 2, high - low], dim=-1)
    return torch.where(marked.any(-1, keepdim=True), box, 0.0)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised intersection over union, -1..1, of boxes [..., 4] by centre and size."""
    low_a, high_a = a[..., :2] - a[..., 2:] / 2, a[..., :2] + a[..., 2:] / 2
    low_b, high_b = b[..., :2] - b[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2
    inner = (torch.minimum(high_a, high_b) - torch.maximum(low_a, low_b)).clamp(min=0).prod(-1)
    hull = (torch.maximum(high_a, high_b) - torch.minimum(low_a, low_b)).prod(-1)
    union = (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - inner).clamp(min=1e-9)
    return inner / union - (hull - union) / hull.clamp(min=1e-9)


def oks(points: Tensor, box: Tensor, wanted: Tensor, marked: Tensor) -> Tensor:
    """Object keypoint similarity, 0..1: points [..., 17, 2] beside the ``wanted`` ones.

    ``box`` [..., 4] gives the person's size; a point counts where ``marked``. All may broadcast.
    Pictures are square, so that fractions serve as well as pixels.
    """
    area = (BODY_SHARE * box[..., 2:].prod(-1, keepdim=True)).clamp(min=1e-6)
    squared = ((points - wanted) ** 2).sum(-1)
    alike = torch.exp(-squared / (2 * area * (2 * SIGMAS.to(points)) ** 2))
    return (alike * marked).sum(-1) / marked.sum(-1).clamp(min=1)


def point_distance(points: Tensor, wanted: Tensor, marked: Tensor) -> Tensor:
    """Mean of |dx| + |dy| over the marked points, [...] of points [..., 17, 2]."""
    apart = (points - wanted).abs().sum(-1)
    return (apart * marked).sum(-1) / marked.sum(-1).clamp(min=1)


@torch.no_grad()
def match(found: People, truth: Truth, weights: Weights) -> tuple[Tensor, Tensor, Tensor]:
    """The cheapest one-to-one pairing of queries and people in every picture.

    Returns pictures, queries and people, int64 [k] each.

    Raises:
        UserError: an output is not a finite number.
    """
    box, points = found.box.unsqueeze(2), found.points.unsqueeze(2)
    wanted, marked = truth.points.unsqueeze(1), truth.marked.unsqueeze(1)
    size = truth.box.unsqueeze(1)
    cost = (
        -weights.score * torch.sigmoid(found.score).unsqueeze(2)
        + weights.box * (box - size).abs().sum(-1)
        - weights.giou * giou(box, size)
        + weights.points * point_distance(points, wanted, marked)
        - weights.oks * oks(points, size, wanted, marked)
    )
    if not torch.isfinite(cost).all():
        raise UserError(
            "the network's people are not finite numbers, so they cannot be matched; lower "
            "learning_rate and train anew, in another folder with out=..."
        )
    triples = []
    for picture, (costs, count) in enumerate(
        zip(cost.cpu().numpy(), truth.counts.tolist(), strict=True)
    ):
        rows, columns = linear_sum_assignment(costs[:, :count])
        triples.append(np.stack([np.full_like(rows, picture), rows, columns]))
    chosen = torch.from_numpy(np.concatenate(triples, axis=1)).to(cost.device)
    return chosen[0], chosen[1], chosen[2]
