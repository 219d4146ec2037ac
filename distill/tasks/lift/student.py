"""The chip student between poses and bytes: 32 numbers in, 48 out, the pelvis left out of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ai8x_models.student_file import load_student
from ai8x_models.students import Student
from common.errors import UserError
from distill.tasks.lift.skeleton import NUM_JOINTS

CHANNELS = 2 * (NUM_JOINTS - 1)
ANSWERS = 3 * (NUM_JOINTS - 1)


def to_channels(view: Tensor) -> Tensor:
    """Normalised views [N, 17, 2] as network input [N, 32, 1, 1]: x and y of joint 1, of joint 2...

    The pelvis is the origin and left out.
    """
    return view[:, 1:].reshape(len(view), CHANNELS, 1, 1)


def to_pose(answer: Tensor) -> Tensor:
    """Network output [N, 48, 1, 1] in metres as poses [N, 17, 3] with the pelvis at the origin."""
    pose = answer.reshape(len(answer), NUM_JOINTS - 1, 3)
    return torch.cat([torch.zeros_like(pose[:, :1]), pose], dim=1)


def to_bytes(view: npt.ArrayLike) -> npt.NDArray[np.int8]:
    """Normalised views [..., 17, 2] as the chip's input, signed bytes [..., 32]."""
    values = np.asarray(view, np.float64)[..., 1:, :]
    rounded = np.floor(values * 128 + 0.5).clip(-128, 127)
    return rounded.reshape(*values.shape[:-2], CHANNELS).astype(np.int8)


def lift(student: Student, view: Tensor) -> Tensor:
    """Poses [N, 17, 3] in metres of normalised views [N, 17, 2], in the student's mode."""
    x = to_channels(view)
    if student.mode == "integer":
        x = torch.floor(x * 128 + 0.5).clamp(-128, 127)
    return to_pose(student.maps(x)[0].float())


def load_lifter(path: Path) -> Student:
    """Read a lifting student.

    Raises:
        UserError: it is no student, or one of another task; the shapes are named.
    """
    student, _ = load_student(path)
    shape = student.spec.input_shape
    outputs = sum(
        spec.out_channels for spec in student.spec.layers if spec.name in student.spec.outputs
    )
    if shape != (CHANNELS, 1, 1) or outputs != ANSWERS:
        raise UserError(
            f"{path} holds student '{student.spec.name}' with an input of shape {list(shape)} and "
            f"{outputs} outputs, expected [{CHANNELS}, 1, 1] and {ANSWERS}; it belongs to another "
            "task"
        )
    return student
