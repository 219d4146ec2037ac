"""Films of drawn people who walk, turn, cross and leave, with the truth known.

``python -m distill.people.film cross OUT.mp4`` writes a script of :data:`SCRIPTS` as a video and
its truth beside it as ``OUT.mp4.json``; the kit's camera plays it (``--camera OUT.mp4``). The
figures are those of :mod:`distill.people.synthetic`; the same script always gives the same film.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from ai8x_models.skeleton import KEYPOINTS
from common.arguments import Parser, to_file
from common.console import command_line, progress, say
from common.errors import UserError
from common.files import whole_file, write_file
from common.texts import utf8
from distill.people.drawn import bones, figure

Points = npt.NDArray[np.float64]

SIDE = 480
"""Pixels a side: the middle of the camera's array."""
RATE = 28.86
"""Pictures a second: what the board's camera delivers."""

VIDEOS = (".mp4", ".avi")
"""How the name of a film ends."""

_STEP = 0.75
"""Heights for two steps."""
_FEET = 0.505
"""Heights from the hips to the soles."""


@dataclass(frozen=True)
class Actor:
    """Somebody in a film. Places and heights are fractions of the picture's side.

    Attributes:
        seed: of the clothes.
        way: (second, x, y of the feet, height), twice or more; between them it goes straight,
            before the first and after the last the actor is not there.
        facing: degrees, 0 towards the camera; None: where the way goes, towards the camera when
            it rests.
        turning: degrees a second added to it.
        hand: (from, to) seconds with the right hand up.
    """

    seed: int
    way: tuple[tuple[float, float, float, float], ...]
    facing: float | None = None
    turning: float = 0.0
    hand: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Script:
    """What happens in a film, and how long it is."""

    seconds: float
    actors: tuple[Actor, ...]


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a film.

    Attributes:
        pixels: uint8 [side, side, 3], RGB.
        people: for each actor who is there the keypoints, float64 [18, 3]: x, y in pixels and 2
            visible, 1 hidden by somebody nearer, 0 outside the picture or behind the head.
    """

    pixels: npt.NDArray[np.uint8]
    people: dict[int, Points]


def _across(seed: int, start: float, end: float, y: float, height: float, seconds: float) -> Actor:
    return Actor(seed, ((0.0, start, y, height), (seconds, end, y, height)))


SCRIPTS: dict[str, Script] = {
    "stand": Script(4, (Actor(1, ((0, 0.5, 0.62, 0.25), (4, 0.5, 0.62, 0.25))),)),
    "walk": Script(8, (_across(2, -0.1, 1.1, 0.6, 0.25, 8),)),
    "turn": Script(6, (Actor(3, ((0, 0.4, 0.7, 0.4), (6, 0.6, 0.7, 0.4)), 0.0, 60.0),)),
    "approach": Script(8, (Actor(4, ((0, 0.2, 0.5, 0.15), (8, 0.6, 0.95, 0.8))),)),
    "wave": Script(6, (Actor(5, ((0, 0.5, 0.8, 0.5), (6, 0.5, 0.8, 0.5)), 0.0, hand=(2.0, 4.0)),)),
    "far": Script(
        8,
        (
            Actor(6, ((0, 0.40, 0.45, 0.15), (8, 0.52, 0.45, 0.15))),
            Actor(7, ((0, 0.60, 0.52, 0.22), (8, 0.50, 0.52, 0.22)), 0.0),
        ),
    ),
    "cross": Script(
        12,
        (
            _across(8, 0.05, 0.95, 0.80, 0.45, 10),
            _across(9, 0.95, 0.05, 0.76, 0.42, 10),
            _across(10, -0.1, 1.1, 0.70, 0.38, 12),
            _across(11, 1.0, 0.0, 0.66, 0.36, 11),
        ),
    ),
    "crowd": Script(
        8,
        tuple(
            _across(20 + i, (0.1 * i + 0.55) % 1.1, (0.1 * i) % 1.1, 0.5 + 0.05 * i, 0.3, 8)
            for i in range(10)
        ),
    ),
    "leave": Script(
        8,
        (
            Actor(12, ((0, 0.5, 0.7, 0.4), (3, 0.5, 0.7, 0.4), (5, 1.2, 0.7, 0.4))),
            Actor(13, ((0, 0.3, 0.7, 0.4), (8, 0.3, 0.7, 0.4)), 0.0),
        ),
    ),
}
"""By name; heights from 0.15 to 0.8 of the picture."""


_CROSSINGS = 19
STILLS = 1_000_000
"""The first seed of crossings that are trained with."""


def crossing(seed: int) -> Script:
    """Four people who cross, others than those of ``SCRIPTS["cross"]`` and on other ways.

    Args:
        seed: from 1 on; 0 is ``SCRIPTS["cross"]`` itself.
    """
    if seed == 0:
        return SCRIPTS["cross"]
    rng = np.random.default_rng((_CROSSINGS, seed))
    actors = []
    for index, actor in enumerate(SCRIPTS["cross"].actors):
        (_, start, y, height), (seconds, end, _, _) = actor.way
        start, end = start + rng.uniform(-0.08, 0.08), end + rng.uniform(-0.08, 0.08)
        y, height = y + rng.uniform(-0.03, 0.03), height * rng.uniform(0.9, 1.15)
        clothes = 1000 + 4 * seed + index
        actors.append(_across(clothes, start, end, y, height, seconds * rng.uniform(0.85, 1.0)))
    return Script(SCRIPTS["cross"].seconds, tuple(actors))


def _leg(body: dict[str, Points], side: str, sign: float, phase: float, swing: float) -> None:
    angle = np.deg2rad(30 * swing) * np.sin(phase)
    bend = np.deg2rad(45 * swing) * max(0.0, np.cos(phase))
    hip = np.array([sign * bones.HIP, 0, 0])
    thigh = np.array([sign * 0.03, np.cos(angle), np.sin(angle)])
    shin = np.array([0, np.cos(angle - bend), np.sin(angle - bend)])
    body[side + "hip"] = hip
    body[side + "knee"] = hip + bones.THIGH * thigh
    body[side + "ankle"] = body[side + "knee"] + bones.SHIN * shin
    body[side + "toe"] = body[side + "ankle"] + (sign * 0.015, 0.035, 0.07)


def _arm(body: dict[str, Points], side: str, sign: float, angle: float, up: bool) -> None:
    shoulder = body["neck"] + (sign * bones.SHOULDER, 0.01, 0)
    upper = np.array([sign * 0.12, np.cos(angle), np.sin(angle)])
    lower = np.array([sign * 0.05, np.cos(angle + 0.3), np.sin(angle + 0.3)])
    if up:
        upper, lower = np.array([sign * 0.5, -0.85, 0.1]), np.array([-sign * 0.1, -0.99, 0.1])
    body[side + "shoulder"] = shoulder
    body[side + "elbow"] = shoulder + bones.UPPER_ARM * upper
    body[side + "wrist"] = body[side + "elbow"] + bones.FOREARM * lower


def body_at(phase: float, swing: float, hand: bool) -> dict[str, Points]:
    """A body in its own frame: x to its left, y down, z ahead, origin between the hips; heights.

    Args:
        phase: of the step, radians.
        swing: 0 standing, 1 walking.
        hand: the right hand is up.
    """
    body = {"neck": np.array([0, -bones.TORSO, 0.0])}
    for sign, side, late in ((-1.0, "r_", 0.0), (1.0, "l_", np.pi)):
        _leg(body, side, sign, phase + late, swing)
        arm = -np.deg2rad(25 * swing) * np.sin(phase + late)
        _arm(body, side, sign, float(arm), hand and side == "r_")
    body.update(bones.head_at(body["neck"] + (0, -bones.HEAD_UP, 0.015), 0.0))
    return body


def _along(actor: Actor, second: float) -> tuple[Points, Points] | None:
    """(x, y, height) and its change in a second; None when the actor is not there."""
    way = np.array(actor.way)
    if not way[0, 0] <= second <= way[-1, 0]:
        return None
    index = int(np.clip(np.searchsorted(way[:, 0], second, "right"), 1, len(way) - 1))
    start, end = way[index - 1], way[index]
    length = max(end[0] - start[0], 1e-9)
    change = (end[1:] - start[1:]) / length
    return start[1:] + change * (second - start[0]), change


def _walked(actor: Actor, second: float) -> float:
    """How far the actor has come, in heights."""
    there = [_along(actor, t) for t in np.arange(actor.way[0][0], second, 0.05)]
    return float(sum(0.05 * np.linalg.norm(p[1][:2]) / p[0][2] for p in there if p is not None))


def _posed(actor: Actor, second: float, side: int) -> tuple[dict[str, Points], float] | None:
    """Canvas positions (x, y, depth) of an actor and the height in canvas pixels."""
    there = _along(actor, second)
    if there is None:
        return None
    (x, y, height), change = there
    speed = float(np.linalg.norm(change[:2]) / height)
    phase = 2 * np.pi * _walked(actor, second) / _STEP
    body = body_at(phase, min(1.0, speed / 0.5), actor.hand[0] <= second < actor.hand[1])
    facing = actor.facing
    if facing is None:
        facing = float(np.rad2deg(np.arctan2(change[0], max(change[1], 0.3 * height))))
    turn = bones.rotation_y(facing + actor.turning * second)
    unit = height * side * figure.SUPERSAMPLE
    place = np.array(
        [x * side * figure.SUPERSAMPLE, y * side * figure.SUPERSAMPLE - _FEET * unit, 0]
    )
    return {name: turn @ point * unit + place for name, point in body.items()}, float(unit)


def frame_at(script: Script, second: float, background: npt.NDArray[np.uint8], side: int) -> Frame:
    """One picture of a film; ``background`` is uint8 [side * 2, side * 2, 3]."""
    canvas = figure.Canvas(background.copy())
    posed = [(i, _posed(actor, second, side)) for i, actor in enumerate(script.actors)]
    there = {i: pose for i, pose in posed if pose is not None}
    # Whoever stands lower in the picture is nearer.
    for index in sorted(there, key=lambda i: there[i][0]["l_hip"][1] + _FEET * there[i][1]):
        canvas.current = index
        style = figure.clothes(np.random.default_rng(script.actors[index].seed))
        figure.draw_person(canvas, *there[index], style)
    people = {}
    for index, (at, _) in there.items():
        points = figure.keypoints_of(at)
        figure.look_at(points, canvas.owner, index)
        if points[:, 2].any():
            people[index] = points
    grain = np.random.default_rng(round(second * 1000))
    return Frame(figure.finished(canvas.pixels, grain), people)


def still(seed: int, side: int) -> Frame:
    """A picture out of a film of four people who cross, for training.

    Args:
        seed: of the people, their ways, the background and the moment, from 0 on. No film that
            somebody is judged by has these people (see :func:`crossing`).
        side: pixels a side.
    """
    rng = np.random.default_rng((_CROSSINGS, STILLS, seed))
    script = crossing(STILLS + seed)
    canvas = side * figure.SUPERSAMPLE
    moment = script.seconds * rng.uniform(0.1, 0.8)
    return frame_at(script, moment, figure.backdrop(rng, canvas, canvas), side)


def film(script: Script, side: int = SIDE, rate: float = RATE, seed: int = 0) -> Iterator[Frame]:
    """The pictures of a film, one after the other.

    Args:
        script: what happens.
        side: pixels a side.
        rate: pictures a second.
        seed: of the background.
    """
    canvas = side * figure.SUPERSAMPLE
    background = figure.backdrop(np.random.default_rng(seed), canvas, canvas)
    for index in range(round(script.seconds * rate)):
        yield frame_at(script, index / rate, background, side)


def truth(frames: Mapping[int, dict[int, Points]]) -> str:
    """The people of every picture: ``{"keypoints": names, "frames": [{actor: points}]}``."""
    listed = [
        {str(actor): np.round(points, 2).tolist() for actor, points in frames[i].items()}
        for i in sorted(frames)
    ]
    return json.dumps({"keypoints": list(KEYPOINTS), "frames": listed}) + "\n"


def write_film(script: Script, path: Path) -> Path:
    """Write a film as a video (by the ending of its name) and its truth beside it as JSON.

    Returns:
        the JSON's path: the video's with ``.json`` behind it.

    Raises:
        UserError: not a name of a video, or this build of OpenCV cannot write such a video.
    """
    _check_kind(path)
    people: dict[int, dict[int, Points]] = {}
    with whole_file(path) as working:
        _write_video(script, working, path, people)
    beside = path.with_name(f"{path.name}.json")
    write_file(beside, truth(people))
    return beside


def _check_kind(path: Path) -> None:
    if path.suffix.lower() not in VIDEOS:
        raise UserError(
            f"{path} does not end as a video does; name a file that ends in {' or '.join(VIDEOS)}"
        )
    if utf8(str(path)) != str(path):  # OpenCV crashes at it
        raise UserError(f"the name {path} is no UTF-8, which no video may have; name it otherwise")
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no ordinary file (a pipe, a device or a folder); name another")


def _write_video(
    script: Script, working: Path, path: Path, people: dict[int, dict[int, Points]]
) -> None:
    code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix.lower() == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(working), code, RATE, (SIDE, SIDE))
    if not writer.isOpened():
        raise UserError(
            f"{path} cannot be written as a video; this build of OpenCV has no coder for it, "
            "another ending (.mp4, .avi) may have one"
        )
    try:
        total = round(script.seconds * RATE)
        frames = progress(film(script), title="film", total=total, unit="picture")
        for index, frame in enumerate(frames):
            writer.write(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR))
            people[index] = frame.people
    finally:
        writer.release()


def _to_video(text: str) -> Path:
    """The ``type`` of the argument: a file to write, and the truth's beside it."""
    path = to_file(text)
    try:
        _check_kind(path)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    to_file(f"{text}.json")
    return path


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = Parser(prog="python -m distill.people.film", description=__doc__)
    parser.add_argument("script", choices=sorted(SCRIPTS), help="what happens in it")
    parser.add_argument("video", type=_to_video, help="file to write, .mp4 or .avi")
    options = parser.parse_args(arguments)
    beside = write_film(SCRIPTS[options.script], options.video)
    say(f"{options.video}, truth in {beside}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
