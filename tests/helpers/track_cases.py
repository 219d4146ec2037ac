"""Sequences of people for tracker and region chooser: how they are made and sent to the C code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from ai8x_models.follow.events import NO_LIGHT, RULES, Event, Rule
from ai8x_models.follow.region import Chooser, RegionSettings
from ai8x_models.follow.tracker import Region, Told, Tracker, TrackerSettings
from tests.helpers import host_c
from tests.helpers.decoder_cases import STANDING

TRACK = host_c.TEMPLATES / "track"
DECODER = host_c.TEMPLATES / "decoder"
POINT = np.dtype([("x", "<i2"), ("y", "<i2"), ("value", "<u2")])
PERSON = np.dtype(
    [
        ("number", "<u2"),
        ("missed", "<u2"),
        ("size", "<u2"),
        ("speed", "<i2", 2),
        ("points", POINT, 18),
    ]
)
ANSWER = np.dtype(
    [("count", "<u4"), ("tracks", PERSON, 8), ("region", "<u2", 3), ("events", "u1", (4, 2))]
)


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture: its time, what was looked at, people int64 [18, 3] (Q4, Q4, Q15), and with
    colours perhaps a thumbnail, int64 [32, 32, 3]."""

    time: int
    looked: Region
    people: list[np.ndarray]
    seen: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Course:
    """Settings and pictures."""

    tracker: TrackerSettings
    region: RegionSettings
    rules: tuple[Rule, ...]
    shots: list[Shot]


def figure(
    place: tuple[float, float],
    height: float,
    rng: np.random.Generator,
    noise: float,
    gaps: float = 0.1,
) -> np.ndarray:
    """A standing figure, its top middle there, as the decoder would tell it; all in pixels.

    Points stray by ``noise`` of the height; a share ``gaps`` of them is missing.
    """
    points = np.zeros((18, 3), np.int64)
    places = (STANDING - (0.5, 0)) * (0.6 * height, height) + place
    places += rng.normal(0, noise * height, places.shape)
    points[:, :2] = np.round(places * 16).clip(-32768, 32767)
    points[:, 2] = rng.integers(2000, 33000, 18) * (rng.random(18) >= gaps)
    points[points[:, 2] == 0] = 0
    return points


def _walkers(rng: np.random.Generator, side: int, count: int) -> np.ndarray:
    """Place (x, y), speed (x, y, pixels a second) and height of each, float64 [n, 5]."""
    height = rng.uniform(0.1, 0.8, count) * side
    place = rng.uniform(0, side, (count, 2)) - np.stack([0 * height, height / 2], axis=1)
    speed = rng.normal(0, 0.3, (count, 2)) * side * (rng.random((count, 1)) < 0.7)
    return np.concatenate([place, speed, height[:, None]], axis=1)


def _times(rng: np.random.Generator, count: int) -> list[int]:
    steps = rng.choice([0, 1, 33, 34, 35, 35, 35, 70, 300], count)
    if rng.random() < 0.2:  # a clock that jumps
        steps = np.where(rng.random(count) < 0.1, rng.choice([-500, 999, 1000, 10**6]), steps)
    return [int(t) % 2**32 for t in np.cumsum(steps) + int(rng.choice([0, 10**6, 2**32 - 400]))]


def _wild(rng: np.random.Generator) -> np.ndarray:
    """Any bits that a person can have."""
    points = np.stack([*rng.integers(-32768, 32768, (2, 18)), rng.integers(0, 65536, 18)], axis=1)
    points[:, 2] *= rng.random(18) < rng.choice([0.1, 0.9])
    return points.astype(np.int64)


def _settings(rng: np.random.Generator, side: int) -> tuple[TrackerSettings, RegionSettings]:
    alternate = int(rng.random() < 0.3)
    if rng.random() < 0.6:
        return TrackerSettings(), RegionSettings(side, min(128, side), alternate=alternate)
    u16 = lambda: int(rng.choice([0, 1, 100, 1000, 65535]))  # noqa: E731
    tracker = TrackerSettings(
        least=int(rng.integers(1, 4097)), confirm=int(rng.integers(1, 5)), leave_ms=u16(),
        hold_ms=u16(), fade_ms=u16(), good=int(rng.integers(1, 65536)), slow_hz=u16(),
        opening_hz=u16(), speed_hz=max(1, u16()),
    )  # fmt: skip
    region = RegionSettings(
        side, int(rng.integers(1, side // 4 + 1)) * 4, u16(), u16(), u16(),
        int(rng.integers(0, 1001)), alternate,
    )  # fmt: skip
    return tracker, region


def _rules(rng: np.random.Generator) -> tuple[Rule, ...]:
    """Those of the firmware, or any four."""
    if rng.random() < 0.3:
        return RULES
    return tuple(
        Rule(
            "any", int(rng.integers(3)), int(rng.integers(0, 9)), NO_LIGHT,
            *(int(v) for v in rng.integers(0, 2**18, 2)),
            *(int(v) for v in rng.integers(-400, 400, 2)),
            *(int(v) for v in rng.choice([0, 100, 1000], 2)),
        )
        for _ in range(4)
    )  # fmt: skip


class _Painter:
    """Thumbnails of walkers in any colours, in a light that may change; without ``colour`` none."""

    def __init__(self, seed: int, colour: bool, count: int) -> None:
        self._rng = np.random.default_rng((79, seed))
        self._colours = self._rng.integers(0, 16, (count, 3))
        if self._rng.random() < 0.3:
            self._colours[:] = self._colours[:1]
        self._share = self._rng.choice([0.9, 1]) if colour else 0.0
        self._light = 0

    def paint(self, walkers: np.ndarray, looked: Region) -> np.ndarray | None:
        rng = self._rng
        if rng.random() >= self._share:
            return None
        if rng.random() < 0.05:
            self._light = int(rng.integers(-8, 9))
        cells = np.full((32, 32, 3), 8)
        columns = looked.x + (np.arange(32) + 0.5) * looked.side / 32
        rows = looked.y + (np.arange(32) + 0.5) * looked.side / 32
        for (x, y, _, _, height), colour in zip(walkers, self._colours, strict=True):
            wide = np.abs(columns - x) < 0.2 * height
            cells[np.ix_((rows > y) & (rows < y + height), wide)] = colour
        cells += self._light + rng.integers(-1, 2, cells.shape)
        return np.clip(cells, 0, 15)


def random_course(seed: int, most: int = 40, colour: bool = False) -> Course:
    """Any sequence; the same seed gives the same one."""
    rng = np.random.default_rng((78, seed))
    side = int(rng.choice([128, 256, 320, 480, 640, 1020]))
    tracker, region = _settings(rng, side)
    walkers = _walkers(rng, side, int(rng.integers(0, 10)))
    times = _times(rng, int(rng.integers(1, most)))
    wild, noise = rng.random() < 0.1, rng.choice([0, 0.01, 0.05])
    painter = _Painter(seed, colour, len(walkers))
    shots, looked = [], region.whole
    for time in times:
        walkers[:, :2] += walkers[:, 2:4] * 0.035
        people = [figure((x, y), h, rng, noise) for x, y, _, _, h in walkers if rng.random() < 0.9]
        if wild:
            people = [_wild(rng) for _ in people]
        rng.shuffle(people)
        shots.append(Shot(time, looked, people[:8], painter.paint(walkers, looked)))
        if rng.random() < 0.3:
            looked = Region(*(int(v) for v in rng.integers(0, side, 2)), int(rng.integers(1, side)))
    return Course(tracker, region, _rules(rng), shots)


def rule_words(rule: Rule) -> list[int]:
    """A rule as the C program reads and tells it."""
    return list(astuple(rule))[1:]


def own_rules() -> np.ndarray:
    """The rules compiled into the firmware, int64 [n, 9]."""
    return np.frombuffer(host_c.run(_program(), b"", ("rules",)), "<i4").reshape(-1, 9)


def c_thumbnail(data: bytes) -> bytes:
    """That of pictures of 128 x 128 pixels in RGB565, by the C code."""
    return host_c.run(_program(colour=True), data, ("thumbnail",))


def packed(cells: np.ndarray) -> bytes:
    """A thumbnail as the C code keeps it."""
    nibbles = cells.astype(np.uint8).reshape(-1, 2)
    return (nibbles[:, 0] | nibbles[:, 1] << 4).tobytes()


def _program(colour: bool = False) -> Path:
    names = ("tracker", "likeness", "crossing", "steady", "region", "events", "colour", "clothes")
    sources = [TRACK / f"{name}.c" for name in names]
    common = host_c.TEMPLATES / "common"
    return host_c.build(
        "track",
        (*sources, host_c.NATIVE / "track_main.c"),
        (TRACK, DECODER, common),
        ("FOLLOW_COLOUR=1",) if colour else (),
    )


def request(course: Course, colour: bool = False) -> bytes:
    """The sequence in the form tests/native/track_main.c reads."""
    head = [*astuple(course.tracker), *astuple(course.region)]
    for rule in course.rules:
        head += rule_words(rule)
    parts = [np.array([*head, len(course.shots)], "<i8").astype("<u4").tobytes()]
    for shot in course.shots:
        words = [shot.time, *shot.looked, len(shot.people)]
        parts.append(np.array(words, "<u4").tobytes())
        for points in shot.people:
            parts.append((points & 0xFFFF).astype("<u2").tobytes())
        if colour:
            parts.append(np.array([shot.seen is not None], "<u4").tobytes())
            parts.append(packed(shot.seen) if shot.seen is not None else b"")
    return b"".join(parts)


def run_c(courses: Sequence[Course], colour: bool = False) -> list[np.ndarray]:
    """What the C code says to every picture, compiled for this machine: ANSWER [n] of each."""
    raw = host_c.run(_program(colour), b"".join(request(c, colour) for c in courses))
    answers = np.frombuffer(raw, ANSWER)
    assert len(answers) == sum(len(c.shots) for c in courses)
    ends = np.cumsum([len(c.shots) for c in courses])
    return np.split(answers, ends[:-1])


Said = tuple[list[Told], Region, list[tuple[int, bool]]]


def run_twin(course: Course) -> list[Said]:
    """What the Python twins say to every picture."""
    tracker, chooser = Tracker(course.tracker), Chooser(course.region)
    events = [Event(rule) for rule in course.rules]
    answers = []
    for shot in course.shots:
        told = tracker.step(shot.people, shot.looked, shot.time, shot.seen)
        region = chooser.next(told, shot.time)
        changed = [event.step(told, shot.time) for event in events]
        counts = [event.count for event in events]
        answers.append((told, region, list(zip(counts, changed, strict=True))))
    return answers


def same(got: np.ndarray, want: Said) -> bool:
    """Whether the C code's answer to a picture is the twin's."""
    told, region, events = want
    if not np.array_equal(got["events"], np.array(events)):
        return False
    if got["count"] != len(told) or tuple(got["region"]) != tuple(region):
        return False
    for track, twin in zip(got["tracks"], told, strict=False):
        points = np.stack([track["points"][name] for name in ("x", "y", "value")], axis=1)
        head = (track["number"], track["missed"], track["size"], *track["speed"])
        if head != (twin.number, twin.missed, twin.size, *twin.speed):
            return False
        if not np.array_equal(points.astype(np.int64), twin.points):
            return False
    return True


def check(courses: Sequence[Course], colour: bool = False) -> int:
    """Compare C and Python on every picture, bit by bit; returns the number of tracks begun."""
    numbers = 0
    for course, answers in zip(courses, run_c(courses, colour), strict=True):
        twin = run_twin(course)
        seen = set()
        for index, (got, want) in enumerate(zip(answers, twin, strict=True)):
            assert same(got, want), f"picture {index}: {got} is not {want}"
            seen |= {told.number for told in want[0]}
        numbers += len(seen)
    return numbers
