"""Synthetic people: procedural figures over varied backgrounds, with exact keypoints.

Training data that needs no download, and the picture the demonstration ships.  A figure is a
small three-dimensional skeleton, posed at random, turned about its vertical axis, projected
without perspective and drawn limb by limb from far to near.  The same seed always gives the same
picture.

``python -m distill.people.synthetic FOLDER --count 100`` writes a set in COCO keypoint format.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ai8x_models.skeleton import COCO17, KEYPOINTS, to_coco17
from common.console import command_line, say
from common.errors import UserError
from common.files import whole_folder, write_file

Points = npt.NDArray[np.float64]
Colour = tuple[float, float, float]

SUPERSAMPLE = 2  # drawn so much larger, then averaged: soft edges at sub-pixel positions
_SHIFT = 4  # fractional bits of OpenCV's drawing coordinates

_SKIN: tuple[Colour, ...] = ((241, 205, 178), (224, 172, 132), (176, 120, 84), (116, 76, 52))
_HAIR: tuple[Colour, ...] = ((30, 24, 20), (84, 58, 38), (150, 108, 60), (170, 166, 160))

# Proportions as fractions of the standing height, about those of anthropometric tables.
_SHOULDER, _HIP = 0.112, 0.062  # half widths
_TORSO, _UPPER_ARM, _FOREARM, _THIGH, _SHIN = 0.30, 0.165, 0.15, 0.235, 0.235
_HEAD_UP, _HEAD = 0.112, 0.066  # neck to the head's centre, the head's radius

# Keypoints on the head that the head itself hides when it is turned away.
_FACE = ("nose", "r_eye", "l_eye", "r_ear", "l_ear")


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture of synthetic people.

    Attributes:
        pixels: uint8 [h, w, 3], RGB.
        keypoints: float32 [people, 18, 3]: x, y in pixels and 2 visible, 1 hidden by somebody
            nearer, 0 outside the picture or on the far side of the head (then x = y = 0).
    """

    pixels: npt.NDArray[np.uint8]
    keypoints: npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Style:
    """Colours and build of one figure."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    long_sleeves: bool
    long_trousers: bool
    girth: float


def _unit(vector: Points) -> Points:
    """``vector`` scaled to length one."""
    return np.asarray(vector / np.linalg.norm(vector))


def _direction(side: float, raised: float, forward: float) -> Points:
    """Unit vector of a limb that hangs down, raised by one angle towards the side and the front.

    Angles in degrees; ``forward`` 0 is straight to the side, 90 straight ahead.
    """
    up, turn = np.deg2rad([raised, forward])
    return np.array([side * np.sin(up) * np.cos(turn), np.cos(up), np.sin(up) * np.sin(turn)])


def _bend(limb: Points, towards: Points, angle: float) -> Points:
    """Direction of the next bone: ``limb`` turned by ``angle`` degrees towards a direction."""
    across = towards - limb * (towards @ limb)
    if np.linalg.norm(across) < 1e-3:
        across = np.array([limb[1], -limb[0], 0.1])
    radians = np.deg2rad(angle)
    return np.asarray(np.cos(radians) * limb + np.sin(radians) * _unit(across))


def _pose(rng: np.random.Generator, active: float) -> dict[str, Points]:
    """A body in its own frame: x to its left, y down, z ahead, origin between the hips.

    ``active`` from 0 (standing) to 1 (jumping about) widens the range of every joint.
    """
    neck = np.array([0, -_TORSO, 0.0])
    body = {"neck": neck}
    for sign, side in ((-1.0, "r_"), (1.0, "l_")):
        shoulder = neck + (sign * _SHOULDER, 0.01, 0)
        raised = rng.uniform(8, 40 + 120 * active)
        arm = _direction(sign, raised, rng.uniform(-20, 60))
        forearm = _bend(arm, np.array([0, -0.4, 1.0]), rng.uniform(5, 30 + 100 * active))
        hip = np.array([sign * _HIP, 0, 0])
        leg = _direction(sign, rng.uniform(2, 10 + 60 * active), rng.uniform(-10, 90))
        shin = _bend(leg, np.array([0, 0.2, -1.0]), rng.uniform(0, 12 + 90 * active))
        body[side + "shoulder"] = shoulder
        body[side + "elbow"] = shoulder + _UPPER_ARM * arm
        body[side + "wrist"] = body[side + "elbow"] + _FOREARM * forearm
        body[side + "hip"] = hip
        body[side + "knee"] = hip + _THIGH * leg
        body[side + "ankle"] = body[side + "knee"] + _SHIN * shin
        body[side + "toe"] = body[side + "ankle"] + (sign * 0.015, 0.035, 0.07)
    body.update(_head(neck, rng))
    return body


def _head(neck: Points, rng: np.random.Generator) -> dict[str, Points]:
    """The head's centre and its five keypoints, the head turned a little on the neck."""
    centre = neck + (rng.uniform(-0.02, 0.02), -_HEAD_UP, rng.uniform(0, 0.03))
    return head_at(centre, rng.uniform(-25, 25))


def head_at(centre: Points, degrees: float) -> dict[str, Points]:
    """A head there, turned by so much on its neck: its centre and its five keypoints."""
    turn = _rotation_y(degrees)
    features = {
        "head": (0.0, 0.0, 0.0),
        "nose": (0.0, 0.012, 1.0 * _HEAD),
        "r_eye": (-0.026, -0.012, 0.85 * _HEAD),
        "l_eye": (0.026, -0.012, 0.85 * _HEAD),
        "r_ear": (-0.92 * _HEAD, 0.004, 0.0),
        "l_ear": (0.92 * _HEAD, 0.004, 0.0),
    }
    return {name: centre + turn @ np.array(offset) for name, offset in features.items()}


def _rotation_y(degrees: float) -> Points:
    """Turn about the vertical axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _rotation_z(degrees: float) -> Points:
    """Lean in the plane of the picture."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _style(rng: np.random.Generator) -> _Style:
    """Random clothes."""

    def cloth() -> Colour:
        grey, tint = rng.uniform(30, 220), rng.uniform(-70, 70, 3)
        red, green, blue = (float(np.clip(grey + value, 5, 250)) for value in tint)
        return red, green, blue

    return _Style(
        skin=_SKIN[rng.integers(len(_SKIN))],
        hair=_HAIR[rng.integers(len(_HAIR))],
        shirt=cloth(),
        trousers=cloth(),
        shoes=cloth(),
        long_sleeves=bool(rng.random() < 0.5),
        long_trousers=bool(rng.random() < 0.6),
        girth=float(rng.uniform(0.85, 1.25)),
    )


class _Canvas:
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


def _draw_head(canvas: _Canvas, at: dict[str, Points], unit: float, style: _Style) -> None:
    """Skull, hair and, where they face us, eyes and nose."""
    centre, radius = at["head"], _HEAD * unit
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


def _parts(style: _Style) -> list[tuple[tuple[str, str], tuple[float, float], Colour]]:
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


def _draw_person(canvas: _Canvas, at: dict[str, Points], unit: float, style: _Style) -> None:
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


def _background(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.uint8]:
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


def _finish(canvas: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Average down to the wanted size and add the camera's grain."""
    height, width = canvas.shape[0] // SUPERSAMPLE, canvas.shape[1] // SUPERSAMPLE
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(np.float64)
    grain = rng.normal(0, rng.uniform(1, 6), small.shape)
    return np.clip(np.round(small + grain), 0, 255).astype(np.uint8)


def _place(
    body: dict[str, Points], rng: np.random.Generator, width: int, height: int, slot: float
) -> tuple[dict[str, Points], float]:
    """Turn, lean, scale and move a body into the picture.

    ``slot`` is the wanted horizontal place, 0..1.  Returns canvas positions (x, y, depth) and the
    length in canvas pixels of the body's unit, its standing height.
    """
    facing = rng.choice([0.0, 180.0], p=[0.8, 0.2]) + rng.normal(0, 35)
    turn = _rotation_z(rng.normal(0, 10)) @ _rotation_y(facing)
    turned = {name: turn @ point for name, point in body.items()}
    flat = np.stack(list(turned.values()))[:, :2]
    low, high = flat.min(axis=0) - _HEAD, flat.max(axis=0) + 0.03
    unit = rng.uniform(0.6, 0.95) * min(height / (high[1] - low[1]), width / (high[0] - low[0]))
    free = height - unit * (high[1] - low[1])
    top = free * rng.uniform(0.2, 1.0)
    centre = slot * width
    move = np.array([centre - unit * (low[0] + high[0]) / 2, top - unit * low[1], 0])
    return {name: point * unit + move for name, point in turned.items()}, float(unit)


def _keypoints(at: dict[str, Points]) -> npt.NDArray[np.float64]:
    """Keypoints [18, 3] in canvas pixels; the far side of the head is not labelled."""
    points = np.array([[*at[name][:2], 2] for name in KEYPOINTS])
    behind = at["head"][2] - 0.45 * np.linalg.norm(at["nose"] - at["head"])
    for name in _FACE:
        if at[name][2] < behind:
            points[KEYPOINTS.index(name)] = 0
    return points


def _visibility(points: Points, owner: npt.NDArray[np.int16], person: int) -> None:
    """Mark in place what lies outside the picture (0) or behind somebody else (1)."""
    height, width = owner.shape
    for point in points:
        x, y = int(np.floor(point[0] + 0.5)), int(np.floor(point[1] + 0.5))
        if point[2] == 0 or not (0 <= x < width and 0 <= y < height):
            point[:] = 0
        elif owner[y, x] not in (-1, person):
            point[2] = 1


def make_scene(
    seed: int, width: int = 256, height: int = 256, people: int | None = None, active: float = 0.5
) -> Scene:
    """Draw a picture of ``people`` figures (random, 1 to 4, when not given).

    ``active``, 0..1, bounds how far poses stray from standing.  The result depends on the
    arguments only.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 5)) if people is None else people
    wide, high = width * SUPERSAMPLE, height * SUPERSAMPLE
    canvas = _Canvas(_background(rng, high, wide))
    slots = (rng.permutation(count) + 0.5 + rng.uniform(-0.2, 0.2, count)) / max(count, 1)
    found = []
    for person in range(count):
        canvas.current = person
        body = _pose(rng, active * rng.random())
        at, unit = _place(body, rng, round(wide * 1.2 / max(count, 1) ** 0.5), high, 0.0)
        shift = np.array([slots[person] * wide, 0, 0])
        at = {name: point + shift for name, point in at.items()}
        _draw_person(canvas, at, unit, _style(rng))
        found.append(_keypoints(at))
    for person, points in enumerate(found):
        _visibility(points, canvas.owner, person)
        # Centre of canvas pixel c lies at (c + 0.5) / 2 - 0.5 of the averaged picture.
        seen = points[:, 2] > 0
        points[seen, :2] = (points[seen, :2] + 0.5) / SUPERSAMPLE - 0.5
    keypoints = np.array(found, dtype=np.float32).reshape(-1, len(KEYPOINTS), 3)
    return Scene(_finish(canvas.pixels, rng), keypoints)


def demonstration() -> Scene:
    """The scene of ``docs/images/people.png``, the picture that ``make run`` looks at by itself."""
    return make_scene(seed=106, width=320, height=240, people=2, active=0.35)


def coco_annotations(scene: Scene, image_id: int, first_id: int) -> list[dict[str, Any]]:
    """The scene's people as COCO keypoint annotations (17 points)."""
    records = []
    for offset, person in enumerate(scene.keypoints):
        points = to_coco17(person)
        seen = points[points[:, 2] > 0, :2]
        if not len(seen):
            continue
        low, size = seen.min(axis=0), np.ptp(seen, axis=0)
        records.append(
            {
                "id": first_id + offset,
                "image_id": image_id,
                "category_id": 1,
                "iscrowd": 0,
                "keypoints": [round(float(value), 2) for value in points.reshape(-1)],
                "num_keypoints": len(seen),
                "bbox": [round(float(value), 2) for value in (*low, *size)],
                # About the part of its box that a person covers.
                "area": round(float(size[0] * size[1]) * 0.5, 2),
            }
        )
    return records


def write_set(
    folder: Path, count: int, seed: int = 0, size: int = 192, height: int | None = None
) -> Path:
    """Write ``count`` pictures and ``annotations.json`` in COCO format; returns the JSON's path.

    Pictures are ``size`` pixels wide and as high, unless ``height`` is given. The folder appears
    only when everything in it is complete.
    """
    if folder.exists():
        raise UserError(f"{folder} exists already; remove it or name another folder")
    height = height or size
    with whole_folder(folder) as staging:
        _write_set(staging, count, seed, size, height)
    return folder / "annotations.json"


def _write_set(folder: Path, count: int, seed: int, size: int, height: int) -> None:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(count):
        scene = make_scene(seed + index, size, height)
        name = f"{index:06d}.jpg"
        write_picture(folder / name, scene.pixels)
        images.append({"id": index + 1, "file_name": name, "width": size, "height": height})
        annotations += coco_annotations(scene, index + 1, 100 * (index + 1))
    categories = [{"id": 1, "name": "person", "keypoints": list(COCO17)}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_file(folder / "annotations.json", json.dumps(content))


def write_picture(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write uint8 [h, w, 3] RGB as the format its name ends in."""
    if not cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)):
        raise UserError(f"cannot write the picture {path}; is the disk full or the folder missing?")


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m distill.people.synthetic", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder to make")
    parser.add_argument("--count", type=int, default=100, help="pictures (100)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first picture (0)")
    parser.add_argument("--size", type=int, default=192, help="side of a picture in pixels (192)")
    options = parser.parse_args(arguments)
    say(str(write_set(options.folder, options.count, options.seed, options.size)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
