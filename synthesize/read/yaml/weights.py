"""The weights of a described layer, as the graph holds them."""

from __future__ import annotations

import numpy as np

from common.errors import UserError
from synthesize.read.checkpoint import LayerWeights, spread
from synthesize.read.yaml.entries import Entry


def layer_weights(
    prefix: str, entry: Entry, bits: int, stored: LayerWeights
) -> tuple[np.ndarray, int]:
    """Return the weights as [out, in, rows, columns] and the dilation that is left.

    A dilated kernel that is short enough has zeros between its taps instead.

    Raises:
        UserError: they do not fit the bits or the kernel of the description.
    """
    raw = stored.weight
    low, high = -(1 << (bits - 1)), max((1 << (bits - 1)) - 1, 0)
    if raw.min() < low or raw.max() > high:
        raise UserError(
            f"{prefix}quantization is {bits} bits ({low} to {high}) but the weights "
            f"reach from {raw.min()} to {raw.max()}; quantise the checkpoint at these bits"
        )
    if raw.ndim == 2:
        raw = raw[:, :, None, None]
    elif raw.ndim == 3:
        raw = raw[:, :, :, None]
    if raw.shape[2:] != entry.kernel:
        raise UserError(
            f"{prefix}the description says kernel {entry.kernel[0]}x{entry.kernel[1]} but "
            f"{stored.name} in the checkpoint has {raw.shape[2]}x{raw.shape[3]}; make them agree"
        )
    if entry.op == "convtranspose2d":
        raw = np.flip(raw, axis=(2, 3)).swapaxes(0, 1)
    return (raw, 1) if entry.op != "conv1d" else spread(raw, entry.dilation)
