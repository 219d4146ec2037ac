"""Following people where the host sends the pictures: what ``live-follow`` does on the board.

The same regions, averages, numbers and points, by the same integers (``ai8x_models.follow``); the
board only sees the region. As the answer to a picture is there before the next is sent, a region
follows people with one picture's delay, not with three.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ai8x_models.follow.colour import PIXELS, thumbnail
from ai8x_models.follow.crop import MOST_OUTPUT, crop
from ai8x_models.follow.events import RULES, Event
from ai8x_models.follow.region import Chooser, RegionSettings
from ai8x_models.follow.tracker import Region, Told, Tracker, region_people
from ai8x_models.preprocess import fit
from common.errors import UserError
from evalkit.wire import protocol

SIDE = 480
"""Pixels a side of the picture that is looked at, as the board's camera sends."""
STEP_MS = 35
"""A picture is taken to be so much later than the one before, as on the board: how long the line
takes to send it says nothing about the people in it."""


class Follower:
    """Who is followed over pictures that come one after the other.

    Args:
        input_side: pixels a side of the network's input.
        colour: tell people by the colour of their clothes too, as with ``FOLLOW_COLOUR`` on the
            board.

    Raises:
        UserError: an input for which there is no averaging, or with ``colour`` no thumbnail.
    """

    def __init__(self, input_side: int, colour: bool = False) -> None:
        if not SIDE // 5 <= input_side <= MOST_OUTPUT or input_side % 4:
            raise UserError(
                f"the network takes {input_side} pixels a side; following people needs "
                f"{SIDE // 5} to {MOST_OUTPUT}, a multiple of 4; leave --follow out"
            )
        if colour and input_side != PIXELS:
            raise UserError(
                f"the network takes {input_side} pixels a side; colours need {PIXELS}; leave "
                "--colour out"
            )
        self._input = input_side
        self._colour = colour
        self._tracker = Tracker()
        self._chooser = Chooser(RegionSettings(SIDE, least=input_side))
        self._events = [Event(rule) for rule in RULES]
        self._told: list[Told] = []
        self._region = self._chooser.settings.whole
        self._ms = 0
        self._seen: NDArray[np.int64] | None = None

    def look(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the network is to see of a picture, uint8 [input, input, 3].

        The picture, uint8 [h, w, 3], is fitted into a square first.
        """
        self._ms += STEP_MS
        self._region = self._chooser.next(self._told, self._ms)
        square = fit(pixels, SIDE, SIDE).pixels
        pixels = np.asarray(crop(square, self._region, self._input), np.uint8)
        self._seen = thumbnail(pixels >> (3, 2, 3)) if self._colour else None
        return pixels

    def take(self, poses: bytes) -> tuple[bytes, list[str]]:
        """Take the answer to what was looked at (a poses frame's payload).

        Returns:
            the tracks frame's payload that a board would have sent, and what has happened, a line
            for each event.
        """
        people = region_people(self._region, self._input, _whole_numbers(poses))
        self._told = self._tracker.step(people, self._region, self._ms, self._seen)
        lines = [
            f"{event.rule.name}: {event.count}"
            for event in self._events
            if event.step(self._told, self._ms)
        ]
        return _tracks(
            protocol.parse_poses(poses).number, self._region, self._ms, self._told
        ), lines


def _whole_numbers(poses: bytes) -> list[NDArray[np.int64]]:
    """The people of a poses frame as the board's integers, int64 [18, 3] each."""
    return [
        np.round(person.points * (16, 16, 2**15)).astype(np.int64)
        for person in protocol.parse_poses(poses).people
    ]


def _tracks(number: int, region: Region, ms: int, told: Sequence[Told]) -> bytes:
    """A tracks frame's payload; the times of the processor are 0."""
    head = struct.pack("<6H3I", number, len(told), SIDE, *region, ms % 2**32, 0, 0)
    parts = [head]
    for track in told:
        parts.append(struct.pack("<3H2h", track.number, track.missed, track.size, *track.speed))
        places = track.points[:, :2].clip(-32768, 32767).astype("<i2").view("<u2")
        values = track.points[:, 2:].astype("<u2")
        parts.append(np.concatenate([places, values], axis=1).astype("<u2").tobytes())
    return b"".join(parts)
