"""Pictures as the networks want them, and their points back in the picture."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from distill.people.crops import crop_matrix, transform_points, warp
from distill.people.label.poses import Floats, Pose, extent

CROP = 1.35  # side of a crop over the extent of the person's points
_LEAST = 8.0  # pixels; nobody is smaller

Pixels = npt.NDArray[np.uint8]
# ImageNet's, red, green, blue.
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)


def fitted(
    pixels: Pixels, width: int, height: int, fill: int, centred: bool = False
) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """A picture scaled to lie within ``width`` x ``height``, the rest filled.

    It lies at the top left, or in the middle where ``centred``. Returns uint8 [height, width, 3]
    and the affine map float64 [2, 3] from its pixels back to the picture's.
    """
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(pixels, size, interpolation=method)
    canvas = np.full((height, width, 3), fill, np.uint8)
    left, top = ((width - size[0]) // 2, (height - size[1]) // 2) if centred else (0, 0)
    canvas[top : top + size[1], left : left + size[0]] = small
    steps = np.array([pixels.shape[1] / size[0], pixels.shape[0] / size[1]])
    offset = (0.5 - np.array([left, top])) * steps - 0.5  # positions scale about (-0.5, -0.5)
    return canvas, np.hstack([np.diag(steps), offset[:, None]]).astype(np.float64)


def cut(
    pixels: Pixels, pose: Pose, width: int, height: int
) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """The person of a pose, CROP times the extent of its points, as uint8 [height, width, 3].

    Also returns the affine map back to the picture. Outside the picture it is grey.
    """
    left, top, right, bottom = extent(pose.points, pose.points[:, 2] > 0)
    ratio = width / height
    tall = max(bottom - top, (right - left) / ratio, _LEAST) * CROP
    side = max(width, height)
    longer = tall * max(ratio, 1.0)
    centre = ((left + right) / 2, (top + bottom) / 2)
    matrix = crop_matrix(centre, longer, side)
    square = warp(pixels, matrix, side)
    x, y = (side - width) // 2, (side - height) // 2
    back = np.asarray(cv2.invertAffineTransform(matrix), np.float64)
    back[:, 2] += back[:, :2] @ np.array([x, y])
    return np.asarray(square[y : y + height, x : x + width], np.uint8), back


def whole(pixels: Pixels) -> Pose:
    """The picture as if a person filled it, to cut it out as a whole."""
    height, width = pixels.shape[:2]
    points = np.zeros((17, 3), np.float32)
    points[:2] = (0, 0, 1), (width - 1, height - 1, 1)
    inner = (points[:2, :2] - points[:2, :2].mean(axis=0)) / CROP + points[:2, :2].mean(axis=0)
    points[:2, :2] = inner
    return Pose(points, 1.0)


def placed(points: Floats, back: npt.NDArray[np.float64]) -> Floats:
    """Points [17, 3] in the picture's pixels."""
    return np.asarray(transform_points(points, back), np.float32)


def normalised(pixels: Pixels) -> Floats:
    """float32 [1, 3, h, w]: red, green, blue less ImageNet's mean, over its deviation."""
    values = (pixels.astype(np.float32) - MEAN) / STD
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)
