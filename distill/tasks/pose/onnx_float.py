"""Writes teachers and float students as ONNX; integer students as :mod:`quantize.onnx_export` does.

A float model takes ``input`` float32 [N, 3, size, size], (pixel - 128) / 128 in RGB, N open, and
gives ``heatmaps`` [N, 19, h, w] and ``pafs`` [N, 38, h, w] of the last stage; h and w are size/8,
or size/4 for a student whose grid is as fine as that.
Batch norm is folded into the convolutions by the exporter.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ai8x_models.codec import NUM_HEATMAPS, STRIDE
from ai8x_models.student_file import load_student
from ai8x_models.students import Student
from common.errors import UserError
from common.files import write_file
from distill.tasks.pose.evaluation.evaluate import Network, load_network
from distill.tasks.pose.teacher_maps import teacher_of
from distill.tasks.pose.teachers.openpose import read_teacher_file
from distill.tasks.pose.teachers.transformer.render import LinearTeacher
from distill.tasks.pose.teachers.transformer.to_onnx import to_onnx as transformer
from quantize import onnx_export

OPSET = 17
OUTPUTS = ("heatmaps", "pafs")


class _Maps(nn.Module):
    """What is traced: the maps that count."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = torch.cat(tuple(self.network.maps(x)), dim=1)  # some students answer in one
        return maps[:, :NUM_HEATMAPS], maps[:, NUM_HEATMAPS:]


def to_onnx(network: Network, size: int) -> bytes:
    """The serialised model of a teacher or a float student.

    Args:
        network: in evaluation mode. A pose transformer has a ``to_onnx`` of its own, because it
            finds people, whose maps are drawn afterwards.
        size: side of the input, a multiple of 8.

    Raises:
        UserError: a size it cannot take, or a student in quantisation-aware training.
    """
    if size % STRIDE or size < 4 * STRIDE:
        raise UserError(f"size is {size}; it must be a multiple of {STRIDE}, at least {4 * STRIDE}")
    if isinstance(network, Student) and network.mode != "float":
        raise UserError(
            f"the student is in {network.mode} mode, whose rounding a float model cannot state; "
            "turn it into integers (make quantize) and export those"
        )
    content = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter by tracing is called old-fashioned, but needs no further package; and that
        # traced constants stay constant is what is wanted.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Maps(network).eval(), (torch.zeros(1, 3, size, size),), content,  # type: ignore[arg-type]
            input_names=["input"], output_names=list(OUTPUTS), opset_version=OPSET, dynamo=False,
            dynamic_axes={name: {0: "batch"} for name in ("input", *OUTPUTS)},
        )  # fmt: skip
    return content.getvalue()


def export(checkpoint: Path, out: Path, size: int = 128) -> None:
    """Write any checkpoint of ours (or a published teacher) as ONNX, whole or not at all.

    ``size`` counts for float networks; an integer student has the size it was made for.

    Raises:
        UserError: an unreadable checkpoint, as :func:`to_onnx`, or ``out`` cannot be written.
    """
    write_file(out, _content(checkpoint, size))


def _content(checkpoint: Path, size: int) -> bytes:
    integer = _integer_student(checkpoint)
    if integer is not None:
        content: bytes = onnx_export.to_onnx(integer).SerializeToString()
        return content
    network = load_network(checkpoint)
    if isinstance(network, LinearTeacher):
        return transformer(network.network, size)
    return to_onnx(network, size)


def _integer_student(path: Path) -> Student | None:
    """The integer student of any task in a checkpoint, or None: a float network or a teacher."""
    if teacher_of(read_teacher_file(path), path) is not None:
        return None
    student = load_student(path)[0].eval()
    return student if student.mode == "integer" else None
