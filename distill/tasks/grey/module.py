"""Detectors and students of the grey task as Lightning modules."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from ai8x_models.point_maps import PointMaps
from ai8x_models.point_reader import as_bytes, read_points, real
from ai8x_models.students import Student
from distill.engine.loss import distillation_loss
from distill.engine.module import TrainedModule, output_weights
from distill.people.crops import to_input
from distill.people.person_sets import GREY
from distill.tasks.grey.data import fractions_of
from distill.tasks.grey.detectors import Detector
from distill.tasks.grey.metrics import grey_pck
from distill.tasks.grey.points import Points, points_of
from distill.tasks.grey.recipe import GreyRecipe, GreyRun, GreyTeacherRecipe
from distill.tasks.grey.student import STRIDE

_USUAL_INPUTS = 1024  # layers with as many learn well at the rates of the recipes


def point_loss(found: Tensor, wanted: Tensor, known: Tensor, recipe: GreyTeacherRecipe) -> Tensor:
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


def gaussians(points: Tensor, side: int, sigma: float) -> Tensor:
    """Maps [N, K, side, side] of points [N, K, 3], fractions of the crop; nothing where hidden.

    ``sigma`` is the Gaussians' width in cells.
    """
    centres = torch.arange(side, dtype=points.dtype, device=points.device)
    far = points[..., :2] * side - 0.5
    x, y = (torch.exp(-0.5 * ((centres - far[..., i, None]) / sigma) ** 2) for i in (0, 1))
    return (y * (points[..., 2:] > 0))[..., :, None] * x[..., None, :]


def map_loss(found: Tensor, wanted: Tensor, known: Tensor, positive_weight: float) -> Tensor:
    """Mean squared error of maps [N, K, h, w] over those that are ``known`` [N, K].

    A cell counts ``1 + positive_weight`` times its wanted value, since nine in ten are empty.
    """
    error = (found - wanted) ** 2 * (1 + positive_weight * wanted) * known[..., None, None]
    return error.sum() / (known.sum() * wanted[0, 0].numel()).clamp_min(1)


def usual_points(keypoints: int) -> PointMaps:
    """The settings of a student whose peaks nobody has compared with the truth."""
    return PointMaps(points_of(keypoints).places)


def network_input(student: Student, images: Tensor) -> Tensor:
    """uint8 images [N, 1, size, size] as a student takes them in its mode."""
    if student.mode == "integer":
        return images.float() - GREY
    return to_input(images).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def student_maps(student: Student, x: Tensor) -> npt.NDArray[np.int8]:
    """Maps int8 [N, K, h, w] as the chip holds them, in any of the student's modes."""
    (maps,) = student.maps(x)
    return as_bytes(maps.double().cpu().numpy())


def points_in(maps: npt.NDArray[np.int8], settings: PointMaps) -> npt.NDArray[np.float64]:
    """Points [N, K, 3] of a student's maps: fractions of the crop and probabilities."""
    found = real(read_points(maps, settings, STRIDE))
    return fractions_of(found, maps.shape[-1] * STRIDE)


class GreyModule(TrainedModule):
    """What detectors and students share: validation by PCK."""

    recipe: GreyRun

    def __init__(self, recipe: GreyRun) -> None:
        super().__init__(recipe)
        self.points: Points = points_of(recipe.keypoints)
        self.found: list[np.ndarray] = []
        self.truth: list[np.ndarray] = []

    def answer(self, image: Tensor) -> np.ndarray:
        """Points [N, K, 3], fractions, of uint8 images [N, 1, size, size]."""
        raise NotImplementedError

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        """Collect points and truth, both as fractions."""
        self.found.append(self.answer(batch["image"]))
        self.truth.append(batch["points"].cpu().numpy())

    def on_validation_epoch_end(self) -> None:
        """PCK@0.2 of the torso over all validation crops, those of other processes included."""
        score = grey_pck(np.concatenate(self.found), np.concatenate(self.truth), self.points)
        self.log_pooled("pck", score.correct, score.points)
        self.found, self.truth = [], []


class StudentModule(GreyModule):
    """A chip student: ground truth, and a teacher's maps where there is one.

    A detector's points come with the crops (:func:`distill.tasks.grey.train.teach`); another
    student, which is kept out of the module's parameters, looks at every crop.
    """

    recipe: GreyRecipe

    def __init__(
        self, student: Student, recipe: GreyRecipe, teacher: Student | None = None
    ) -> None:
        super().__init__(recipe)
        self.student = student
        self.teacher = (teacher,)  # a tuple hides it from torch

    def forward(self, image: Tensor) -> Tensor:
        """Maps float32 [N, K, size / 4, size / 4] of uint8 images [N, 1, size, size]."""
        x = to_input(image).contiguous(memory_format=torch.channels_last)
        (maps,) = self.student.maps(x)
        return maps.float()

    def answer(self, image: Tensor) -> np.ndarray:
        """See :meth:`GreyModule.answer`."""
        maps = as_bytes(self(image).cpu().numpy())
        return points_in(maps, usual_points(self.recipe.keypoints))

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Ground truth, mixed with the teacher if there is one."""
        maps = self(batch["image"])
        known = torch.maximum(batch["known"], batch["points"][..., 2])
        truth = self._against(maps, self._targets(maps, batch["points"]), known)
        wanted = self._taught(batch, maps)
        if wanted is None:
            return truth
        taught = self._against(maps, wanted, torch.ones_like(known))
        self.log_dict({"loss_truth": truth, "loss_teacher": taught})
        return distillation_loss(truth, taught, self.recipe.teacher_share)

    def _targets(self, maps: Tensor, points: Tensor) -> Tensor:
        return gaussians(points, maps.shape[-1], self.recipe.sigma / STRIDE)

    def _against(self, maps: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
        return map_loss(maps, wanted, known, self.recipe.positive_weight)

    @torch.no_grad()
    def _taught(self, batch: dict[str, Tensor], maps: Tensor) -> Tensor | None:
        """The teacher's maps, from nothing upwards."""
        if "taught" in batch:
            return self._targets(maps, batch["taught"])
        (teacher,) = self.teacher
        if teacher is None:
            return None
        x = to_input(batch["image"]).contiguous(memory_format=torch.channels_last)
        (wanted,) = teacher.maps(x)
        if self.recipe.teacher_flip:
            (mirrored,) = teacher.maps(x.flip(-1))
            wanted = (wanted + mirrored.flip(-1)[:, list(self.points.mirrored)]) / 2
        return wanted.float().clamp_min(0)

    def answer_weights(self) -> list[Tensor]:
        """Those of the student's output layer."""
        return output_weights(self.student)


class DetectorModule(GreyModule):
    """A detector, on ground truth."""

    recipe: GreyTeacherRecipe

    def __init__(self, network: Detector, recipe: GreyTeacherRecipe) -> None:
        super().__init__(recipe)
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Points float32 [N, K, 3] of uint8 images [N, 1, size, size]."""
        points: Tensor = self.network(to_input(image))
        return points.float()

    def answer(self, image: Tensor) -> np.ndarray:
        """See :meth:`GreyModule.answer`."""
        return np.asarray(self(image).cpu().numpy())

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Against ground truth."""
        return point_loss(self(batch["image"]), batch["points"], batch["known"], self.recipe)

    def relative_rate(self, weight: Tensor) -> float:
        """Smaller for layers with very many inputs.

        AdamW moves every weight by its rate whatever the gradient, so a sum over 65,536 inputs
        that rise and fall together would move by hundreds of its own size in one step. The rate
        that a width needs falls as its inverse (Yang et al., "Tensor Programs V", 2022).
        """
        return min(1.0, _USUAL_INPUTS / weight[0].numel())

    def answer_weights(self) -> list[Tensor]:
        """Those of the last layer."""
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
