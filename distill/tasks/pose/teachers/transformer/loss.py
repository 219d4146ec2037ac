"""The loss of a set of people: every decoder layer is matched and judged by itself."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.tasks.pose.teachers.transformer.matching import (
    Truth,
    giou,
    match,
    oks,
    point_distance,
)
from distill.tasks.pose.teachers.transformer.model import People
from distill.tasks.pose.teachers.transformer.recipe import Weights

NOBODY = 0.2  # weight of a query without a person; most have none


def _together(layers: list[People]) -> People:
    """The outputs of all layers as if they were more pictures."""
    return People(
        torch.cat([found.score for found in layers]),
        torch.cat([found.box for found in layers]),
        torch.cat([found.points for found in layers]),
        torch.cat([found.seen for found in layers]),
    )


def _ignored(found: People, area: Tensor) -> Tensor:
    """Queries bool [n, p] whose box is centred where the truth is not known.

    ``area`` float32 [n, h, w] is zero there.
    """
    side = area.shape[-1]
    cell = (found.box[..., :2].detach() * side).long().clamp(0, side - 1)
    picture = torch.arange(len(area), device=area.device)[:, None]
    return area[picture, cell[..., 1], cell[..., 0]] == 0


def set_loss(
    layers: list[People], truth: Truth, area: Tensor, weights: Weights
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of the parts, and the parts: means over people, pictures and layers.

    ``area`` float32 [n, h, w] is zero where people are not annotated: a query there may say what
    it likes.
    """
    found = _together(layers)
    truth, area = truth.repeat(len(layers)), area.repeat(len(layers), 1, 1)
    picture, query, person = match(found, truth, weights)
    box, points = found.box[picture, query], found.points[picture, query]
    size, wanted = truth.box[picture, person], truth.points[picture, person]
    marked = truth.marked[picture, person]
    alike = oks(points, size, wanted, marked)
    parts = {
        "box": (box - size).abs().sum(-1),
        "giou": 1 - giou(box, size),
        "points": point_distance(points, wanted, marked),
        "oks": 1 - alike,
        "seen": _seen_loss(found.seen[picture, query], marked, truth.known[picture]),
    }
    means = {name: values.sum() / max(len(picture), 1) for name, values in parts.items()}
    # A query answers for how well it has its person, so that scores order people by quality.
    target = torch.zeros_like(found.score)
    target[picture, query] = 0.5 + 0.5 * alike.detach()
    weight = torch.where(_ignored(found, area), 0.0, NOBODY)
    weight[picture, query] = 1.0
    judged = F.binary_cross_entropy_with_logits(found.score, target, weight, reduction="sum")
    means["score"] = judged / weight.sum().clamp(min=1)
    total = torch.stack([getattr(weights, name) * value for name, value in means.items()]).sum()
    return total, means


def _seen_loss(seen: Tensor, marked: Tensor, labelled: Tensor) -> Tensor:
    """Cross entropy [k], the mean of a person's points known to be there or not."""
    known = (labelled | marked).to(seen)
    loss = F.binary_cross_entropy_with_logits(seen, marked.to(seen), known, reduction="none")
    return loss.sum(-1) / known.sum(-1).clamp(min=1)
