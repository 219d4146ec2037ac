"""The pose transformer as an ONNX model: one picture in, its people out.

Input ``image`` float32 [1, 3, size, size], (pixel - 128) / 128. Outputs: ``score`` [1, people] and
``seen`` [1, people, 17] as probabilities, ``box`` [1, people, 4] and ``points`` [1, people, 17, 2]
as fractions of the picture.
"""

from __future__ import annotations

import io
import warnings

import torch
from torch import Tensor, nn

from common.errors import UserError
from distill.tasks.pose.teachers.transformer.model import LinearPose, People

OPSET = 17
OUTPUTS = ("score", "box", "points", "seen")


class _LastLayer(nn.Module):
    """What ONNX can hold of the network: plain tensors of the last decoder layer."""

    def __init__(self, network: LinearPose) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        found: People = self.network(image)[-1]
        return torch.sigmoid(found.score), found.box, found.points, torch.sigmoid(found.seen)


def to_onnx(network: LinearPose, size: int = 128) -> bytes:
    """The serialised model.

    Raises:
        UserError: the size does not suit the network.
    """
    if size % 32 or size < 64:
        raise UserError(f"--size is {size}; it must be a multiple of 32, at least 64")
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own future
        torch.onnx.export(
            _LastLayer(network).eval(), (torch.zeros(1, 3, size, size),), content,  # type: ignore[arg-type]
            input_names=["image"], output_names=list(OUTPUTS), dynamo=False, opset_version=OPSET,
        )  # fmt: skip
    return content.getvalue()
