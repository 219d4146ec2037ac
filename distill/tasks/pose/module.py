"""Students and teachers as Lightning modules: losses, schedule, validation by PCK."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from ai8x_models.decode import decode_single
from ai8x_models.students import Student
from common.errors import UserError
from distill.engine.muon import Muon
from distill.engine.recipe import Recipe, Run, TeacherRecipe
from distill.people.crops import to_input
from distill.people.metrics import pck
from distill.tasks.pose.loss import distillation_loss, map_loss
from distill.tasks.pose.teacher_maps import TeacherMaps
from distill.tasks.pose.teachers.openpose import LightweightOpenPose

# A matrix of more weights stays with AdamW: an orthogonal update would cost more than the step.
_LARGEST = 1 << 22


def output_weights(student: Student) -> list[Tensor]:
    """Weights of the layers that write a student's answer."""
    return [
        layer.op.weight for spec, layer in student.layers() if spec.name in student.spec.outputs
    ]


class TrainedModule(L.LightningModule):
    """What everything that is trained shares: schedule, and a loss that must be finite."""

    def __init__(self, recipe: Run) -> None:
        super().__init__()
        self.recipe = recipe

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Loss of one batch."""
        raise NotImplementedError

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """One step; stops with a sentence when the loss is not finite."""
        loss = self.loss(batch)
        if not torch.isfinite(loss):
            raise UserError(
                f"the loss is {loss.item()} in epoch {self.current_epoch + 1}, step {index + 1}; "
                f"lower learning_rate (now {self.recipe.learning_rate:g}) and run again: training "
                f"goes on from the last checkpoint under {self.recipe.out}"
            )
        self.log("loss", loss, prog_bar=True)
        return loss

    def make_optimizer(self) -> torch.optim.Optimizer:
        """AdamW or Muon; weights decay, offsets and batch norm do not.

        Under Muon the weights that write the answer stay with AdamW, and so do kernels that read
        one channel each, whose rows have nothing in common, and matrices of millions of weights.
        """
        recipe, answer = self.recipe, {id(weight) for weight in self.answer_weights()}
        trained = [p for p in self.parameters() if p.requires_grad]
        hidden: list[nn.Parameter] = []
        if recipe.optimizer == "muon":
            hidden = [
                p for p in trained
                if p.ndim > 1 and min(p.shape[:2]) > 1
                and p.numel() <= _LARGEST and id(p) not in answer
            ]  # fmt: skip
        chosen = {id(p) for p in hidden}
        decay = [p for p in trained if p.ndim > 1 and id(p) not in chosen]
        plain = [p for p in trained if p.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": plain, "weight_decay": 0.0}]
        for rate in sorted({self.relative_rate(p) for p in decay}):
            same = [p for p in decay if self.relative_rate(p) == rate]
            lr, weight_decay = rate * recipe.learning_rate, recipe.weight_decay / rate
            groups.append({"params": same, "weight_decay": weight_decay, "lr": lr})
        if not hidden:
            return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
        return Muon(hidden, groups, recipe.learning_rate, recipe.muon_rate, recipe.weight_decay)

    def relative_rate(self, weight: Tensor) -> float:
        """Rate of a weight of two or more dimensions under AdamW, in units of the recipe's."""
        return 1.0

    def answer_weights(self) -> list[Tensor]:
        """Weights of the layers that write the network's answer."""
        return []

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        """Warm-up, constant rate, then linear decay to zero at the end of the run."""
        optimizer = self.make_optimizer()
        total = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self._rate(step, total)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _rate(self, step: int, total: int) -> float:
        warm = min(1.0, (step + 1) / max(self.recipe.warmup_steps, 1))
        tail = max(self.recipe.decay_fraction * total, 1.0)
        return min(warm, max(0.0, (total - step) / tail), 1.0)


class MapModule(TrainedModule):
    """What all networks with maps share: their input, their loss, validation by PCK.

    ``forward`` of a subclass takes uint8 images [N, 3, H, W] and returns the maps that count,
    float32 [N, 57, H/8, W/8].
    """

    def __init__(self, recipe: Run) -> None:
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
        """PCK@0.2 of the torso over all validation crops, those of other processes included.

        Points are counted, because a mean of each process's share would weigh them unequally. (To
        give every process as many crops, the sampler repeats up to one less than there are.)
        """
        score = pck(np.stack(self.found), np.stack(self.truth))
        # float32: a checkpoint that keeps a float64 cannot be resumed on Apple's MPS.
        counts = torch.tensor([score.correct, score.points], dtype=torch.float32)
        counts = self.trainer.strategy.reduce(counts.to(self.device), reduce_op="sum")
        self.log("pck", counts[0] / counts[1], sync_dist=True)
        self.found, self.truth = [], []


class PoseModule(MapModule):
    """A student, trained on ground truth and, where there is a teacher, on its maps.

    The teacher is kept out of the module's parameters, hence out of its checkpoints.
    """

    def __init__(
        self, student: Student, recipe: Recipe, teacher: TeacherMaps | None = None
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


class TeacherModule(MapModule):
    """A teacher: the sum of the losses of all its stages."""

    def __init__(self, teacher: LightweightOpenPose, recipe: TeacherRecipe) -> None:
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
