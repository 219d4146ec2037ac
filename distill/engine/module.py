"""What everything that is trained shares: optimiser, schedule, a finite loss, pooled figures."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from ai8x_models.students import Student
from common.errors import UserError
from distill.engine import resume
from distill.engine.muon import Muon
from distill.engine.recipe import Run

# A matrix of more weights stays with AdamW: an orthogonal update would cost more than the step.
_LARGEST = 1 << 22


def output_weights(student: Student) -> list[Tensor]:
    """Weights of the layers that write a student's answer."""
    return [
        layer.op.weight for spec, layer in student.layers() if spec.name in student.spec.outputs
    ]


def leave_scaling(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Have the trainer unscale gradients itself, which fused optimizers would rather do.

    Otherwise the trainer library refuses to clip gradients under mixed precision.
    """
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    return optimizer


class Reporting(L.LightningDataModule):
    """The data of a training run, which can say what there is."""

    def report(self) -> str:
        """Lines about what is used and what was left out."""
        raise NotImplementedError


class TrainedModule(L.LightningModule):
    """What everything that is trained shares: schedule, and a loss that must be finite."""

    def __init__(self, recipe: Run) -> None:
        super().__init__()
        self.recipe = recipe
        self.told: dict[str, str] = {}  # what checkpoints keep of the recipe

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep beside the weights what the run was told."""
        checkpoint[resume.KEY] = self.told

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Loss of one batch."""
        raise NotImplementedError

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """One step; stops with a sentence when the loss is not finite."""
        loss = self.loss(batch)
        if not torch.isfinite(loss):
            raise UserError(
                f"the loss is {loss.item()} in epoch {self.current_epoch + 1}, step {index + 1}; "
                f"lower learning_rate (now {self.recipe.learning_rate:g}) and train anew, in "
                f"another folder than {self.recipe.out} with out=..."
            )
        self.log("loss", loss, prog_bar=True)
        return loss

    def log_pooled(self, name: str, total: float, count: float) -> None:
        """Log ``total / count`` over the validation data of all processes together.

        Both are summed first, because a mean of each process's mean would weigh them unequally.
        (To give every process as much to do, the sampler repeats up to one less item than there
        are processes.) NaN where nothing was counted anywhere.
        """
        # float32: a checkpoint that keeps a float64 cannot be resumed on Apple's MPS.
        parts = torch.tensor([total, count], dtype=torch.float32, device=self.device)
        parts = self.trainer.strategy.reduce(parts, reduce_op="sum")
        self.log(name, parts[0] / parts[1], sync_dist=True)

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
            plain_optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
            return leave_scaling(plain_optimizer)
        muon = Muon(hidden, groups, recipe.learning_rate, recipe.muon_rate, recipe.weight_decay)
        return leave_scaling(muon)

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
