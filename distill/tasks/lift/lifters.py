"""Anything that lifts, behind one face: teachers, students in every mode, and two baselines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ai8x_models.student_file import read_checkpoint
from ai8x_models.students import SPECS
from common.errors import UserError
from distill.tasks.lift.data import quantise
from distill.tasks.lift.networks import ARCHES, network_from
from distill.tasks.lift.skeleton import NUM_JOINTS
from distill.tasks.lift.student import lift, load_lifter

BATCH = 512
RIDGE = 1e-3


@dataclass(frozen=True)
class Lifter:
    """A way to lift.

    Attributes:
        name: for tables.
        window: poses it sees at once.
        run: normalised views float32 [n, window, 17, 2] -> poses [n, 17, 3] in metres.
        parameters: learned numbers.
        macs: multiply-accumulates per pose.
    """

    name: str
    window: int
    run: Callable[[Tensor], Tensor]
    parameters: int
    macs: int

    @torch.no_grad()
    def __call__(self, view: Tensor) -> np.ndarray:
        """Poses float32 [n, 17, 3] of views [n, T, 17, 2], in batches."""
        parts = [self.run(view[i : i + BATCH]) for i in range(0, len(view), BATCH)]
        return torch.cat(parts).numpy()

    def speed(self, seconds: float = 0.5) -> float:
        """Poses per second here, in batches."""
        view = torch.zeros(BATCH, self.window, NUM_JOINTS, 2)
        self(view)
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            self(view)
            count += BATCH
        return count / (time.perf_counter() - start)


def load(path: Path) -> Lifter:
    """Read a teacher or a student of lifting.

    Raises:
        UserError: it is neither, for example a checkpoint of another task.
    """
    data = read_checkpoint(path)
    name = f"{path.parent.name}/{path.name}" if path.parent.name else path.name
    if data.get("arch") in ARCHES.values():
        network = network_from(data, path)
        if (network.inputs, network.shape["outputs"]) != (2, 3):
            raise UserError(
                f"{path} maps {network.inputs} axes per joint to {network.shape['outputs']}; "
                "lifting maps 2 to 3"
            )
        macs = _macs(network, torch.zeros(1, network.window, NUM_JOINTS, 2))
        return Lifter(name, network.window, network, _count(network), macs)
    if data.get("arch") not in SPECS:
        raise UserError(
            f"{path} holds architecture '{data.get('arch')}', neither a teacher nor a student of "
            "lifting; it may belong to another task"
        )
    student = load_lifter(path).eval()
    layers = [layer for layer, _ in student.layers()]
    macs = sum(layer.in_channels * layer.out_channels for layer in layers)
    return Lifter(
        f"{name} ({student.mode})", 1,
        lambda view: lift(student, quantise(view[:, 0])),
        macs + sum(layer.out_channels for layer in layers), macs,
    )  # fmt: skip


def _count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _macs(network: torch.nn.Module, view: Tensor) -> int:
    """Multiply-accumulates of matrix products for one pose.

    Torch computes a whole transformer layer, or attention alone, in one call where it can, which
    its counter does not look into; so both are switched off meanwhile.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        plain = sdpa_kernel(SDPBackend.MATH)
        with FlopCounterMode(display=False) as counter, torch.no_grad(), plain:
            network(view)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.get_total_flops()) // 2


def mean_pose(pose: Tensor) -> Lifter:
    """Always the mean of the training poses [n, 17, 3]."""
    mean = pose.mean(dim=0)
    return Lifter("mean pose", 1, lambda view: mean.expand(len(view), -1, -1), mean.numel() - 3, 0)


def linear_regression(view: Tensor, pose: Tensor) -> Lifter:
    """Ridge regression from views [n, 17, 2] to poses [n, 17, 3]."""
    x = torch.cat([view.flatten(1)[:, 2:], torch.ones(len(view), 1)], dim=1).double()
    y = pose.flatten(1)[:, 3:].double()
    gram = x.T @ x + RIDGE * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(gram, x.T @ y).float()

    def run(given: Tensor) -> Tensor:
        ones = torch.ones(len(given), 1)
        answer = torch.cat([given[:, 0].flatten(1)[:, 2:], ones], dim=1) @ weight
        full = torch.cat([torch.zeros(len(given), 3), answer], dim=1)
        return full.reshape(-1, NUM_JOINTS, 3)

    return Lifter("linear regression", 1, run, weight.numel(), weight.numel())
