"""Whether data is what a model was made for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from common.errors import UserError
from quantize.ptq import evaluate
from quantize.ptq.data import usual_span
from quantize.ptq.net import Net

TRIALS = 64
"""Calibration inputs that shifts, widths and biases are tried on; ranges see all of them."""
SPAN = 4.0
"""How often the range of its own quantisation inputs may leave, or leave unused."""
SPREAD = 16.0
"""How far the spread in front of the first batch norm may be from that of training; statistics of
a network that has seen a few batches are several times off."""
USUAL = 16.0
"""Inputs beyond this are worth a remark: networks are trained on numbers about one."""
WHOLE = 1 << 24
"""Up to here float32, in which everything is measured, tells whole numbers apart."""


def check(net: Net, inputs: np.ndarray) -> None:
    """Refuse data that a model was not made for; remark on what cannot be told.

    Args:
        net: the network, which takes the notes.
        inputs: [N, channels, rows, columns] float32.

    Raises:
        UserError: numbers of another kind or another range.
    """
    if net.whole:
        _check_whole(net, inputs)
        _check_spread(net, inputs, float(np.abs(inputs).max()))
    else:
        _check_span(net, inputs)


def _check_whole(net: Net, inputs: np.ndarray) -> None:
    """Refuse data that a model of whole numbers cannot be given.

    Raises:
        UserError: the type and its range are named.
    """
    kind = np.dtype(net.input_type)
    low, high = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
    low, high = max(low, -WHOLE), min(high, WHOLE)
    bad = inputs[(inputs != np.rint(inputs)) | (inputs < low) | (inputs > high)]
    if bad.size:
        black, white = usual_span(kind.name)
        raise UserError(
            f"the model reads whole numbers from {low} to {high} ({kind.name}), but the data holds "
            f"{bad[0]:g}; give inputs as the model reads them (pictures: --input-range {black:g} "
            f"{white:g})"
        )
    most = int(inputs.max())
    if inputs.min() >= 0 and most > 127:
        net.notes.append(
            f"inputs go from 0 to {most}, but the chip's bytes from -128 to 127, so that the least "
            "bit is lost; a model that reads int8 loses none"
        )


def _check_span(net: Net, inputs: np.ndarray) -> None:
    """Refuse data of another range than a model was quantised for or trained on.

    Raises:
        UserError: both ranges are named.
    """
    most = float(np.abs(inputs).max())
    if net.input_span is not None:
        known = max(abs(end) for end in net.input_span)
        if not known / (4 * SPAN) <= most <= SPAN * known:
            raise UserError(
                f"calibration data reaches {most:g}, but the model's own quantisation is made for "
                f"about {known:g}; give inputs as the model reads them"
            )
    elif not _check_spread(net, inputs, most) and most > USUAL:
        net.notes.append(
            f"inputs reach {most:g}, and nothing in the model says whether it was trained on such; "
            "give them as it reads them"
        )


def _check_spread(net: Net, inputs: np.ndarray, most: float) -> bool:
    """Compare data with what the first batch norm saw in training; whether that was possible."""
    norm = net.norm
    seen = None
    if norm is not None:
        seen = evaluate.along(norm.front, some(torch.from_numpy(inputs), TRIALS))
    if norm is None or seen is None or seen[:, 0].numel() < 2:
        return False
    alive = norm.deviation > 1e-3 * norm.deviation.max()
    spread = seen.transpose(0, 1).flatten(1).std(1).numpy()[alive] / norm.deviation[alive]
    ratio = float(np.median(spread))
    if not 1 / SPREAD <= ratio <= SPREAD:
        raise UserError(
            f"calibration data reaches {most:g} and spreads {ratio:.3g} times as far as what the "
            f"model was trained on, by the statistics of {norm.node}; give inputs as the model "
            "reads them"
        )
    return True


def some(inputs: Tensor, count: int) -> Tensor:
    """At most so many inputs, evenly spread: folders of classes come class by class."""
    return inputs[torch.linspace(0, len(inputs) - 1, min(count, len(inputs))).long()]
