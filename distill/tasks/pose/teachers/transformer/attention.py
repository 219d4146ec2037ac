"""Attention in three forms: linear in the number of tokens, explicit, and along a skeleton.

Linear attention replaces softmax by a product of feature maps, here ReLU, so that keys and values
are summed once and every query reads the sums (Katharopoulos et al., "Transformers are RNNs: Fast
Autoregressive Transformers with Linear Attention", 2020; ReLU as the feature map: Cai et al.,
"EfficientViT: Multi-Scale Linear Attention for High-Resolution Dense Prediction", 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import UserError

EPSILON = 1e-6  # a query with no positive feature attends to nothing: zeros, not a division by zero


def linear_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Normalised ReLU attention, float [..., n, d] and [..., m, d], [..., m, e] -> [..., n, e].

    Time and memory grow with n + m: the keys meet the values first. Lower precisions than float32
    are summed in float32, because the sums run over all tokens.
    """
    given = query.dtype
    if given in (torch.bfloat16, torch.float16):
        query, key, value = query.float(), key.float(), value.float()
    with torch.autocast(query.device.type, enabled=False):
        query, key = F.relu(query), F.relu(key)
        together = key.transpose(-1, -2) @ value  # [..., d, e]
        total = query @ key.sum(dim=-2).unsqueeze(-1)  # [..., n, 1]
        return ((query @ together) / (total + EPSILON)).to(given)


def explicit_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same numbers from the n x m matrix of weights: the check, and the quadratic baseline."""
    weights = F.relu(query) @ F.relu(key).transpose(-1, -2)
    return (weights @ value) / (weights.sum(dim=-1, keepdim=True) + EPSILON)


@dataclass(frozen=True)
class Memory:
    """What the encoder remembers of a picture.

    Attributes:
        tokens: float [n, N, width].
        place: code float [1, N, width] of their positions.
        position: float32 [N, 2], x and y, 0..1 from edge to edge of the picture.
    """

    tokens: Tensor
    place: Tensor
    position: Tensor


def _heads(x: Tensor, heads: int) -> Tensor:
    """[b, n, width] -> [b, heads, n, width / heads]."""
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def _merge(x: Tensor) -> Tensor:
    """The inverse of :func:`_heads`."""
    return x.transpose(-2, -3).flatten(-2)


def _checked(width: int, heads: int) -> int:
    """The heads, if they can share the width."""
    if width % heads:
        raise UserError(f"width {width} cannot be shared by {heads} heads; take a multiple")
    return heads


FORMS = {
    "linear": linear_attention,
    "explicit": explicit_attention,
    "softmax": F.scaled_dot_product_attention,
}


class SelfAttention(nn.Module):
    """Multi-head attention among tokens, float [b, n, width]; ``kind`` is one of :data:`FORMS`."""

    def __init__(self, width: int, heads: int, kind: str = "linear") -> None:
        super().__init__()
        if kind not in FORMS:
            raise UserError(f"attention is '{kind}'; choose from {', '.join(FORMS)}")
        self.heads, self.kind = _checked(width, heads), kind
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        """``place`` is a code of the tokens' positions, added to what is compared."""
        at = x + place
        parts = [_heads(part, self.heads) for part in (self.query(at), self.key(at), self.value(x))]
        mixed: Tensor = self.out(_merge(FORMS[self.kind](*parts)))
        return mixed


class CrossAttention(nn.Module):
    """Standard multi-head softmax attention from queries to the picture's tokens.

    Queries and keys start with the same weights, so that a query first looks where it stands. The
    mean position every head looks at is returned too: where a keypoint is, is mostly where its
    query looks, and this need not be learned.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = _checked(width, heads)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        with torch.no_grad():
            nn.init.orthogonal_(self.query.weight)
            self.key.weight.copy_(self.query.weight)
            nn.init.zeros_(self.query.bias)
            nn.init.zeros_(self.key.bias)

    def forward(self, x: Tensor, place: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """[b, n, width] and the mean positions seen, float32 [b, n, heads, 2]."""
        query = _heads(self.query(x + place), self.heads)
        key = _heads(self.key(memory.tokens + memory.place), self.heads)
        value = _heads(self.value(memory.tokens), self.heads)
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        weights = scores.float().softmax(dim=-1)
        with torch.autocast(x.device.type, enabled=False):
            looked = (weights @ memory.position).transpose(1, 2)
        mixed: Tensor = self.out(_merge(weights.to(value.dtype) @ value))
        return mixed, looked


class GraphAttention(nn.Module):
    """Multi-head attention among the nodes of a graph, float [b, nodes, width].

    ``relations`` int64 [nodes, nodes] names the kind of edge from row to column; every head learns
    one bias per kind, added to the scores before the softmax.
    """

    relations: Tensor

    def __init__(self, width: int, heads: int, relations: Tensor) -> None:
        super().__init__()
        self.heads = _checked(width, heads)
        self.mix = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(heads, int(relations.max()) + 1))
        self.register_buffer("relations", relations, persistent=False)

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        """Mix the nodes of every graph; ``place`` is a position code [b, nodes, width]."""
        width = x.shape[-1]
        query, key = F.linear(
            x + place, self.mix.weight[: 2 * width], self.mix.bias[: 2 * width]
        ).chunk(2, dim=-1)
        value = F.linear(x, self.mix.weight[2 * width :], self.mix.bias[2 * width :])
        query, key, value = (_heads(part, self.heads) for part in (query, key, value))
        bias = self.bias[:, self.relations].unsqueeze(0).to(query.dtype)
        among = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        mixed: Tensor = self.out(_merge(among))
        return mixed


def feed_forward(width: int, factor: int = 2) -> nn.Sequential:
    """Two layers with GELU, ``factor`` times as wide in between."""
    return nn.Sequential(
        nn.Linear(width, factor * width), nn.GELU(), nn.Linear(factor * width, width)
    )
