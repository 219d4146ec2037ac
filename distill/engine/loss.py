"""How the teacher and the ground truth share a student's loss."""

from __future__ import annotations

import torch
from torch import Tensor


def distillation_loss(ground_truth: Tensor, teacher: Tensor, teacher_share: float = 0.7) -> Tensor:
    """0.3 x ground-truth loss + 0.7 x teacher loss."""
    return torch.lerp(ground_truth, teacher, teacher_share)
