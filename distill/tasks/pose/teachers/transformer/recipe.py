"""The training recipe of the pose transformer."""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import UserError
from distill.engine.recipe import MapRun
from distill.tasks.pose.teachers.transformer.matching import Weights
from distill.tasks.pose.teachers.transformer.model import Shape


@dataclass
class LinearRecipe(MapRun):
    """Network, loss weights, schedule; :class:`distill.engine.recipe.MapRun` has the rest."""

    out: str = "runs/linear-teacher"
    backbone: str = "mobilenet"
    width: int = 160
    people: int = 10
    blocks: int = 4
    layers: int = 6
    heads: int = 4
    start_backbone: str = ""  # a checkpoint for the backbone's first weights
    backbone_rate: float = 0.1  # of learning_rate; 0 freezes the backbone
    score_weight: float = 2.0
    box_weight: float = 2.0
    giou_weight: float = 1.0
    points_weight: float = 10.0
    oks_weight: float = 3.0
    seen_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shape()
        if self.backbone_rate < 0:
            raise UserError(f"backbone_rate is {self.backbone_rate}; it cannot be negative")
        for name in Weights.__dataclass_fields__:
            if not getattr(self, f"{name}_weight") >= 0:
                value = getattr(self, f"{name}_weight")
                raise UserError(f"{name}_weight is {value}; it cannot be negative")

    def shape(self) -> Shape:
        """The network's."""
        return Shape(
            self.backbone, self.width, self.people, self.blocks, self.layers, self.heads
        )  # fmt: skip

    def weights(self) -> Weights:
        """Of cost and loss."""
        return Weights(**{n: getattr(self, f"{n}_weight") for n in Weights.__dataclass_fields__})
