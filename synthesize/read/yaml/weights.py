"""The weights of a described layer, as the graph holds them."""

from __future__ import annotations

import numpy as np

from common.errors import UserError
from synthesize.chip import limits
from synthesize.read.checkpoint import LayerWeights
from synthesize.read.yaml.entries import Entry


def layer_weights(prefix: str, entry: Entry, bits: int, stored: LayerWeights) -> np.ndarray:
    """Return the weights as [out, in, rows, columns], a dilated kernel with zeros in between.

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
    return raw if entry.dilation == 1 else _dilated(prefix, raw, entry.dilation)


def _dilated(prefix: str, weight: np.ndarray, dilation: int) -> np.ndarray:
    """Return the weights of a dilated Conv1d with zeros between the taps."""
    length = (weight.shape[2] - 1) * dilation + 1
    if length > limits.MAX_CONV1D_LENGTH:
        raise UserError(
            f"{prefix}a kernel of length {weight.shape[2]} with dilation {dilation} reaches over "
            f"{length} samples, but at most {limits.MAX_CONV1D_LENGTH} are possible; use a shorter "
            "kernel or a smaller dilation"
        )
    wide = np.zeros((*weight.shape[:2], length, 1), weight.dtype)
    wide[:, :, ::dilation] = weight
    return wide
