"""The pose transformer as an ONNX model: one picture in, its people out.

Input ``image`` float32 [1, 3, size, size], (pixel - 128) / 128. Outputs: ``score`` [1, people] and
``seen`` [1, people, 17] as probabilities, ``box`` [1, people, 4] and ``points`` [1, people, 17, 2]
as fractions of the picture.
"""

from __future__ import annotations

import argparse
import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from common.errors import UserError
from common.files import write_file
from distill.tasks.pose.teachers.transformer.checkpoint import load_network
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


def export(network: LinearPose, path: Path, size: int = 128) -> None:
    """Write the model, whole or not at all.

    Raises:
        UserError: the size does not suit the network, or the file cannot be written.
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
    write_file(path, content.getvalue())


def main(arguments: list[str]) -> int:
    """``TEACHER.pth.tar -o MODEL.onnx [--size 128]``."""
    parser = argparse.ArgumentParser(
        prog="python -m distill.tasks linear onnx", description=__doc__
    )
    parser.add_argument("checkpoint", type=Path, help="a trained pose transformer")
    parser.add_argument("-o", "--output", type=Path, required=True, help="model to write")
    parser.add_argument("--size", type=int, default=128, help="side of the picture (128)")
    options = parser.parse_args(arguments)
    network, _ = load_network(options.checkpoint)
    export(network, options.output, options.size)
    print(f"{options.output} written")
    return 0
