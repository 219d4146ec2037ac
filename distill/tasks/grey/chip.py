"""The grey student for the chip."""

from __future__ import annotations

from ai8x_models.students import INPUT, LayerSpec, StudentSpec

FOLD = 2
# Output channels, layer by layer; a pooling by two stands before the layers at half the side.
_WIDTHS = (("conv1", 32), ("conv2", 32), ("conv3", 64), ("conv4", 64), ("conv5", 64),
           ("conv6", 64), ("conv7", 64))  # fmt: skip
_POOLED = ("conv3", "conv5", "conv7")
OUTPUT = "points"


def grey_student(keypoints: int = 13, size: int = 64) -> StudentSpec:
    """[1, size, size] -> [3 * keypoints, 1, 1]: x and y as fractions of the picture, visibility.

    2x2 blocks of the picture become four channels, so that a first layer of one channel does not
    leave 63 of 64 processors idle; seven 3x3 convolutions and three poolings bring the maps down to
    size/16 x size/16, from which one linear layer reads the points. No layer is wider than the 64
    processors. At 13 points and 64 x 64: 217 thousand parameters.
    """
    layers, source, channels = [], INPUT, FOLD * FOLD
    for name, width in _WIDTHS:
        fold, pool = FOLD if source == INPUT else 1, 2 if name in _POOLED else 1
        layers.append(LayerSpec(name, source, channels, width, pool=pool, fold=fold))
        source, channels = name, width
    pixels = (size // FOLD // 2 ** len(_POOLED)) ** 2
    layers.append(
        LayerSpec(
            OUTPUT,
            source,
            channels * pixels,
            3 * keypoints,
            op="linear",
            activation="none",
            batchnorm=False,
            wide=True,
        )
    )
    return StudentSpec(f"grey{keypoints}x{size}", (1, size, size), tuple(layers), (OUTPUT,))
