"""Pictures of results: the input beside the heatmaps beside the skeletons.

Colours are RGB throughout; OpenCV's own order is used only where a file is written.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ai8x_models.codec import Floats
from ai8x_models.decode import Person
from ai8x_models.preprocess import Prepared
from ai8x_models.skeleton import BACKGROUND, LIMBS, LOOP_LIMBS, NUM_KEYPOINTS, NUM_LIMBS
from common.errors import UserError
from common.files import write_file

Pixels = npt.NDArray[np.uint8]
FORMATS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FAINT = 0.25  # heatmaps that stay below are not brightened up to look like a finding
_CAPTION = 28  # pixels above every panel


def _wheel(count: int) -> list[tuple[int, int, int]]:
    """``count`` colours around the wheel, neighbours well apart."""
    colours = []
    for index in range(count):
        red, green, blue = colorsys.hsv_to_rgb(index / count, 0.85, 1.0)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


LIMB_COLOURS = _wheel(NUM_LIMBS)
POINT_COLOURS = _wheel(NUM_KEYPOINTS)


def draw_people(picture: Pixels, people: Sequence[Floats], thickness: int = 3) -> Pixels:
    """A copy of uint8 [h, w, 3] with skeletons; ``people``: [18, 3] in the picture's pixels.

    A limb is drawn when both its ends were found (third value above 0).
    """
    canvas = picture.copy()
    for points in people:
        for limb, (a, b) in enumerate(LIMBS):
            if limb not in LOOP_LIMBS and points[a, 2] > 0 and points[b, 2] > 0:
                start, end = _pixel(points[a]), _pixel(points[b])
                cv2.line(canvas, start, end, LIMB_COLOURS[limb], thickness, cv2.LINE_AA)
        for index, point in enumerate(points):
            if point[2] > 0:
                cv2.circle(canvas, _pixel(point), thickness, (0, 0, 0), -1, cv2.LINE_AA)
                cv2.circle(
                    canvas, _pixel(point), thickness - 1, POINT_COLOURS[index], -1, cv2.LINE_AA
                )
    return canvas


def _pixel(point: Floats) -> tuple[int, int]:
    """Nearest pixel of (x, y, ...)."""
    return round(float(point[0])), round(float(point[1]))


def draw_heatmaps(pixels: Pixels, heatmaps: Floats) -> Pixels:
    """The network's input, uint8 [size, size, 3], dimmed, with every keypoint's map in its colour.

    ``heatmaps``: [19, h, w]; 0 shows nothing and the picture's largest value full colour, unless
    that is below ``FAINT``.
    """
    size = pixels.shape[0]
    # Cell centres are exactly where cv2.resize puts them.
    maps = [
        cv2.resize(heatmaps[channel], (size, size), interpolation=cv2.INTER_LINEAR)
        for channel in range(BACKGROUND)
    ]
    full = max(FAINT, float(heatmaps[:BACKGROUND].max()))
    weight = np.clip(np.stack(maps, axis=-1) / full, 0, 1)
    glow = np.tensordot(weight, np.array(POINT_COLOURS, dtype=np.float64), axes=1)
    strongest = weight.max(axis=-1, keepdims=True)
    glow /= np.maximum(weight.sum(axis=-1, keepdims=True), 1e-6)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None] * 0.45
    return np.clip(grey * (1 - strongest) + glow * strongest, 0, 255).astype(np.uint8)


def _panel(picture: Pixels, caption: str) -> Pixels:
    """A picture with a caption above it."""
    bar = np.full((_CAPTION, picture.shape[1], 3), 24, dtype=np.uint8)
    cv2.putText(
        bar, caption, (8, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (230, 230, 230), 1, cv2.LINE_AA
    )
    return np.vstack([bar, picture])


def compose(
    picture: Pixels,
    prepared: Prepared,
    heatmaps: Floats,
    people: Sequence[Person],
    side: int = 480,
) -> Pixels:
    """Input, heatmaps and skeletons side by side, uint8 [h, 3 w + gaps, 3].

    ``picture`` is the original, uint8 [h, w, 3]; ``people`` are in input pixels, as decoded.
    The longer side of each panel is ``side`` pixels.
    """
    height, width = picture.shape[:2]
    factor = side / max(height, width)
    shape = (max(1, round(width * factor)), max(1, round(height * factor)))
    shown = np.asarray(cv2.resize(picture, shape, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    used_w = min(prepared.pixels.shape[1], max(1, round(width * prepared.scale[0])))
    used_h = min(prepared.pixels.shape[0], max(1, round(height * prepared.scale[1])))
    heat = draw_heatmaps(prepared.pixels, heatmaps)[:used_h, :used_w]
    heat = np.asarray(cv2.resize(heat, shape, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    zoom = np.array([shape[0] / width, shape[1] / height], dtype=np.float32)
    placed = []
    for person in people:
        points = prepared.to_picture(person.keypoints)
        points[:, :2] = (points[:, :2] + 0.5) * zoom - 0.5
        placed.append(points)
    count = "1 person" if len(people) == 1 else f"{len(people)} people"
    panels = [
        _panel(shown, f"input {width} x {height}"),
        _panel(heat, "heatmaps"),
        _panel(draw_people(shown, placed), f"skeleton: {count}"),
    ]
    gap = np.full((panels[0].shape[0], 6, 3), 24, dtype=np.uint8)
    return np.hstack([panels[0], gap, panels[1], gap, panels[2]])


def write_picture(path: Path, pixels: Pixels) -> None:
    """Write uint8 [h, w, 3] RGB, whole or not at all, in the format that the name ends with.

    Raises:
        UserError: the name ends with none of ``FORMATS``, or the file cannot be written.
    """
    write_file(path, encoded(path, pixels))


def encoded(path: Path, pixels: Pixels) -> bytes:
    """The content of a picture file of that name.

    Raises:
        UserError: the name ends with none of ``FORMATS``, or the format cannot hold the picture.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"{path} names no kind of picture; let it end with {', '.join(FORMATS)}")
    try:
        done, data = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    except cv2.error:
        done = False
    if not done:
        height, width = pixels.shape[:2]
        raise UserError(f"cannot write {path}: {suffix} holds no picture of {width} x {height}")
    return data.tobytes()
