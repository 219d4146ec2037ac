"""Detectors and students of the grey task as Lightning modules."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ai8x_models.students import Student
from distill.engine.loss import distillation_loss
from distill.engine.module import TrainedModule, output_weights
from distill.people.crops import to_input
from distill.tasks.grey.metrics import grey_pck
from distill.tasks.grey.points import points_of
from distill.tasks.grey.recipe import GreyRecipe, GreyRun

_USUAL_INPUTS = 1024  # layers with as many learn well at the rates of the recipes


def point_loss(found: Tensor, wanted: Tensor, known: Tensor, recipe: GreyRun) -> Tensor:
    """Mean error of points [N, K, 3]: of places where they are visible, of visibility where known.

    ``known`` is [N, K], 1 where the visibility itself is certain.
    """
    visible = wanted[..., 2:] > 0
    weight = torch.cat([visible.expand(-1, -1, 2), (known[..., None] > 0) | visible], dim=-1)
    if recipe.loss == "mse":
        error = F.mse_loss(found, wanted, reduction="none")
    else:
        error = F.smooth_l1_loss(found, wanted, reduction="none", beta=recipe.beta)
    return (error * weight).sum() / weight.sum().clamp_min(1)


def student_points(student: Student, x: Tensor) -> Tensor:
    """Points [N, K, 3] as real numbers, in any of the student's modes."""
    (numbers,) = student.maps(x)
    return numbers.flatten(1).unflatten(1, (-1, 3)).float()


class PointModule(TrainedModule):
    """A detector or a student: ground truth, and the teacher's points if the crops bring them."""

    recipe: GreyRun

    def __init__(self, network: nn.Module, recipe: GreyRun) -> None:
        super().__init__(recipe)
        self.network = network
        self.share = recipe.teacher_share if isinstance(recipe, GreyRecipe) else 0.0
        self.points = points_of(recipe.keypoints)
        self.found: list[np.ndarray] = []
        self.truth: list[np.ndarray] = []

    @property
    def student(self) -> Student:
        """The network, where it is a student."""
        assert isinstance(self.network, Student)
        return self.network

    def forward(self, image: Tensor) -> Tensor:
        """Points float32 [N, K, 3] of uint8 images [N, 1, size, size]."""
        x = to_input(image)
        if isinstance(self.network, Student):
            return student_points(self.network, x)
        points: Tensor = self.network(x)
        return points.float()

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Ground truth, mixed with the teacher if there is one."""
        found = self(batch["image"])
        truth = point_loss(found, batch["points"], batch["known"], self.recipe)
        if "taught" not in batch:
            return truth
        taught = point_loss(found, batch["taught"], torch.zeros_like(batch["known"]), self.recipe)
        self.log_dict({"loss_truth": truth, "loss_teacher": taught})
        return distillation_loss(truth, taught, self.share)

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        """Collect points and truth, both as fractions."""
        self.found.append(self(batch["image"]).float().cpu().numpy())
        self.truth.append(batch["points"].cpu().numpy())

    def on_validation_epoch_end(self) -> None:
        """PCK@0.2 of the torso over all validation crops, those of other processes included."""
        score = grey_pck(np.concatenate(self.found), np.concatenate(self.truth), self.points)
        self.log_pooled("pck", score.correct, score.points)
        self.found, self.truth = [], []

    def relative_rate(self, weight: Tensor) -> float:
        """Smaller for layers with very many inputs.

        AdamW moves every weight by its rate whatever the gradient, so a sum over 65,536 inputs
        that rise and fall together would move by hundreds of its own size in one step. The rate
        that a width needs falls as its inverse (Yang et al., "Tensor Programs V", 2022).
        """
        return min(1.0, _USUAL_INPUTS / weight[0].numel())

    def answer_weights(self) -> list[Tensor]:
        """Those of a student's output layer, or of a detector's last layer."""
        if isinstance(self.network, Student):
            return output_weights(self.network)
        weights: list[Tensor] = [p for p in self.network.parameters() if p.ndim > 1]
        return weights[-1:]

    def make_optimizer(self) -> torch.optim.Optimizer:
        """One of those of every run, or SGD with momentum as it is described for the detectors."""
        if self.recipe.optimizer != "sgd":
            return super().make_optimizer()
        return torch.optim.SGD(
            [p for p in self.parameters() if p.requires_grad],
            lr=self.recipe.learning_rate,
            momentum=self.recipe.momentum,
            weight_decay=self.recipe.weight_decay,
        )
