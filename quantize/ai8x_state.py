"""Integer checkpoints of ai8x-training projects, from the state dictionary alone.

A checkpoint of its quantisation-aware training says all that conversion needs: bits, the quantile
that shifts are found by, folded weights. So no description of the network is needed; the compiler
takes that from the project's YAML. The arithmetic is that of ai8x-synthesis ``izer/quantize.py``
(ab4f4c0) for such checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ai8x_models.layers import round_half_up, shift_for_limit
from common.errors import UserError

BITS = (1, 2, 4, 8)


def is_foreign(data: Mapping[str, Any]) -> bool:
    """Whether a checkpoint is one of ai8x-training, without our description."""
    described = "network" in (data.get("extras") or {})
    return not described and any(k.endswith(".op.weight") for k in data["state_dict"])


@torch.no_grad()
def integer_state(state: Mapping[str, Tensor], path: str) -> dict[str, Tensor]:
    """Convert the state dictionary of a quantisation-aware checkpoint.

    Args:
        state: weights in real numbers, with ``weight_bits`` of every layer.
        path: for messages.

    Returns:
        The same keys with integers: weights of ``weight_bits``, biases times 2**(bits - 1).

    Raises:
        UserError: a float checkpoint, batch norm that is not folded, or numbers out of range.
    """
    result: dict[str, Tensor] = {}
    for key, value in state.items():  # of parallel training, whose first copy counts
        result.setdefault(_plain(key), value)
    owners = [key[: -len(".op.weight")] for key in result if key.endswith(".op.weight")]
    for name in owners:
        if f"{name}.bn.running_mean" in result:
            raise UserError(
                f"{path}: layer {name} still has batch norm, so its quantisation-aware training "
                "has not begun; give the model's Python file to calibrate it (quantize project)"
            )
        _convert(result, name, path)
    return result


def _plain(key: str) -> str:
    return key.removeprefix("module.")


def _convert(state: dict[str, Tensor], name: str, path: str) -> None:
    bits = _number(state, f"{name}.weight_bits", 0)
    if bits == 0:
        raise UserError(
            f"{path}: layer {name} has no weight_bits: a float checkpoint; give the model's Python "
            "file and calibration data (quantize project)"
        )
    weight, bias = state[f"{name}.op.weight"].float(), state.get(f"{name}.op.bias")
    if bits not in BITS or not bool(torch.isfinite(weight).all()):
        raise UserError(f"{path}: layer {name}: {bits} bits, or weights that are not finite")
    shift = _number(state, f"{name}.output_shift", 0)
    if _number(state, f"{name}.adjust_output_shift", 1):
        parts = [weight.flatten()] if bias is None else [weight.flatten(), bias.float().flatten()]
        quantile = float(state.get(f"{name}.shift_quantile", torch.ones(1)).flatten()[0])
        shift = shift_for_limit(float(torch.quantile(torch.cat(parts).abs(), quantile)))
        weight = weight * 2.0**-shift
        bias = None if bias is None else bias.float() * 2.0**-shift
    top = 2.0 ** (bits - 1)
    state[f"{name}.op.weight"] = round_half_up(weight * top).clamp(-top, top - 1)
    if bias is not None:
        # In training a bias has the range of a weight, so it is limited like one here.
        state[f"{name}.op.bias"] = round_half_up(bias * top).clamp(-top, top - 1) * top
    state[f"{name}.output_shift"] = torch.tensor([float(shift)])
    state[f"{name}.bias_bits"] = torch.tensor([bits])
    state[f"{name}.weight_bits"] = torch.tensor([bits])
    state[f"{name}.adjust_output_shift"] = torch.tensor([False])
    state[f"{name}.quantize_activation"] = torch.tensor([True])


def _number(state: Mapping[str, Tensor], key: str, default: int) -> int:
    return int(state[key].flatten()[0]) if key in state else default
