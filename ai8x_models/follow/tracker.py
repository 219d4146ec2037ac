"""Who is who from picture to picture: the twin of ``firmware_templates/track/tracker.c``.

The header there explains the method. Bit for bit the same numbers: places inside are Q12 pixels of
the camera picture, outside Q4; speeds Q8 pixels a second; values Q15; shares Q12; times in
milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ai8x_models.follow.clothes import WAIT, Clothes
from ai8x_models.follow.colour import SURE
from ai8x_models.follow.crossing import crossing_share, crossing_tracks
from ai8x_models.follow.fixed import Integers, clamp, quotient, toward
from ai8x_models.follow.likeness import (
    COMMON,
    POINTS,
    Tracked,
    likeness,
    size_of,
    track_likeness,
)

TRACKS = 8
PEOPLE = 8

_LEAST_MS, _MOST_MS, _LONG_MS = 5, 250, 1000
_MOST_PLACE, _MOST_SPEED = 1 << 23, 1 << 20
_SPEED_SHARE, _DECAY_SHARE, _GROW_SHARE, _SHRINK_SHARE = 100, 16, 1024, 256
_MOST_CUTOFF, _MOST_PRODUCT, _ANGLE = 64 << 8, 611000, 3294
_AGAIN = 1500
_NEW_POINTS = 4
_HIDDEN_MS, _FRONT_MS, _FRONT = 4000, 500, 1024


class Region(NamedTuple):
    """A square of the camera picture, in its pixels."""

    x: int
    y: int
    side: int


@dataclass(frozen=True)
class TrackerSettings:
    """``tracker_settings_t``; see there.

    Raises:
        ValueError: a value outside the range the C code accepts.
    """

    least: int = 1024
    confirm: int = 2
    leave_ms: int = 1000
    hold_ms: int = 250
    fade_ms: int = 350
    good: int = 13107
    slow_hz: int = 205
    opening_hz: int = 1024
    speed_hz: int = 256

    def __post_init__(self) -> None:
        lowest = {"least": 1, "confirm": 1, "good": 1, "speed_hz": 1}
        for name, value in vars(self).items():
            low, high = lowest.get(name, 0), 4096 if name == "least" else 65535
            if not low <= value <= high:
                raise ValueError(f"{name} {value} is not {low} to {high}")


@dataclass(frozen=True, eq=False)
class Told:
    """``track_t``: a person as the tracker tells them.

    Attributes:
        number: 1..65535.
        missed: milliseconds since it was found.
        size: Q4 pixels.
        speed: Q4 pixels a second, x and y.
        points: int64 [18, 3]: x, y in Q4 pixels of the camera picture, value in Q15 (0: unknown).
    """

    number: int
    missed: int
    size: int
    speed: tuple[int, int]
    points: Integers


def region_to_picture(at: Integers, corner: int, side: int, input_side: int) -> Integers:
    """From Q4 pixels of the network's input, which shows a region, to Q4 pixels of the picture."""
    scaled = (at + 8) * side
    half = np.where(scaled < 0, -input_side, input_side)
    return (corner << 4) + quotient(scaled + quotient(half, 2), input_side) - 8


def region_people(region: Region, input_side: int, people: Sequence[Integers]) -> list[Integers]:
    """The same for people, each int64 [18, 3]; points that are missing stay 0."""
    moved = []
    for points in people:
        out = np.array(points, np.int64)
        for axis, corner in ((0, region.x), (1, region.y)):
            there = region_to_picture(out[:, axis], corner, region.side, input_side)
            out[:, axis] = np.where(out[:, 2] > 0, there.clip(-32768, 32767), out[:, axis])
        moved.append(out)
    return moved


def _share(cutoff: Integers, ms: int) -> Integers:
    angle = np.minimum(cutoff * ms, _MOST_PRODUCT) * _ANGLE >> 12
    return np.asarray((angle << 12) // (angle + 32768))


def _speed(way: Integers, ms: int) -> Integers:
    bounded = np.clip(way >> 4, -(1 << 19), 1 << 19)
    return np.clip(quotient(bounded * 1000, ms), -_MOST_SPEED, _MOST_SPEED)


def _way(speed: int, ms: int) -> int:
    return speed * (ms * 1049) >> 16


class Tracker:
    """``tracker_t``: feed it the people of every picture.

    Args:
        settings: thresholds, times and filters.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.tracks = [Tracked() for _ in range(TRACKS)]
        self.clothes = Clothes()
        self.time = 0
        self.edge = 1
        self.last = 0

    def step(
        self,
        people: Sequence[Integers],
        looked: Region,
        now_ms: int,
        seen: Integers | None = None,
    ) -> list[Told]:
        """Take the people of a picture.

        Args:
            people: at most 8, each int64 [18, 3] in Q4 pixels of the camera picture and Q15
                values.
            looked: what the network saw of the picture.
            now_ms: time, modulo 2**32.
            seen: a thumbnail of it (``colour.py``) where people are told by their clothes too.

        Returns:
            who is there, in the order of the tracks.
        """
        now_ms %= 1 << 32
        passed = (now_ms - self.time) % (1 << 32)
        ms = clamp(passed, _LEAST_MS, _MOST_MS)
        self.time = now_ms
        self.edge = max(self.edge, max(looked.x, looked.y) + looked.side)
        if passed >= _LONG_MS:
            for track in self.tracks:
                track.seen = track.front = 0
            self.clothes.memories = []
        for track in self.tracks:
            if track.seen:
                self._move_on(track, ms)
        self.clothes.look(people, looked, seen, now_ms)
        like = self._compare(people)
        self.clothes.refuse(self.tracks, like, self.settings.least)
        pairs = self._match(like, len(people))
        self._update(people, pairs, looked, ms)
        self._newcomers(people, like, set(pairs.values()))
        self._give_numbers()
        return [
            self._told(track)
            for track in self.tracks
            if track.seen and track.number and not track.front
        ]

    def _move_on(self, track: Tracked, ms: int) -> None:
        way = np.array([[_way(speed, ms)] for speed in track.speed])
        track.place = np.clip(track.place + way, -_MOST_PLACE, _MOST_PLACE)

    def _compare(self, people: Sequence[Integers]) -> Integers:
        like = np.zeros((TRACKS, len(people)), np.int64)
        for index, points in enumerate(people):
            size = size_of(points)
            for number, track in enumerate(self.tracks):
                if track.seen:
                    like[number, index] = likeness(track, points, size)
        return like

    def _match(self, like: Integers, count: int) -> dict[int, int]:
        """Person of each track, the best pair first."""
        free = like.copy()
        pairs: dict[int, int] = {}
        while count and free.max() >= self.settings.least:
            track, person = divmod(int(free.argmax()), count)
            pairs[track] = person
            free[track] = -1
            free[:, person] = -1
        return pairs

    def _update(
        self, people: Sequence[Integers], pairs: dict[int, int], looked: Region, ms: int
    ) -> None:
        crossing = crossing_tracks(self.tracks)
        found = {track: people[person] for track, person in pairs.items()}
        hold_ms, refused = self.settings.hold_ms, self.clothes.refused
        shares = crossing_share(self.tracks, people, pairs, crossing, hold_ms, refused)
        for index, points in shares.items():
            found.pop(index, None)
            if _is_enough(self.tracks[index], points):
                found[index] = points
        for index, track in enumerate(self.tracks):
            if track.seen and index in found:
                self._seen(track, found[index], ms, index in crossing)
                alone = index not in crossing or track.number == 0
                if alone and index in pairs:
                    self.clothes.learn(track, pairs[index])
            elif track.seen:
                number = track.number
                self._not_seen(track, looked, ms)
                if not track.seen:
                    self.clothes.remember(number, track.colour, self.time)

    # ---- points --------------------------------------------------------------------------------

    def _found(self, track: Tracked, points: Integers, ms: int, crossing: bool) -> None:
        """All points of a track that were found: begun or filtered."""
        s = self.settings
        found = points[:, 2] > 0
        there = points[:, :2].T * 256
        new = found & ((track.value == 0) | self._faded(track)) if s.slow_hz else found
        old = found & ~new
        speed_share = _share(np.array(s.speed_hz), ms)
        speeds = toward(track.speeds, _speed(there - track.place, ms), speed_share)
        track.speeds = np.where(old, speeds, 0)
        share = _share(self._cutoff(track), ms)
        trust = (np.minimum(points[:, 2], s.good) << 12) // s.good >> int(crossing)
        moved = toward(track.place, there, share * trust >> 12)
        track.place = np.where(old, moved, np.where(new, there, track.place))
        track.value = np.where(found, points[:, 2], track.value)
        track.missing = np.where(found, 0, track.missing)
        self._missing(track, ~found, ms)
        track.value = np.where(~found & self._faded(track), 0, track.value)

    def _faded(self, track: Tracked) -> npt.NDArray[np.bool_]:
        """Points not seen for so long that they are not shown any more."""
        end = self.settings.hold_ms + self.settings.fade_ms
        return np.asarray((track.missing >= end) | (track.missing == 65535))

    def _cutoff(self, track: Tracked) -> Integers:
        x, y = np.abs(track.speeds)
        speed = np.where(x > y, x + (y >> 1), y + (x >> 1))
        heights = np.minimum((speed << 4) // track.size, 0x3FFF)
        cutoff = self.settings.slow_hz + (self.settings.opening_hz * heights >> 8)
        return np.asarray(np.minimum(cutoff, _MOST_CUTOFF))

    def _missing(self, track: Tracked, which: npt.NDArray[np.bool_], ms: int) -> None:
        track.missing = np.where(which, np.minimum(track.missing + ms, 65535), track.missing)
        track.speeds = np.where(which, 0, track.speeds)

    # ---- tracks --------------------------------------------------------------------------------

    def _correct_speed(self, track: Tracked, points: Integers, ms: int) -> None:
        common = (track.value > 0) & (points[:, 2] > 0)
        count = int(common.sum())
        if not count:
            return
        errors = (points[:, :2].T * 256 - track.place)[:, common].sum(axis=1)
        for axis, wrong in enumerate(_speed(quotient(errors, count), ms)):
            faster = track.speed[axis] + (int(wrong) * _SPEED_SHARE >> 12)
            track.speed[axis] = clamp(faster, -_MOST_SPEED, _MOST_SPEED)

    def _seen(self, track: Tracked, points: Integers, ms: int, crossing: bool) -> None:
        if not crossing:
            self._correct_speed(track, points, ms)
        size = size_of(points)
        share = _GROW_SHARE if size > track.size else _SHRINK_SHARE
        track.size = toward(track.size, size, share)
        self._found(track, points, ms, crossing)
        track.missed = track.unseen = track.front = 0
        track.seen += track.seen < min(self.settings.confirm + WAIT, 65535)

    def _not_seen(self, track: Tracked, looked: Region, ms: int) -> None:
        missed = _expected_in(track, looked, self.edge)
        track.unseen = min(track.unseen + ms, 65535)
        if missed:
            track.missed = min(track.missed + ms, 65535)
            self._missing(track, np.ones(POINTS, bool), ms)
        track.speed = [toward(speed, 0, _DECAY_SHARE) for speed in track.speed]
        leave = self.settings.leave_ms
        if missed and track.number == 0:
            track.seen = 0
        elif track.missed > leave or track.unseen // 4 > leave:
            front = self._in_front(track)
            if front is None:
                track.seen = track.number = track.front = 0
            else:
                track.front, track.speed = front.number, list(front.speed)

    def _in_front(self, track: Tracked) -> Tracked | None:
        """Who hides the track's person, with whom it goes on unseen; None: it leaves."""
        if track.number == 0 or track.unseen > _HIDDEN_MS or track.colour.known >= SURE:
            return None
        best, most = None, _FRONT - 1
        for other in self.tracks:
            if other is track or not other.seen or not other.number or other.front:
                continue
            if track.front:
                if other.number == track.front and other.unseen <= _FRONT_MS:
                    return other
            elif other.unseen == 0 and (like := track_likeness(track, other)) > most:
                best, most = other, like
        return best

    def _newcomers(self, people: Sequence[Integers], like: Integers, taken: set[int]) -> None:
        for index, points in enumerate(people):
            if index in taken or (like[:, index] >= _AGAIN).any():
                continue
            if (points[:, 2] > 0).sum() < _NEW_POINTS:
                continue
            free = self._free()
            if free is not None:
                self.tracks[free] = _begin(points)
                self.tracks[free].colour = self.clothes.colours[index]

    def _free(self) -> int | None:
        """A track for somebody new: one of nobody, else of somebody hidden."""
        nobody = (index for index, track in enumerate(self.tracks) if not track.seen)
        hidden = (index for index, track in enumerate(self.tracks) if track.front)
        return next(nobody, next(hidden, None))

    def _give_numbers(self) -> None:
        for track in self.tracks:
            if not track.seen or track.number or track.seen < self.settings.confirm:
                continue
            waited = track.seen - self.settings.confirm
            if waited < WAIT and self.clothes.waits(self.tracks, track):
                continue
            old = self.clothes.old_number(self.tracks, track)
            track.number = old or self._next_number()

    def _next_number(self) -> int:
        used = {other.number for other in self.tracks if other.seen} | {0} | self.clothes.numbers()
        self.last = (self.last + 1) % 65536
        while self.last in used:
            self.last = (self.last + 1) % 65536
        return self.last

    def _told(self, track: Tracked) -> Told:
        s = self.settings
        left = s.hold_ms + s.fade_ms - track.missing
        fading = (track.value > 0) & (track.missing > s.hold_ms)
        value = np.where(fading, track.value * left // max(s.fade_ms, 1), track.value)
        value = np.where(self._faded(track), 0, value)
        places = np.where(value > 0, track.near(), 0)
        speed = tuple(clamp(v >> 4, -32768, 32767) for v in track.speed)
        points = np.stack([*places, value], axis=1)
        return Told(track.number, track.unseen, track.size, (speed[0], speed[1]), points)


def _is_enough(track: Tracked, share: Integers) -> bool:
    """Whether somebody who crosses got so many of their points that it is them."""
    count, known = int((share[:, 2] > 0).sum()), int((track.value > 0).sum())
    return count >= COMMON and 2 * count >= known


def _begin(points: Integers) -> Tracked:
    """A track whose points were all just found."""
    return Tracked(
        seen=1,
        size=size_of(points),
        place=points[:, :2].T * 256,
        value=points[:, 2].copy(),
        missing=np.where(points[:, 2] > 0, 0, 65535),
    )


def _expected_in(track: Tracked, looked: Region, edge: int) -> bool:
    middle = track.middle()
    if middle is None:
        return True
    x, y = (clamp(value >> 5, 0, edge - 1) for value in middle)
    return looked.x <= x < looked.x + looked.side and looked.y <= y < looked.y + looked.side
