"""The grey student for the chip."""

from __future__ import annotations

from typing import Any

from ai8x_models.students import INPUT, LayerSpec, StudentSpec

FOLD = 2
STRIDE = 4  # pixels per cell of the maps
OUTPUT = "points"


def grey_student(keypoints: int = 13, size: int = 64) -> StudentSpec:
    """[1, size, size] -> [keypoints, size / 4, size / 4], one map per point, 8 bits.

    2x2 blocks of the picture become four channels, so that a first layer of one channel does not
    leave 63 of 64 processors idle. Down to an eighth of the picture, where seeing all of it costs
    least, and back up to a quarter; what was seen on the way down is added on the way up, element
    by element. Two sums more keep the deeper layers learning. At 13 points and 64 x 64: 696,077
    parameters, of which the wide middle layers have to be 4 bits to fit.
    """
    layers = [
        LayerSpec("conv1", INPUT, FOLD * FOLD, 32, fold=FOLD),
        LayerSpec("conv2", "conv1", 32, 32),
        LayerSpec("conv3", "conv2", 32, 64, pool=2),
        LayerSpec("conv4", "conv3", 64, 64),
        LayerSpec("conv5", "conv4", 64, 64, **_add("conv3")),
        LayerSpec("conv6", "conv5", 64, 64),
        LayerSpec("conv7", "conv6", 64, 128, pool=2),
        LayerSpec("conv8", "conv7", 128, 128),
        LayerSpec("conv9", "conv8", 128, 128),
        LayerSpec("conv10", "conv9", 128, 64, **_add("conv7")),
        LayerSpec("up", "conv10", 64, 64, op="convtranspose2d"),
        LayerSpec("conv11", "up", 64, 64, **_add("conv6")),
        LayerSpec("conv12", "conv11", 64, 64),
        LayerSpec(OUTPUT, "conv12", 64, keypoints, kernel=1, activation="none", batchnorm=False),
    ]
    return StudentSpec(f"grey{keypoints}x{size}", (1, size, size), tuple(layers), (OUTPUT,))


def _add(other: str) -> dict[str, Any]:
    """A further input, added element by element."""
    return {"others": (other,), "join": "add"}
