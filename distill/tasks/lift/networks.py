"""The teachers of lifting: a transformer with joint-relation attention, and a ViT for keypoints.

Both take poses as one token per joint (and frame) and answer for the middle frame of the window.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ai8x_models.student_file import read_checkpoint, write_atomically
from common.errors import UserError
from distill.tasks.lift.motion.mocap import window_reach
from distill.tasks.lift.skeleton import NUM_JOINTS, hops

MLP_RATIO = 2
DECODER_LAYERS = 2
ARCHES = {"transformer": "lift_transformer", "vit": "lift_vit"}


class RelationAttention(nn.Module):
    """Multi-head attention whose scores depend on how the joints are related.

    To each score a learned number is added, by head and by the number of bones between the two
    joints, so that attention knows the skeleton from the start.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        distance = torch.from_numpy(hops())
        self.register_buffer("hops", distance, persistent=False)
        self.relation = nn.Parameter(torch.zeros(int(distance.max()) + 1, heads))

    hops: Tensor

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Tokens [N, 17, C] attend to memory [N, F * 17, C], frames one after the other."""
        query = self._split(self.query(x))
        key, value = self.key_value(memory).chunk(2, dim=-1)
        frames = memory.shape[1] // NUM_JOINTS
        bias = self.relation[self.hops].permute(2, 0, 1).repeat(1, 1, frames)
        mixed = F.scaled_dot_product_attention(
            query, self._split(key), self._split(value), attn_mask=bias[None].to(query.dtype)
        )
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), x.shape[1], self.heads, -1).transpose(1, 2)


def _mlp(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, MLP_RATIO * width),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(MLP_RATIO * width, width),
    )


class EncoderLayer(nn.Module):
    """Attention among the joints of each frame, then along time for each joint, then an MLP."""

    def __init__(self, width: int, heads: int, window: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.joints = RelationAttention(width, heads)
        self.time = nn.MultiheadAttention(width, heads, batch_first=True) if window > 1 else None
        self.time_norm = nn.LayerNorm(width) if window > 1 else None
        self.mlp = _mlp(width, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [N, T, 17, C], same shape out."""
        shape = x.shape
        flat = self.norm(x).flatten(0, 1)
        x = x + self.joints(flat, flat).reshape(shape)
        if self.time is not None and self.time_norm is not None:
            along = self.time_norm(x).transpose(1, 2).flatten(0, 1)
            mixed = self.time(along, along, along, need_weights=False)[0]
            x = x + mixed.reshape(shape[0], shape[2], shape[1], shape[3]).transpose(1, 2)
        return x + self.mlp(x)


class DecoderLayer(nn.Module):
    """Attention among the 17 answers, to the encoder's memory, then an MLP."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.cross_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.joints, self.cross = RelationAttention(width, heads), RelationAttention(width, heads)
        self.mlp = _mlp(width, dropout)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Answers [N, 17, C] and memory [N, T * 17, C]; answers out."""
        flat = self.norm(x)
        x = x + self.joints(flat, flat)
        x = x + self.cross(self.cross_norm(x), memory)
        return x + self.mlp(x)


class LiftNetwork(nn.Module):
    """What both teachers share: their description, and what they refuse.

    ``forward`` takes float32 [N, T, 17, inputs] and returns float32 [N, 17, outputs].
    """

    def __init__(self, kind: str, shape: dict[str, Any]) -> None:
        super().__init__()
        self.kind, self.shape = kind, shape
        self.window, self.inputs = int(shape["window"]), int(shape["inputs"])

    def check(self, x: Tensor) -> None:
        """Refuse another shape than [N, window, 17, inputs].

        Raises:
            UserError: with the expected and the found shape.
        """
        wanted = (self.window, NUM_JOINTS, self.inputs)
        if x.ndim != 4 or tuple(x.shape[1:]) != wanted:
            raise UserError(
                f"the network expects keypoints of shape [N, {', '.join(map(str, wanted))}] "
                f"(frames, joints, axes), found {list(x.shape)}"
            )


class LiftTransformer(LiftNetwork):
    """Transformer encoder over joints, decoder with one query per joint.

    Args:
        width, depth, heads: size of the encoder; the decoder has two layers.
        window: poses seen at once.
        dropout: in the MLPs.
        inputs, outputs: coordinates per joint.
    """

    def __init__(
        self, width: int = 64, depth: int = 4, heads: int = 4, window: int = 1,
        dropout: float = 0.0, inputs: int = 2, outputs: int = 3,
    ) -> None:  # fmt: skip
        shape = {"width": width, "depth": depth, "heads": heads, "window": window}
        super().__init__("transformer", {**shape, "inputs": inputs, "outputs": outputs})
        self.embed = nn.Linear(inputs, width)
        self.joint = nn.Parameter(0.02 * torch.randn(NUM_JOINTS, width))
        self.frame = nn.Parameter(0.02 * torch.randn(window, 1, width))
        self.encoder = nn.ModuleList(
            EncoderLayer(width, heads, window, dropout) for _ in range(depth)
        )
        self.memory_norm = nn.LayerNorm(width)
        self.query = nn.Parameter(0.02 * torch.randn(NUM_JOINTS, width))
        self.decoder = nn.ModuleList(
            DecoderLayer(width, heads, dropout) for _ in range(DECODER_LAYERS)
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Poses relative to the pelvis."""
        self.check(x)
        tokens = self.embed(x) + self.joint + self.frame
        for layer in self.encoder:
            tokens = layer(tokens)
        memory = self.memory_norm(tokens)
        middle = memory[:, window_reach(self.window)[0]]
        answers = self.query + middle
        for layer in self.decoder:
            answers = layer(answers, memory.flatten(1, 2))
        pose: Tensor = self.head(answers)
        return pose - pose[:, :1]


class KeypointViT(LiftNetwork):
    """Plain vision transformer with joints for patches, for 2D-2D, 3D-3D and 2D-3D.

    Every joint's token gives that joint; what the class token gives is added to all, a pose for the
    whole body. Arguments as :class:`LiftTransformer`.
    """

    def __init__(
        self, width: int = 64, depth: int = 4, heads: int = 4, window: int = 1,
        dropout: float = 0.0, inputs: int = 2, outputs: int = 3,
    ) -> None:  # fmt: skip
        shape = {"width": width, "depth": depth, "heads": heads, "window": window}
        super().__init__("vit", {**shape, "inputs": inputs, "outputs": outputs})
        self.outputs = outputs
        self.embed = nn.Linear(inputs, width)
        self.whole = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.place = nn.Parameter(0.02 * torch.randn(1, 1 + window * NUM_JOINTS, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, F.gelu, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, depth, nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.head = nn.Linear(width, outputs)
        self.whole_head = nn.Linear(width, NUM_JOINTS * outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Poses relative to the pelvis."""
        self.check(x)
        tokens = self.embed(x).flatten(1, 2)
        tokens = torch.cat([self.whole.expand(len(x), -1, -1), tokens], dim=1) + self.place
        encoded = self.encoder(tokens)
        start = 1 + window_reach(self.window)[0] * NUM_JOINTS
        pose = self.head(encoded[:, start : start + NUM_JOINTS])
        pose = pose + self.whole_head(encoded[:, 0]).reshape(-1, NUM_JOINTS, self.outputs)
        return pose - pose[:, :1]


_CLASSES: dict[str, type[LiftTransformer] | type[KeypointViT]] = {
    "transformer": LiftTransformer,
    "vit": KeypointViT,
}


def make_network(
    kind: str, mapping: str, width: int, depth: int, heads: int, window: int, dropout: float = 0.0
) -> LiftTransformer | KeypointViT:
    """A new teacher; ``mapping`` as ``2d-3d``."""
    inputs, outputs = (int(side[0]) for side in mapping.split("-"))
    return _CLASSES[kind](width, depth, heads, window, dropout, inputs, outputs)


def save_network(network: LiftNetwork, path: Path, epoch: int, extras: dict[str, Any]) -> None:
    """Write a teacher's checkpoint, whole or not at all."""
    data = {
        "epoch": epoch,
        "arch": ARCHES[network.kind],
        "state_dict": network.state_dict(),
        "extras": {**extras, "shape": network.shape},
    }
    write_atomically(data, path)


def network_from(data: dict[str, Any], path: Path) -> LiftTransformer | KeypointViT:
    """Rebuild a teacher from what a checkpoint holds, ready for evaluation.

    Raises:
        UserError: a checkpoint of something else, or damaged.
    """
    kinds = {arch: kind for kind, arch in ARCHES.items()}
    arch, shape = data.get("arch"), data.get("extras", {}).get("shape")
    if arch not in kinds or not isinstance(shape, dict):
        raise UserError(
            f"{path} holds architecture '{arch}', no lifting teacher ({', '.join(kinds)}); it may "
            "belong to another task"
        )
    try:
        network = _CLASSES[kinds[arch]](**shape)
        network.load_state_dict(data["state_dict"])
    except (RuntimeError, TypeError, ValueError) as error:
        detail = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not fit architecture '{arch}': {detail}") from None
    return network.eval()


def load_network(path: Path) -> LiftTransformer | KeypointViT:
    """Read a teacher; errors as :func:`network_from`."""
    return network_from(read_checkpoint(path), path)
