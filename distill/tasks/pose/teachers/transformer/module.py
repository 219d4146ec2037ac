"""Training of the pose transformer: loss, learning rates, validation by PCK and OKS."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ai8x_models.skeleton import COCO17_TO_18
from distill.engine.module import TrainedModule
from distill.engine.muon import Muon
from distill.people.crops import to_input
from distill.people.metrics import pck
from distill.tasks.pose.teachers.transformer.loss import set_loss
from distill.tasks.pose.teachers.transformer.matching import oks, truth_of
from distill.tasks.pose.teachers.transformer.model import DecoderLayer, LinearPose, People
from distill.tasks.pose.teachers.transformer.recipe import LinearRecipe
from distill.tasks.pose.teachers.transformer.render import best_person


class LinearModule(TrainedModule):
    """The pose transformer with its set loss."""

    recipe: LinearRecipe

    def __init__(self, network: LinearPose, recipe: LinearRecipe) -> None:
        super().__init__(recipe)
        self.network, self.weights = network, recipe.weights()
        self.backbone_rate = recipe.backbone_rate
        if not self.backbone_rate:
            network.backbone.requires_grad_(False)
        self.found: list[np.ndarray] = []
        self.truth: list[np.ndarray] = []

    def train(self, mode: bool = True) -> LinearModule:
        """A frozen backbone stays as it is: its batch norm must not move either."""
        super().train(mode)
        if not self.backbone_rate:
            self.network.backbone.eval()
        return self

    def forward(self, image: Tensor) -> list[People]:
        """People of every layer for uint8 images [n, 3, h, w]."""
        x = to_input(image).contiguous(memory_format=torch.channels_last)
        found: list[People] = self.network(x)
        return found

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """The set loss, its parts logged."""
        size = batch["image"].shape[-1]
        truth = truth_of(batch["keypoints"], batch["channels"][:, :18] > 0, size)
        total, parts = set_loss(self(batch["image"]), truth, batch["area"], self.weights)
        self.log_dict({f"loss_{name}": value for name, value in parts.items()})
        return total

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        """Collect the surest person of every crop, beside the truth."""
        found = self(batch["image"])[-1]
        self.found += list(best_person(found, batch["image"].shape[-1]))
        self.truth += list(batch["target_person"].cpu().numpy())

    def on_validation_epoch_end(self) -> None:
        """PCK@0.2 of the torso and mean OKS over the validation crops of all processes."""
        found, truth = np.stack(self.found), np.stack(self.truth)
        score = pck(found, truth)
        self.log_pooled("pck", score.correct, score.points)
        total, people = summed_oks(found, truth, self.recipe.size)
        self.log_pooled("oks", total, people)
        self.found, self.truth = [], []

    def make_optimizer(self) -> torch.optim.Optimizer:
        """AdamW or Muon, with a rate of its own for the backbone; offsets and norms do not decay.

        Under Muon the backbone, what answers and what is no map from tokens to tokens (kernels of
        one channel, first queries and anchors) stay with AdamW.
        """
        recipe, network = self.recipe, self.network
        hidden = hidden_weights(network) if recipe.optimizer == "muon" else []
        chosen = {id(p) for p in hidden}
        parts: list[tuple[list[nn.Parameter], float]] = [
            (list(network.backbone.parameters()), self.backbone_rate),
            ([*network.encoder.parameters(), *network.decoder.parameters()], 1.0),
        ]
        groups: list[dict[str, Any]] = []
        for parameters, rate in parts:
            for decays in (True, False):
                trained = [
                    p for p in parameters
                    if p.requires_grad and (p.ndim > 1) == decays and id(p) not in chosen
                ]  # fmt: skip
                if trained:
                    weight_decay = recipe.weight_decay * decays
                    rates = {"lr": rate * recipe.learning_rate, "weight_decay": weight_decay}
                    groups.append({"params": trained, **rates})
        if not hidden:
            return torch.optim.AdamW(groups, fused=True)
        return Muon(hidden, groups, recipe.learning_rate, recipe.muon_rate, recipe.weight_decay)


def hidden_weights(network: LinearPose) -> list[Tensor]:
    """Matrices behind the backbone that turn tokens into tokens, and so are for Muon."""
    layers = [layer for layer in network.decoder.layers if isinstance(layer, DecoderLayer)]
    answers = {id(head[-1].weight) for layer in layers for head in (layer.points, layer.box)}
    parts = [m for part in (network.encoder, network.decoder) for m in part.modules()]
    weights = [m.weight for m in parts if isinstance(m, nn.Linear | nn.Conv2d)]
    return [w for w in weights if id(w) not in answers and min(w.shape[:2]) > 1]


def summed_oks(found: np.ndarray, truth: np.ndarray, size: int) -> tuple[float, int]:
    """Object keypoint similarity of people [n, 18, 3] in crops of ``size`` pixels a side.

    COCO's 17 points count. Returns the sum over the people who have any of them marked, and how
    many they are.
    """
    people = truth_of(torch.from_numpy(truth)[:, None], torch.ones(len(truth), 18), size)
    points = (torch.from_numpy(found)[:, list(COCO17_TO_18), :2] + 0.5) / size
    alike = oks(points[:, None], people.box, people.points, people.marked)
    counted = people.marked.any(-1)
    return float(alike[counted].sum()), int(counted.sum())
