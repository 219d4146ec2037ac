"""Muon: momentum whose update is made orthogonal, for the weights of hidden layers.

Keller Jordan, "Muon: An optimizer for hidden layers in neural networks" (2024): the momentum of a
weight matrix is replaced by the nearest matrix whose singular values are all about one, so that
rare directions are learnt as fast as common ones. A convolution's kernel counts as the matrix
[outputs, inputs x kernel]. What is no such matrix (offsets, batch norm, the layers that write the
answer) is trained by AdamW, in the same optimizer, so that one schedule drives both.

``torch.optim.Muon`` takes matrices only and iterates in bfloat16, which processors without
instructions for it compute many times as slowly as float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# Coefficients of the quintic iteration, from the same text: they raise small singular values
# fastest, and leave all of them between about 0.7 and 1.2 after five steps.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 5


def orthogonalize(matrix: Tensor) -> Tensor:
    """The matrix [n, m] with its singular values brought near one, float32."""
    x = matrix.float()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.T if tall else x


class Muon(torch.optim.AdamW):
    """Muon for ``hidden`` weights of two or more dimensions, AdamW for the ``others``.

    Args:
        hidden: weights whose updates are made orthogonal.
        others: parameter groups or parameters for AdamW.
        lr: rate of AdamW.
        muon_lr: rate of the hidden weights, in units of an orthogonal matrix.
        weight_decay: of the hidden weights and of others that set none of their own, per step and
            unit of rate.
        momentum: of the hidden weights (Nesterov's).
    """

    def __init__(
        self,
        hidden: Iterable[Tensor],
        others: Iterable[Any],
        lr: float,
        muon_lr: float = 0.02,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
    ) -> None:
        # One pass over each tensor: on a processor a step of AdamW is all memory traffic, and six
        # times as long in the form that is not fused.
        super().__init__(others, lr=lr, weight_decay=weight_decay, fused=True)
        self.add_param_group({"params": list(hidden), "lr": muon_lr, "muon": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all groups; returns what ``closure`` does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = self.param_groups
        try:
            # AdamW must not see the groups that are not its own.
            self.param_groups = [group for group in groups if "muon" not in group]
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if "muon" in group:
                self._step_hidden(group)
        return loss

    def _step_hidden(self, group: dict[str, Any]) -> None:
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(weight)
                state["step"] = torch.tensor(0.0)  # AdamW asks for it when a state is read back
            momentum = state["momentum"].mul_(group["muon"]).add_(weight.grad)
            ahead = weight.grad.add(momentum, alpha=group["muon"])
            update = orthogonalize(ahead.flatten(1)).view(ahead.shape)
            # Tall matrices: the same change per output, whatever the number of inputs.
            scale = max(1.0, weight.shape[0] / weight[0].numel()) ** 0.5
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(update, alpha=-group["lr"] * scale)
