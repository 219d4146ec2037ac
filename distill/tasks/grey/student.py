"""The grey student for the chip."""

from __future__ import annotations

from ai8x_models.students import INPUT, LayerSpec, StudentSpec

FOLD = 2
# Output channels and pooling in front, layer by layer.
_LAYERS = (("conv1", 32, 1), ("conv2", 32, 1), ("conv3", 64, 2), ("conv4", 64, 1),
           ("conv5", 64, 2), ("conv6", 64, 1), ("conv7", 64, 2))  # fmt: skip
_LAST_SIDE = 4  # of the maps that are flattened: 4 x 4 x 64 are the 1024 inputs a linear layer has
OUTPUT = "points"


def grey_student(keypoints: int = 13, size: int = 64) -> StudentSpec:
    """[1, size, size] -> [3 * keypoints, 1, 1]: x and y as fractions of the picture, visibility.

    2x2 blocks of the picture become four channels, so that a first layer of one channel does not
    leave 63 of 64 processors idle; seven 3x3 convolutions (one more for every doubling of the size)
    and three poolings bring the maps down to 4 x 4, from which one linear layer reads the points.
    No layer is wider than the 64 processors. At 13 points and 64 x 64: 217,383 parameters.
    """
    layers, source, channels, side = [], INPUT, FOLD * FOLD, size // FOLD
    planned = list(_LAYERS)
    for _, _, pool in _LAYERS:
        side //= pool
    while side > _LAST_SIDE:
        planned.append((f"conv{len(planned) + 1}", planned[-1][1], 2))
        side //= 2
    for name, width, pool in planned:
        fold = FOLD if source == INPUT else 1
        layers.append(LayerSpec(name, source, channels, width, pool=pool, fold=fold))
        source, channels = name, width
    layers.append(
        LayerSpec(
            OUTPUT,
            source,
            channels * side**2,
            3 * keypoints,
            op="linear",
            activation="none",
            batchnorm=False,
            wide=True,
        )
    )
    return StudentSpec(f"grey{keypoints}x{size}", (1, size, size), tuple(layers), (OUTPUT,))
