"""The training recipe of the pose transformer: its shape, the weights of its loss, its schedule."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.errors import UserError
from distill.engine.inputs import FILE
from distill.people.recipe import MapRun


@dataclass(frozen=True)
class Shape:
    """What a checkpoint must say to rebuild the network.

    Attributes:
        backbone: one of :data:`distill.tasks.pose.teachers.transformer.backbones.NAMES`.
        width: channels of every token.
        people: persons looked for in a picture.
        blocks: encoder blocks.
        layers: decoder layers, each with an output.
        heads: of every attention.
        attention: of the encoder, ``linear``; ``explicit`` and ``softmax`` are quadratic baselines.
    """

    backbone: str = "mobilenet"
    width: int = 160
    people: int = 10
    blocks: int = 4
    layers: int = 6
    heads: int = 4
    attention: str = "linear"

    def __post_init__(self) -> None:
        for name in ("people", "blocks", "layers", "heads"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.width < 4 or self.width % 4 or self.width % self.heads:
            raise UserError(
                f"width is {self.width}; it must be a multiple of 4 and of the {self.heads} heads"
            )


@dataclass(frozen=True)
class Weights:
    """Of the parts of cost and loss."""

    score: float = 2.0
    box: float = 2.0
    giou: float = 1.0
    points: float = 10.0
    oks: float = 3.0
    seen: float = 0.5


@dataclass
class LinearRecipe(MapRun):
    """Network, loss weights, schedule; :class:`distill.people.recipe.MapRun` has the rest."""

    kind: str = "transformer"
    out: str = "runs/transformer-teacher"
    backbone: str = "mobilenet"
    width: int = 160
    people: int = 10
    blocks: int = 4
    layers: int = 6
    heads: int = 4
    start_backbone: str = field(
        default="", metadata=FILE
    )  # a checkpoint for the backbone's first weights
    backbone_rate: float = 0.1  # of learning_rate; 0 freezes the backbone
    score_weight: float = 2.0
    box_weight: float = 2.0
    giou_weight: float = 1.0
    points_weight: float = 10.0
    oks_weight: float = 3.0
    seen_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.one_of("kind", ("transformer",))
        self.shape()
        self.at_least(0, "backbone_rate", *(f"{name}_weight" for name in Weights.__annotations__))

    def shape(self) -> Shape:
        """The network's."""
        return Shape(
            self.backbone, self.width, self.people, self.blocks, self.layers, self.heads
        )  # fmt: skip

    def weights(self) -> Weights:
        """Of cost and loss."""
        return Weights(**{n: getattr(self, f"{n}_weight") for n in Weights.__dataclass_fields__})
