"""How bodies become a picture: clothes, limbs from far to near, what is behind them, grain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ai8x_models.skeleton import KEYPOINTS
from distill.people.drawn.bones import HEAD, Points

Colour = tuple[float, float, float]

SUPERSAMPLE = 2  # drawn so much larger, then averaged: soft edges at sub-pixel positions
_SHIFT = 4  # fractional bits of OpenCV's drawing coordinates
_SKIN: tuple[Colour, ...] = ((241, 205, 178), (224, 172, 132), (176, 120, 84), (116, 76, 52))
_HAIR: tuple[Colour, ...] = ((30, 24, 20), (84, 58, 38), (150, 108, 60), (170, 166, 160))
# Keypoints on the head that the head itself hides when it is turned away.
_FACE = ("nose", "r_eye", "l_eye", "r_ear", "l_ear")


@dataclass(frozen=True)
class Style:
    """Colours and build of one figure."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    long_sleeves: bool
    long_trousers: bool
    girth: float


def clothes(rng: np.random.Generator) -> Style:
    """Random clothes."""

    def cloth() -> Colour:
        grey, tint = rng.uniform(30, 220), rng.uniform(-70, 70, 3)
        red, green, blue = (float(np.clip(grey + value, 5, 250)) for value in tint)
        return red, green, blue

    return Style(
        skin=_SKIN[rng.integers(len(_SKIN))],
        hair=_HAIR[rng.integers(len(_HAIR))],
        shirt=cloth(),
        trousers=cloth(),
        shoes=cloth(),
        long_sleeves=bool(rng.random() < 0.5),
        long_trousers=bool(rng.random() < 0.6),
        girth=float(rng.uniform(0.85, 1.25)),
    )


class Canvas:
    """The picture being drawn, and who is in front at every pixel (-1: nobody)."""

    def __init__(self, pixels: npt.NDArray[np.uint8]) -> None:
        self.pixels = pixels
        self.owner = np.full(pixels.shape[:2], -1, dtype=np.int16)
        self.current = -1

    def hull(self, centres: Points, radii: Sequence[float], colour: Colour) -> None:
        """Convex hull of circles, [n, 2] and [n] in canvas pixels."""
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        points = (centres[:, None, :] + np.asarray(radii)[:, None, None] * ring).reshape(-1, 2)
        fixed = np.round(points * (1 << _SHIFT)).astype(np.int32)
        outline = cv2.convexHull(fixed)
        cv2.fillConvexPoly(self.pixels, outline, colour, cv2.LINE_AA, _SHIFT)
        cv2.fillConvexPoly(self.owner, outline, (self.current,), cv2.LINE_8, _SHIFT)

    def limb(self, ends: Points, radii: Sequence[float], colour: Colour) -> None:
        """A rounded limb, lit from the upper left."""
        self.hull(ends, radii, _shade(colour, 0.82))
        offset = np.asarray(radii)[:, None] * (-0.22, -0.18)
        self.hull(ends + offset, [0.68 * radius for radius in radii], _shade(colour, 1.06))


def _shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker or lighter."""
    red, green, blue = (float(np.clip(channel * factor, 0, 255)) for channel in colour)
    return red, green, blue


def _draw_head(canvas: Canvas, at: dict[str, Points], unit: float, style: Style) -> None:
    """Skull, hair and, where they face us, eyes and nose."""
    centre, radius = at["head"], HEAD * unit
    facing = at["nose"][2] - centre[2]
    skull = centre[None, :2] + radius * np.array([[0, -0.18], [0, 0.2]])
    canvas.limb(skull, [0.98 * radius, 0.84 * radius], style.skin)
    if facing < 0:  # the back of the head
        canvas.limb(skull, [1.03 * radius, 0.85 * radius], style.hair)
        return
    sideways = (centre[:2] - at["nose"][:2]) * (0.35, 0)
    crown = centre[None, :2] + sideways + radius * np.array([[-0.3, -0.68], [0.3, -0.68]])
    canvas.limb(crown, [0.52 * radius, 0.52 * radius], style.hair)
    for name in ("r_eye", "l_eye"):
        if at[name][2] > centre[2]:
            canvas.hull(at[name][None, :2], [0.15 * radius], (245, 245, 240))
            canvas.hull(at[name][None, :2], [0.1 * radius], (30, 25, 25))
    canvas.hull(at["nose"][None, :2], [0.11 * radius], _shade(style.skin, 0.72))
    mouth = at["nose"][:2] + radius * np.array([[-0.2, 0.42], [0.2, 0.42]])
    canvas.hull(mouth, [0.05 * radius, 0.05 * radius], (150, 60, 60))


def _parts(style: Style) -> list[tuple[tuple[str, str], tuple[float, float], Colour]]:
    """Limbs as (ends, radii as fractions of the height, colour)."""
    sleeve = style.shirt if style.long_sleeves else style.skin
    leg = style.trousers if style.long_trousers else style.skin
    parts: list[tuple[tuple[str, str], tuple[float, float], Colour]] = []
    for side in ("r_", "l_"):
        parts += [
            ((side + "shoulder", side + "elbow"), (0.036, 0.029), style.shirt),
            ((side + "elbow", side + "wrist"), (0.028, 0.02), sleeve),
            ((side + "wrist", side + "wrist"), (0.025, 0.025), style.skin),
            ((side + "hip", side + "knee"), (0.056, 0.04), style.trousers),
            ((side + "knee", side + "ankle"), (0.038, 0.025), leg),
            ((side + "ankle", side + "toe"), (0.028, 0.022), style.shoes),
        ]
    return parts


def draw_person(canvas: Canvas, at: dict[str, Points], unit: float, style: Style) -> None:
    """All parts of one figure, the farthest first."""
    jobs = [
        (
            float(np.mean([at[name][2] for name in ends])),
            np.stack([at[name][:2] for name in ends]),
            [radius * unit * style.girth for radius in radii],
            colour,
        )
        for ends, radii, colour in _parts(style)
    ]
    corners = ("r_shoulder", "l_shoulder", "r_hip", "l_hip")
    torso = np.stack([at[name][:2] for name in corners])
    widths = [r * unit * style.girth for r in (0.038, 0.038, 0.056, 0.056)]
    jobs.append((float(at["neck"][2]), torso, widths, style.shirt))
    neck = np.stack([at["neck"][:2], at["head"][:2]])
    canvas.limb(neck, [0.034 * unit, 0.034 * unit], style.skin)
    head_drawn = False
    for depth, centres, radii, colour in sorted(jobs, key=lambda job: job[0]):
        if depth > at["head"][2] and not head_drawn:
            _draw_head(canvas, at, unit, style)
            head_drawn = True
        canvas.limb(centres, radii, colour)
    if not head_drawn:
        _draw_head(canvas, at, unit, style)


def backdrop(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A wall and a floor, large soft blotches, boxes and bars, and grain; uint8 [h, w, 3]."""
    colours = rng.uniform(40, 220, (4, 1)) + rng.normal(0, 22, (4, 3))
    horizon = int(height * rng.uniform(0.45, 0.9))
    ramp = np.linspace(0, 1, height)[:, None]
    wall = colours[0] * (1 - ramp) + colours[1] * ramp
    wall[horizon:] = colours[2] * (1 - ramp[horizon:]) + colours[3] * ramp[horizon:]
    picture = np.repeat(wall[:, None, :], width, axis=1)
    for cells in (3, 9, 31):
        light = rng.normal(0, 13, (cells, cells, 1)) + rng.normal(0, 4, (cells, cells, 3))
        blotches = light.astype(np.float32)
        picture += cv2.resize(blotches, (width, height), interpolation=cv2.INTER_CUBIC)
    canvas = np.clip(picture, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(2, 12)):
        colour = tuple(float(value) for value in rng.uniform(10, 245, 3))
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        w, h = (int(value) for value in rng.integers(4, max(5, width // 3), 2))
        if rng.random() < 0.6:
            cv2.rectangle(canvas, (x, y), (x + w, y + h), colour, -1)
        elif rng.random() < 0.5:
            cv2.ellipse(canvas, (x, y), (w, h), float(rng.uniform(0, 180)), 0, 360, colour, -1)
        else:
            cv2.line(canvas, (x, y), (x + w, y - h), colour, int(rng.integers(1, 8)))
    return canvas


def finished(canvas: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Average down to the wanted size and add the camera's grain."""
    height, width = canvas.shape[0] // SUPERSAMPLE, canvas.shape[1] // SUPERSAMPLE
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(np.float64)
    grain = rng.normal(0, rng.uniform(1, 6), small.shape)
    return np.clip(np.round(small + grain), 0, 255).astype(np.uint8)


def keypoints_of(at: dict[str, Points]) -> npt.NDArray[np.float64]:
    """Keypoints [18, 3] in canvas pixels; the far side of the head is not labelled."""
    points = np.array([[*at[name][:2], 2] for name in KEYPOINTS])
    behind = at["head"][2] - 0.45 * np.linalg.norm(at["nose"] - at["head"])
    for name in _FACE:
        if at[name][2] < behind:
            points[KEYPOINTS.index(name)] = 0
    return points


def look_at(points: Points, owner: npt.NDArray[np.int16], person: int) -> None:
    """Turn keypoints of the canvas, in place, into what can be seen in the averaged picture.

    Args:
        points: float64 [18, 3] of ``keypoints_of``; afterwards pixels of the picture, and 2
            visible, 1 behind somebody else, 0 (then x = y = 0) outside.
        owner: of the canvas.
        person: whose they are.
    """
    height, width = owner.shape
    for point in points:
        x, y = int(np.floor(point[0] + 0.5)), int(np.floor(point[1] + 0.5))
        if point[2] == 0 or not (0 <= x < width and 0 <= y < height):
            point[:] = 0
        elif owner[y, x] not in (-1, person):
            point[2] = 1
    # Centre of canvas pixel c lies at (c + 0.5) / 2 - 0.5 of the averaged picture.
    seen = points[:, 2] > 0
    points[seen, :2] = (points[seen, :2] + 0.5) / SUPERSAMPLE - 0.5
