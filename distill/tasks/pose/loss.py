"""Losses on heatmaps and part-affinity fields."""

from __future__ import annotations

from torch import Tensor

HEATMAPS = 19


def map_loss(
    predicted: Tensor,
    target: Tensor,
    channels: Tensor,
    area: Tensor,
    positive_weight: float = 0.0,
    paf_weight: float = 1.0,
) -> Tensor:
    """Masked, weighted squared error of maps [N, 57, h, w] (19 heatmaps, then 38 PAFs).

    ``channels`` [N, 57] and ``area`` [N, h, w] are 0/1 masks; where the target is not zero the
    error counts ``1 + positive_weight * |target|`` times, because nine cells in ten are empty.
    Returns the mean over the unmasked cells of both kinds of map.
    """
    mask = channels[:, :, None, None] * area[:, None]
    error = (predicted - target) ** 2 * (1 + positive_weight * target.abs()) * mask
    cells = mask.expand_as(error)
    heat = error[:, :HEATMAPS].sum() / cells[:, :HEATMAPS].sum().clamp(min=1)
    paf = error[:, HEATMAPS:].sum() / cells[:, HEATMAPS:].sum().clamp(min=1)
    return heat + paf_weight * paf


def known_loss(
    predicted: Tensor,
    target: Tensor,
    known: Tensor | None = None,
    positive_weight: float = 0.0,
    paf_weight: float = 1.0,
) -> Tensor:
    """As :func:`map_loss`, with one mask ``known`` bool [N, 57, h, w] (None: all cells count)."""
    error = (predicted - target) ** 2 * (1 + positive_weight * target.abs())
    if known is None:
        heat, paf = error[:, :HEATMAPS].mean(), error[:, HEATMAPS:].mean()
    else:
        mask = known.to(error.dtype)
        error = error * mask
        heat = error[:, :HEATMAPS].sum() / mask[:, :HEATMAPS].sum().clamp(min=1)
        paf = error[:, HEATMAPS:].sum() / mask[:, HEATMAPS:].sum().clamp(min=1)
    return heat + paf_weight * paf
