"""Students and teachers of maps as modules: losses, validation by PCK."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ai8x_models.decode import decode_single
from ai8x_models.students import Student
from distill.engine.loss import distillation_loss
from distill.engine.module import TrainedModule, output_weights
from distill.people.crops import to_input
from distill.people.metrics import pck
from distill.tasks.pose.loss import known_loss, map_loss
from distill.tasks.pose.recipe import (
    MapLearning,
    PictureLearning,
    PictureRecipe,
    PictureTeacherRecipe,
    Recipe,
    TeacherRecipe,
)
from distill.tasks.pose.teacher_maps import TeacherMaps
from distill.tasks.pose.teachers.openpose import LightweightOpenPose


def plain_loss(
    maps: Tensor, target: Tensor, recipe: MapLearning, known: Tensor | None = None
) -> Tensor:
    """Loss of maps against others, where they are known (everywhere, when nothing is said)."""
    return known_loss(maps, target, known, recipe.positive_weight, recipe.paf_weight)


def view_losses(
    maps: Tensor, batch: dict[str, Tensor], recipe: PictureLearning
) -> dict[str, Tensor]:
    """Losses of a view's maps: against its labels, and its picture teacher's maps if it has any."""
    losses = {"loss_truth": plain_loss(maps, batch["target"], recipe, batch["known"])}
    if "teacher" in batch:
        losses["loss_teacher"] = plain_loss(maps, batch["teacher"], recipe)
    return losses


def told(seen: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """What a view's teacher has ``seen`` [N, 57, h, w], or the labels where those say everything.

    A float student that answers points hidden behind somebody would otherwise teach its quantised
    self to go on doing so, on the very pictures whose labels leave them out.
    """
    return torch.where(batch["complete"][:, None, None, None], batch["target"].to(seen), seen)


def mixed(losses: dict[str, Tensor], recipe: PictureLearning) -> Tensor:
    """One loss of :func:`view_losses`, by the recipe's share."""
    if "loss_teacher" not in losses:
        return losses["loss_truth"]
    return distillation_loss(losses["loss_truth"], losses["loss_teacher"], recipe.picture_share)


class MapModule(TrainedModule):
    """What all networks with maps share: their input, their loss, validation by PCK.

    ``forward`` of a subclass takes uint8 images [N, 3, H, W] and returns the maps that count,
    float32 [N, 57, H/8, W/8].
    """

    recipe: MapLearning

    def __init__(self, recipe: MapLearning) -> None:
        super().__init__(recipe)
        self.found: list[np.ndarray] = []
        self.truth: list[np.ndarray] = []

    def network_input(self, image: Tensor) -> Tensor:
        """uint8 images as float32 network input, channels last in memory (faster convolutions)."""
        return to_input(image).contiguous(memory_format=torch.channels_last)

    def truth_loss(self, maps: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Loss against the ground truth, where there is one."""
        return map_loss(
            maps, batch["target"], batch["channels"], batch["area"],
            self.recipe.positive_weight, self.recipe.paf_weight,
        )  # fmt: skip

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        """Collect the highest cell of every map, beside the truth."""
        maps = self(batch["image"])[:, :19].float().cpu().numpy()
        stride = batch["image"].shape[-1] // maps.shape[-1]
        self.found += [decode_single(heatmaps, stride) for heatmaps in maps]
        self.truth += list(batch["target_person"].cpu().numpy())

    def on_validation_epoch_end(self) -> None:
        """PCK@0.2 of the torso over all validation crops, those of other processes included."""
        score = pck(np.stack(self.found), np.stack(self.truth))
        self.log_pooled("pck", score.correct, score.points)
        self.found, self.truth = [], []


class PoseModule(MapModule):
    """A student, trained on ground truth and, where there is a teacher, on its maps.

    The teacher is kept out of the module's parameters, hence out of its checkpoints.
    """

    def __init__(
        self, student: Student, recipe: Recipe | PictureRecipe, teacher: TeacherMaps | None = None
    ) -> None:
        super().__init__(recipe)
        self.student = student
        self.share = recipe.teacher_share
        self.teacher = (teacher,)  # a tuple hides it from torch

    def forward(self, image: Tensor) -> Tensor:
        """Maps float32 [N, 57, H/8, W/8] of uint8 images [N, 3, H, W]."""
        maps = self.student.maps(self.network_input(image))
        return torch.cat([m.float() for m in maps], dim=1)

    def answer_weights(self) -> list[Tensor]:
        """Those of the student's output layers."""
        return output_weights(self.student)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Ground truth, mixed with the teacher's maps if there is a teacher.

        The teacher has an opinion on every cell, so it also teaches where ground truth is masked.
        """
        maps = self(batch["image"])
        truth = self.truth_loss(maps, batch)
        (teacher,) = self.teacher
        if teacher is None:
            return truth
        wanted = teacher(batch).to(maps)
        taught = map_loss(
            maps, wanted, torch.ones_like(batch["channels"]), torch.ones_like(batch["area"]),
            self.recipe.positive_weight, self.recipe.paf_weight,
        )  # fmt: skip
        self.log_dict({"loss_truth": truth, "loss_teacher": taught})
        return distillation_loss(truth, taught, self.share)


class ViewModule(PoseModule):
    """A student on views of ordinary pictures; see :class:`PictureRecipe` for its teachers."""

    recipe: PictureRecipe

    def __init__(
        self, student: Student, recipe: PictureRecipe, teacher: TeacherMaps | None = None
    ) -> None:
        super().__init__(student, recipe, teacher)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Labels and the picture teacher's maps; then, where there is one, the view's teacher."""
        maps = self(batch["image"])
        losses = view_losses(maps, batch, self.recipe)
        self.log_dict(losses)
        loss = mixed(losses, self.recipe)
        (teacher,) = self.teacher
        if teacher is not None:
            taught = plain_loss(maps, told(teacher(batch), batch).to(maps), self.recipe)
            loss = distillation_loss(loss, taught, self.share)
        return loss


class TeacherModule(MapModule):
    """A teacher: the sum of the losses of all its stages."""

    def __init__(
        self, teacher: LightweightOpenPose, recipe: TeacherRecipe | PictureTeacherRecipe
    ) -> None:
        super().__init__(recipe)
        self.teacher = teacher

    def forward(self, image: Tensor) -> Tensor:
        """Maps of the last stage."""
        last: Tensor = self.teacher(self.network_input(image))[-1]
        return last.float()

    def answer_weights(self) -> list[Tensor]:
        """Those of the last layers of all stages' heads."""
        stages = [self.teacher.initial_stage, *self.teacher.refinement_stages]
        heads = [head for stage in stages for head in (stage.heatmaps, stage.pafs)]
        return [head[-1][0].weight for head in heads]

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Sum over the stages; each must find the pose from what the stage before left."""
        stages = self.teacher(self.network_input(batch["image"]))
        losses = [self.truth_loss(maps.float(), batch) for maps in stages]
        self.log_dict({f"loss_stage{index}": loss for index, loss in enumerate(losses)})
        return torch.stack(losses).sum()


class TeacherViewModule(TeacherModule):
    """A teacher on views of ordinary pictures."""

    recipe: PictureTeacherRecipe

    def truth_loss(self, maps: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Labels, and the picture teacher's maps by their share."""
        return mixed(view_losses(maps, batch, self.recipe), self.recipe)
