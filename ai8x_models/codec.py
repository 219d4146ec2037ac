"""Keypoint codec: people -> heatmaps and part-affinity fields, and back.

Coordinates are pixels of the network's input, (0, 0) being the centre of the top-left pixel.
With stride 8 the centre of map cell (row i, column j) lies at pixel (8 * j + 3.5, 8 * i + 3.5).

Targets follow the public Lightweight OpenPose: Gaussians cut off below 0.01, limbs one cell wide
to either side, a later person drawn over an earlier one.  Three things differ, all on purpose:
where people overlap a heatmap holds the larger Gaussian instead of the clipped sum (as in the
OpenPose paper), so that neighbours keep separate peaks; limbs are drawn about the cells'
centres, the same points that the heatmaps use; and the end caps are the same on all four sides,
which makes the targets of a mirrored picture the mirrored targets.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ai8x_models.skeleton import (
    BACKGROUND,
    FLIP_HEATMAPS,
    FLIP_KEYPOINTS,
    FLIP_PAFS,
    KEYPOINTS,
    LIMBS,
    NUM_HEATMAPS,
    NUM_KEYPOINTS,
    NUM_LIMBS,
    NUM_PAFS,
    from_coco17,
    from_lsp14,
    loss_masks,
)

__all__ = [
    "BACKGROUND",
    "FLIP_HEATMAPS",
    "FLIP_KEYPOINTS",
    "FLIP_PAFS",
    "KEYPOINTS",
    "LIMBS",
    "NUM_HEATMAPS",
    "NUM_KEYPOINTS",
    "NUM_LIMBS",
    "NUM_PAFS",
    "SIGMA",
    "STRIDE",
    "encode",
    "encode_batch",
    "flip_keypoints",
    "flip_maps",
    "from_coco17",
    "from_lsp14",
    "loss_masks",
]

Floats = npt.NDArray[np.float32]

STRIDE = 8
SIGMA = 7.0  # pixels
PAF_WIDTH = 1.0  # cells to either side of the limb
GAUSSIAN_FLOOR = 0.01  # smaller values are zero

_LIMB_FROM = np.array([a for a, _ in LIMBS])
_LIMB_TO = np.array([b for _, b in LIMBS])


def cell_centre(cells: npt.ArrayLike, stride: int = STRIDE) -> Floats:
    """Pixel coordinate of (possibly fractional) map coordinates."""
    return np.asarray(cells, dtype=np.float32) * stride + np.float32((stride - 1) / 2)


def encode(
    keypoints: npt.ArrayLike, size: int = 128, stride: int = STRIDE, sigma: float = SIGMA
) -> tuple[Floats, Floats]:
    """Targets of one picture of ``size`` x ``size`` pixels.

    ``keypoints``: [people, 18, 3] of (x, y, visible), in pixels; points with visible <= 0 are
    left out, points outside the picture still cast their Gaussian into it.
    Returns heatmaps float32 [19, h, w] and part affinities float32 [38, h, w], h = w =
    size // stride.  No people: all maps are zero and the background is one.
    """
    people = np.asarray(keypoints, dtype=np.float32).reshape(1, -1, NUM_KEYPOINTS, 3)
    heatmaps, pafs = encode_batch(people, size, stride, sigma)
    return heatmaps[0], pafs[0]


def encode_batch(
    keypoints: npt.ArrayLike, size: int = 128, stride: int = STRIDE, sigma: float = SIGMA
) -> tuple[Floats, Floats]:
    """Targets of several pictures: [n, people, 18, 3] -> [n, 19, h, w] and [n, 38, h, w].

    Pictures with fewer people are padded with all-zero (invisible) ones.  See :func:`encode`.
    """
    people = np.asarray(keypoints, dtype=np.float32)
    if people.ndim != 4 or people.shape[2:] != (NUM_KEYPOINTS, 3):
        raise ValueError(f"keypoints have shape {people.shape}, but [n, people, 18, 3] is expected")
    if size % stride:
        raise ValueError(f"size {size} is not a multiple of the stride {stride}")
    side = size // stride
    return _heatmaps(people, side, stride, sigma), _pafs(people, side, stride)


def _heatmaps(people: Floats, side: int, stride: int, sigma: float) -> Floats:
    """Gaussians, separable in x and y, the largest of all people; float32 [n, 19, side, side]."""
    count = people.shape[0]
    maps = np.zeros((count, NUM_HEATMAPS, side, side), dtype=np.float32)
    centres = cell_centre(np.arange(side), stride)
    scale = np.float32(-0.5 / sigma**2)
    # A missing point gets weight zero in y, hence zero everywhere.
    weight = (people[..., 2] > 0).astype(np.float32)[..., None]
    along_x = np.exp(scale * (centres - people[..., 0, None]) ** 2)
    along_y = np.exp(scale * (centres - people[..., 1, None]) ** 2) * weight
    points = maps[:, :BACKGROUND]
    for person in range(people.shape[1]):
        np.maximum(
            points, along_y[:, person, :, :, None] * along_x[:, person, :, None, :], out=points
        )
    points[points < GAUSSIAN_FLOOR] = 0
    maps[:, BACKGROUND] = 1 - points.max(axis=1)
    return maps


def _pafs(people: Floats, side: int, stride: int) -> Floats:
    """Unit vectors along the limbs; float32 [n, 38, side, side]."""
    count = people.shape[0]
    maps = np.zeros((count, NUM_LIMBS, 2, side, side), dtype=np.float32)
    cells = (people[..., :2] - np.float32((stride - 1) / 2)) / np.float32(stride)
    visible = people[..., 2] > 0
    grid = np.arange(side, dtype=np.float32)
    for person in range(people.shape[1]):
        start, end = cells[:, person, _LIMB_FROM], cells[:, person, _LIMB_TO]
        step = end - start
        length = np.hypot(step[..., 0], step[..., 1])
        drawn = visible[:, person, _LIMB_FROM] & visible[:, person, _LIMB_TO] & (length > 1e-6)
        image, limb = np.nonzero(drawn)
        if len(image):
            unit = (step[image, limb] / length[image, limb, None]).astype(np.float32)
            inside = _limb_cells(start[image, limb], end[image, limb], unit, grid)
            maps[image, limb] = np.where(inside[:, None], unit[:, :, None, None], maps[image, limb])
    return maps.reshape(count, NUM_PAFS, side, side)


def _limb_cells(start: Floats, end: Floats, unit: Floats, grid: Floats) -> npt.NDArray[np.bool_]:
    """Cells a limb covers, bool [m, h, w]: at most PAF_WIDTH from the line through its ends, and
    in the box spanned by its ends grown by PAF_WIDTH.  Positions are in cells, [m, 2]."""
    low = np.minimum(start, end) - PAF_WIDTH
    high = np.maximum(start, end) + PAF_WIDTH
    in_box = (grid >= low[..., None]) & (grid <= high[..., None])
    offset = grid - start[..., None]
    across = np.abs(
        offset[:, 0, None, :] * unit[:, 1, None, None]
        - offset[:, 1, :, None] * unit[:, 0, None, None]
    )
    near: npt.NDArray[np.bool_] = across <= PAF_WIDTH
    return near & in_box[:, 0, None, :] & in_box[:, 1, :, None]


def flip_keypoints(keypoints: npt.ArrayLike, width: int = 128) -> Floats:
    """Keypoints [..., 18, 3] of the picture mirrored left to right, sides exchanged."""
    flipped = np.array(keypoints, dtype=np.float32)[..., list(FLIP_KEYPOINTS), :]
    flipped[..., 0] = np.where(flipped[..., 2] > 0, width - 1 - flipped[..., 0], flipped[..., 0])
    return flipped


def flip_maps(heatmaps: Floats, pafs: Floats) -> tuple[Floats, Floats]:
    """Maps [..., 19, h, w] and [..., 38, h, w] of the mirrored picture (its own inverse)."""
    heat = heatmaps[..., list(FLIP_HEATMAPS), :, ::-1].copy()
    paf = pafs[..., list(FLIP_PAFS), :, ::-1].copy()
    paf[..., 0::2, :, :] *= -1
    return heat, paf
