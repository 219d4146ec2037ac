"""The pose student as a Lightning module: loss, schedule, validation by PCK."""

from __future__ import annotations

import lightning as L
import numpy as np
import torch
from torch import Tensor

from ai8x_models.decode import decode_single
from ai8x_models.students import Student
from distill.config import Recipe
from distill.data import to_input
from distill.loss import map_loss
from distill.metrics import pck


class PoseModule(L.LightningModule):
    """Trains a student on ground-truth maps; PCK@0.2 on the validation crops."""

    def __init__(self, student: Student, recipe: Recipe) -> None:
        super().__init__()
        self.student = student
        self.recipe = recipe
        self.found: list[np.ndarray] = []
        self.truth: list[np.ndarray] = []

    def forward(self, image: Tensor) -> Tensor:
        """uint8 images [N, 3, H, W] -> maps float32 [N, 57, H/8, W/8]."""
        x = to_input(image).contiguous(memory_format=torch.channels_last)
        return torch.cat([m.float() for m in self.student.maps(x)], dim=1)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """Masked map loss; stops with a sentence when it is not finite."""
        loss = map_loss(
            self(batch["image"]), batch["target"], batch["channels"], batch["area"],
            self.recipe.positive_weight, self.recipe.paf_weight,
        )  # fmt: skip
        if not torch.isfinite(loss):
            raise RuntimeError(
                f"the loss is {loss.item()} in epoch {self.current_epoch}, step {index}; "
                "lower learning_rate and resume from the last checkpoint"
            )
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        """Collect the highest cell of every map, beside the truth."""
        maps = self(batch["image"])[:, :19].float().cpu().numpy()
        self.found += [decode_single(heatmaps) for heatmaps in maps]
        self.truth += list(batch["target_person"].cpu().numpy())

    def on_validation_epoch_end(self) -> None:
        """PCK@0.2 of the torso over all validation crops."""
        score = pck(np.stack(self.found), np.stack(self.truth)).overall
        self.log("pck", score, prog_bar=True)
        print(f"epoch {self.current_epoch + 1}: validation PCK@0.2 {score:.4f}", flush=True)
        self.found, self.truth = [], []

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        """AdamW; warm-up, constant rate, then linear decay to zero at the end of the run."""
        decay = [p for p in self.student.parameters() if p.requires_grad and p.ndim > 1]
        plain = [p for p in self.student.parameters() if p.requires_grad and p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [
                {"params": decay, "weight_decay": self.recipe.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=self.recipe.learning_rate,
        )
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
