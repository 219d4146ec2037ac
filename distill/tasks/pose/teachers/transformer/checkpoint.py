"""Checkpoints of the pose transformer: written whole, read without executing code, checked."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ai8x_models import codec
from ai8x_models.student_file import read_checkpoint, write_atomically
from common.errors import UserError
from distill.tasks.pose.teachers.transformer.model import JOINTS, LinearPose
from distill.tasks.pose.teachers.transformer.recipe import Shape
from distill.tasks.pose.teachers.transformer.render import LinearTeacher

ARCH = "linear_pose"


def save_network(network: LinearPose, path: Path, epoch: int, extras: dict[str, Any]) -> None:
    """Write ``epoch, arch, state_dict, extras``; the network's shape joins the extras."""
    described = {"shape": asdict(network.shape), "joints": JOINTS}
    state = network.state_dict()
    data = {"epoch": epoch, "arch": ARCH, "state_dict": state, "extras": {**described, **extras}}
    write_atomically(data, path)


def is_linear(data: dict[str, Any]) -> bool:
    """Whether a checkpoint's content is this network's."""
    return data.get("arch") == ARCH


def load_network(path: Path) -> tuple[LinearPose, dict[str, Any]]:
    """Read a checkpoint.

    Raises:
        UserError: unreadable, of another network or of other shapes, or not finite.
    """
    data = read_checkpoint(path)
    return network_from(data, path), data


def network_from(data: dict[str, Any], path: Path) -> LinearPose:
    """Build the network that a checkpoint's content describes; see :func:`load_network`."""
    if not is_linear(data):
        raise UserError(
            f"{path} holds '{data.get('arch', 'a network without a name')}', but the pose "
            f"transformer, '{ARCH}', is expected; train one with make teacher "
            "TEACHER_KIND=transformer"
        )
    extras = data.get("extras")
    extras = extras if isinstance(extras, dict) else {}
    if extras.get("joints") != JOINTS:
        raise UserError(
            f"{path} finds {extras.get('joints')} keypoints per person; {JOINTS} (COCO's) are "
            "expected"
        )
    network = LinearPose(_shape(extras.get("shape"), path))
    _check(network, data["state_dict"], path)
    network.load_state_dict(data["state_dict"])
    return network.eval()


def _shape(given: object, path: Path) -> Shape:
    """The network's shape, if the checkpoint has a sound one."""
    wanted = {field.name: field.type for field in fields(Shape)}
    kinds = {"int": int, "str": str}
    sound = isinstance(given, dict) and all(
        type(given.get(name)) is kinds[str(kind)] for name, kind in wanted.items()
    )
    if not sound:
        raise UserError(f"{path} does not say the network's {', '.join(wanted)}; it says {given}")
    assert isinstance(given, dict)
    return Shape(**{name: given[name] for name in wanted})


def _check(network: LinearPose, state: dict[str, Any], path: Path) -> None:
    """Refuse a state dict that does not fit, naming the first difference."""
    own = network.state_dict()
    for key in sorted(own.keys() ^ state.keys()):
        said = "lacks" if key in own else "has an unknown"
        raise UserError(f"{path} does not fit its own description: it {said} '{key}'")
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise UserError(f"{path}: '{key}' is no tensor")
        if value.shape != own[key].shape:
            raise UserError(
                f"{path}: '{key}' has shape {tuple(value.shape)}, but {tuple(own[key].shape)} is "
                "expected"
            )
        if not torch.isfinite(value).all():
            raise UserError(f"{path}: '{key}' holds values that are not finite numbers")


def teacher_from(data: dict[str, Any], path: Path) -> LinearTeacher:
    """The network as a teacher of maps, with the Gaussians' width it was trained beside."""
    network = network_from(data, path)
    sigma = data["extras"].get("sigma", codec.SIGMA)
    if not isinstance(sigma, float | int) or not 0 < sigma < 100:
        raise UserError(f"{path}: sigma is {sigma}; it must be a number of pixels above 0")
    return LinearTeacher(network, float(sigma)).eval()
