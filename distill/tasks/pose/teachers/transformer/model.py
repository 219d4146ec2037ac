"""The pose transformer: features -> tokens -> people, each with a box, 17 keypoints and scores.

Positions are fractions of the picture, 0..1 from edge to edge: pixel x of a picture W wide lies at
(x + 0.5) / W. Points are in COCO's order of 17. A person is 18 queries: its keypoints and itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ai8x_models.skeleton import COCO17_TO_18, FLIP_KEYPOINTS, LIMBS
from distill.tasks.pose.teachers.transformer.attention import (
    CrossAttention,
    GraphAttention,
    Memory,
    SelfAttention,
    feed_forward,
)
from distill.tasks.pose.teachers.transformer.backbones import make_backbone
from distill.tasks.pose.teachers.transformer.recipe import Shape

JOINTS = 17
SLOTS = JOINTS + 1  # the last one is the person
PERSON = JOINTS
# Kinds of edges of the person's graph.
_OTHER, _SELF, _LIMB, _MIRROR, _PERSON = range(5)
# A standing figure in a box one high and wide about (0, 0), COCO's order: where keypoints are
# looked for first. Own rough proportions; training moves them.
_STANDING = (
    (0, -0.42), (0.03, -0.45), (-0.03, -0.45), (0.06, -0.43), (-0.06, -0.43), (0.14, -0.3),
    (-0.14, -0.3), (0.2, -0.12), (-0.2, -0.12), (0.22, 0.03), (-0.22, 0.03), (0.09, 0.02),
    (-0.09, 0.02), (0.1, 0.24), (-0.1, 0.24), (0.1, 0.45), (-0.1, 0.45),
)  # fmt: skip


@dataclass(frozen=True)
class People:
    """Output of one decoder layer for n pictures and p persons.

    Attributes:
        score: logits float32 [n, p], whether the query is a person.
        box: float32 [n, p, 4], centre x, y, width, height.
        points: float32 [n, p, 17, 2], x and y.
        seen: logits float32 [n, p, 17], whether the keypoint is in the picture and marked.
    """

    score: Tensor
    box: Tensor
    points: Tensor
    seen: Tensor


def relations() -> Tensor:
    """Kinds of edges int64 [18, 18] between a person's queries."""
    to_coco = {point: index for index, point in enumerate(COCO17_TO_18)}
    kinds = torch.full((SLOTS, SLOTS), _OTHER)
    for a, b in LIMBS:
        if a in to_coco and b in to_coco:
            kinds[to_coco[a], to_coco[b]] = kinds[to_coco[b], to_coco[a]] = _LIMB
    neck = 1  # which COCO lacks: its limbs join the shoulders with hips and nose
    joined = [a + b - neck for a, b in LIMBS if neck in (a, b)]
    shoulders = (2, 5)
    for a in shoulders:
        for b in joined:
            kinds[to_coco[a], to_coco[b]] = kinds[to_coco[b], to_coco[a]] = _LIMB
    for point, mirrored in enumerate(FLIP_KEYPOINTS):
        if point in to_coco and mirrored != point:
            kinds[to_coco[point], to_coco[mirrored]] = _MIRROR
    kinds[PERSON, :] = kinds[:, PERSON] = _PERSON
    kinds.fill_diagonal_(_SELF)
    return kinds


def place_code(position: Tensor, width: int) -> Tensor:
    """Code float32 [..., width] of positions [..., 2]: sines and cosines of x, then of y.

    From a quarter of a period to eight periods per picture, in geometric steps: close positions
    have similar codes, and a cell of a 16 x 16 grid is half a period of the fastest.
    """
    count = width // 4
    periods = 2 ** torch.linspace(-2, 3, count, device=position.device)
    angle = position.float().unsqueeze(-1) * (2 * math.pi * periods)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(-2)


def grid(height: int, width: int, device: torch.device) -> Tensor:
    """Centres float32 [height * width, 2] of the cells of a grid, row by row."""
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).flatten(0, 1)


def logit(value: Tensor) -> Tensor:
    """Inverse of the logistic function, for values that may touch 0 and 1."""
    return torch.logit(value, eps=1e-4)


class Separable(nn.Module):
    """Depthwise 3x3, then pointwise, with GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.deep = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.wide = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, width, h, w], the size stays."""
        return nn.functional.gelu(self.wide(self.deep(x)))


class EncoderBlock(nn.Module):
    """LayerNorm, attention, LayerNorm, two-fold MLP, each pair with a way around it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)
        self.attention = SelfAttention(shape.width, shape.heads, shape.attention)
        self.mlp = feed_forward(shape.width)

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        """[n, tokens, width]."""
        x = x + self.attention(self.before(x), place)
        mixed: Tensor = x + self.mlp(self.between(x))
        return mixed


class Encoder(nn.Module):
    """Features of several strides -> the tokens of all of them, which have seen each other."""

    def __init__(self, channels: tuple[int, ...], shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.narrow = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, width, 1), nn.GroupNorm(1, width)) for c in channels
        )
        self.local = nn.Sequential(Separable(width), Separable(width))
        self.level = nn.Parameter(torch.zeros(len(channels), width))
        self.blocks = nn.ModuleList(EncoderBlock(shape) for _ in range(shape.blocks))
        self.last = nn.LayerNorm(width)
        nn.init.normal_(self.level, std=0.02)

    def forward(self, features: list[Tensor]) -> Memory:
        """Tokens of all strides, one after another."""
        tokens, places = [], []
        for x, narrow, level in zip(features, self.narrow, self.level, strict=True):
            x = narrow(x)
            x = x + self.local(x)
            tokens.append(x.flatten(2).transpose(1, 2) + level)
            places.append(grid(x.shape[2], x.shape[3], x.device))
        all_tokens = torch.cat(tokens, dim=1)
        position = torch.cat(places)
        place = place_code(position, all_tokens.shape[-1]).to(all_tokens.dtype).unsqueeze(0)
        for block in self.blocks:
            all_tokens = block(all_tokens, place)
        return Memory(self.last(all_tokens), place, position)


def _head(width: int, outputs: int) -> nn.Sequential:
    """A small network whose answer starts at zero: a layer refines, so it starts by agreeing."""
    last = nn.Linear(width, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), last)


class DecoderLayer(nn.Module):
    """Attention along the person's graph, across persons and to the picture, then two-fold FFN."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, heads = shape.width, shape.heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.graph = GraphAttention(width, heads, relations())
        self.across = SelfAttention(width, heads)
        self.cross = CrossAttention(width, heads)
        self.ffn = feed_forward(width)
        self.last = nn.LayerNorm(width)
        self.points, self.box = _head(width, 3), _head(width, 5)
        self.follow = nn.Parameter(torch.full((SLOTS, heads, 1), 0.5 / heads))

    def forward(self, x: Tensor, at: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Queries [n, p, 18, width] at positions [n, p, 18, 2] -> both, moved."""
        n, people = x.shape[:2]
        place = place_code(at, x.shape[-1]).to(x.dtype)
        graph, across, cross, ffn = self.norms
        mixed = self.graph(graph(x).flatten(0, 1), place.flatten(0, 1))
        x = x + mixed.unflatten(0, (n, people))
        swapped = [t.transpose(1, 2).flatten(0, 1) for t in (across(x), place)]
        mixed = self.across(*swapped)
        x = x + mixed.unflatten(0, (n, SLOTS)).transpose(1, 2)
        mixed, looked = self.cross(cross(x).flatten(1, 2), place.flatten(1, 2), memory)
        x = x + mixed.unflatten(1, (people, SLOTS))
        step = looked.unflatten(1, (people, SLOTS)) - at.unsqueeze(-2)
        return x + self.ffn(ffn(x)), at + (self.follow * step).sum(dim=-2)

    def read(self, x: Tensor, at: Tensor, box: Tensor) -> People:
        """What the layer says of its queries, their positions and the boxes so far."""
        x = self.last(x)
        person = self.box(x[:, :, PERSON]).float()
        joint = self.points(x[:, :, :PERSON]).float()
        box = logit(torch.cat([at[:, :, PERSON], box[..., 2:]], dim=-1))
        return People(
            person[..., 4],
            torch.sigmoid(box + person[..., :4]),
            torch.sigmoid(logit(at[:, :, :PERSON]) + joint[..., :2]),
            joint[..., 2],
        )


class Decoder(nn.Module):
    """Queries that look at the picture and are refined layer by layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, people = shape.width, shape.people
        self.slot = nn.Parameter(torch.randn(SLOTS, width) * 0.5)
        self.person = nn.Parameter(torch.randn(people, 1, width) * 0.1)
        self.anchor = nn.Parameter(logit(_anchors(people)))
        self.figure = nn.Parameter(torch.tensor(_STANDING))
        self.layers = nn.ModuleList(DecoderLayer(shape) for _ in range(shape.layers))

    def forward(self, memory: Memory) -> list[People]:
        """One output per layer, the best last."""
        n = memory.tokens.shape[0]
        x = (self.person + self.slot).expand(n, -1, -1, -1)
        box = torch.sigmoid(self.anchor).expand(n, -1, -1)
        points = box[:, :, None, :2] + self.figure * box[:, :, None, 2:]
        found: list[People] = []
        for layer in self.layers:
            assert isinstance(layer, DecoderLayer)
            x, at = layer(x, torch.cat([points, box[:, :, None, :2]], dim=2), memory)
            found.append(layer.read(x, at, box))
            # Each layer answers for its own step, not for the ones before.
            box, points = found[-1].box.detach(), found[-1].points.detach()
        return found


def _anchors(people: int) -> Tensor:
    """First boxes float32 [people, 4]: one in the middle, the others on a ring about it."""
    angle = torch.arange(people - 1) * (2 * math.pi / max(people - 1, 1))
    ring = torch.stack([0.5 + 0.3 * angle.cos(), 0.5 + 0.2 * angle.sin()], dim=-1)
    centre = torch.cat([torch.tensor([[0.5, 0.5]]), ring])
    size = torch.full((people, 2), 0.4)
    size[0] = 0.7
    return torch.cat([centre, size], dim=-1)


class LinearPose(nn.Module):
    """``[n, 3, h, w]`` float32 RGB, (pixel - 128) / 128 -> people, one output per decoder layer.

    h and w are multiples of the backbone's largest stride.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.backbone = make_backbone(shape.backbone)
        channels: tuple[int, ...] = self.backbone.channels  # type: ignore[assignment]
        self.encoder, self.decoder = Encoder(channels, shape), Decoder(shape)

    def forward(self, x: Tensor) -> list[People]:
        """People of every decoder layer, the best last."""
        found: list[People] = self.decoder(self.encoder(self.backbone(x)))
        return found

    def transformer_parameters(self) -> int:
        """Numbers trained behind the backbone."""
        parts = (*self.encoder.parameters(), *self.decoder.parameters())
        return sum(p.numel() for p in parts)
