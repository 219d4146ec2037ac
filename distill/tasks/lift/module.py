"""Teachers and students of lifting as Lightning modules."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ai8x_models.students import Student
from distill.engine.loss import distillation_loss
from distill.engine.module import TrainedModule, output_weights
from distill.engine.trainer import Watched
from distill.tasks.lift.data import Views, quantise, views_of
from distill.tasks.lift.loss import Critic, distance, supervised, unsupervised
from distill.tasks.lift.metrics import measure
from distill.tasks.lift.motion.mocap import window_reach
from distill.tasks.lift.networks import KeypointViT, LiftTransformer
from distill.tasks.lift.recipe import LiftRecipe, LiftStudentRecipe, LiftTeacherRecipe
from distill.tasks.lift.student import lift

MPJPE = Watched("mpjpe", "MPJPE (mm)", higher=False)
LOSS = Watched("unsupervised", "loss without labels", higher=False)


class LiftModule(TrainedModule):
    """What is common: the middle pose of a window is the answer; validation by MPJPE.

    ``forward`` of a subclass takes a batch (see :func:`distill.tasks.lift.data.make_views`) and
    returns poses float32 [N, 17, axes].
    """

    def __init__(self, recipe: LiftRecipe) -> None:
        super().__init__(recipe)
        self.middle = window_reach(recipe.window)[0]
        self.poses: list[np.ndarray] = []
        self.wanted: list[np.ndarray] = []

    def target(self, batch: dict[str, Tensor]) -> Tensor:
        """What ``forward`` should find."""
        return batch["pose"][:, self.middle]

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        """Collect poses, beside the truth; 2D ones get a third axis of zeros."""
        for store, pose in ((self.poses, self(batch)), (self.wanted, self.target(batch))):
            full = torch.nn.functional.pad(pose.float(), (0, 3 - pose.shape[-1]))
            store.append(full.cpu().numpy())

    def on_validation_epoch_end(self) -> None:
        """MPJPE of all processes' poses in millimetres (2D answers: thousandths of the extent)."""
        errors = measure(np.concatenate(self.poses), np.concatenate(self.wanted))
        self.log_pooled("mpjpe", errors.mpjpe * errors.poses, errors.poses)
        self.poses, self.wanted = [], []


class LiftTeacherModule(LiftModule):
    """A teacher that learns from labels."""

    def __init__(self, network: LiftTransformer | KeypointViT, recipe: LiftTeacherRecipe) -> None:
        super().__init__(recipe)
        self.network = network
        self.source, self.answer = recipe.mapping.split("-")
        self.bone_weight = recipe.bone_weight
        self.views: Views = views_of(recipe.views)

    def answer_weights(self) -> list[Tensor]:
        """Those of the first and the last layers, which Muon is not meant for either."""
        ends = ("embed", "head", "whole_head")
        named = self.network.named_parameters()
        return [weight for name, weight in named if name.split(".")[0] in ends]

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Poses of the 2D views, or of the 3D poses with a detector's errors."""
        if self.source == "2d":
            return self.network(batch["view"])
        source = batch["pose"]
        if self.training:
            source = self._disturbed(source)
        return self.network(source)

    def _disturbed(self, pose: Tensor) -> Tensor:
        noisy = pose + self.views.noise * torch.randn_like(pose)
        lost = torch.rand(pose.shape[:-1], device=pose.device) < self.views.lose
        return torch.where(lost[..., None], 0.0, noisy - noisy[..., :1, :])

    def target(self, batch: dict[str, Tensor]) -> Tensor:
        """The 3D pose, or the clean view."""
        return batch["pose" if self.answer == "3d" else "clean"][:, self.middle]

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean error of joints and bones."""
        return supervised(self(batch), self.target(batch), self.bone_weight)


class UnsupervisedModule(LiftTeacherModule):
    """A teacher that sees no 3D labels; it is judged by its losses on the validation set."""

    def __init__(self, network: LiftTransformer | KeypointViT, recipe: LiftTeacherRecipe) -> None:
        super().__init__(network, recipe)
        self.weights = recipe.self_supervision
        self.critic = Critic() if self.weights.adversarial else None
        self.total, self.count = 0.0, 0

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Weighted sum of the losses of :func:`..losses.unsupervised`."""
        view, neighbour = batch["view"][:, self.middle], None
        if batch["view"].shape[1] > self.middle + 1:
            neighbour = batch["view"][:, self.middle + 1]
        losses = unsupervised(self._lift, view, neighbour, self.critic)
        return torch.stack([getattr(self.weights, k) * v for k, v in losses.items()]).sum()

    def _lift(self, view: Tensor) -> Tensor:
        """A window that stands still: every guess must do with one view."""
        still: Tensor = self.network(view[:, None].expand(-1, self.network.window, -1, -1))
        return still

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        """The same losses."""
        count = len(batch["view"])
        self.total += count * float(self.loss(batch))
        self.count += count

    def on_validation_epoch_end(self) -> None:
        """Their mean over the windows of all processes."""
        self.log_pooled("unsupervised", self.total, self.count)
        self.total, self.count = 0.0, 0


class LiftStudentModule(LiftModule):
    """A chip student, trained on labels and, where there is a teacher, on its poses.

    It always sees bytes. The teacher sees the exact views of one frame, and is kept out of the
    module's parameters, hence out of its checkpoints.
    """

    def __init__(
        self, student: Student, recipe: LiftStudentRecipe,
        teacher: LiftTransformer | KeypointViT | None = None,
    ) -> None:  # fmt: skip
        super().__init__(recipe)
        self.student = student
        self.share = recipe.teacher_share
        self.teacher = (teacher,)  # a tuple hides it from torch

    def answer_weights(self) -> list[Tensor]:
        """Those of the student's output layer."""
        return output_weights(self.student)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Poses of the views, rounded to bytes."""
        return lift(self.student, quantise(batch["view"][:, self.middle]))

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean error against the labels, mixed with that against the teacher."""
        found = self(batch)
        truth = distance(found, self.target(batch))
        (teacher,) = self.teacher
        if teacher is None:
            return truth
        with torch.no_grad():
            wanted = teacher.to(found.device)(batch["clean"][:, self.middle : self.middle + 1])
        return distillation_loss(truth, distance(found, wanted), self.share)
