"""Who is who by the clothes: the twin of ``firmware_templates/track/clothes.c``.

The header there explains the rules. Bit for bit the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ai8x_models.follow.colour import SURE, alike, away, colours_of, learn, unlike
from ai8x_models.follow.crossing import crossing_tracks
from ai8x_models.follow.fixed import Integers
from ai8x_models.follow.likeness import Colour, Tracked

MEMORIES = 8
WAIT = 14
"""Pictures that a newcomer without a colour waits for a number while somebody is lost or gone."""
_MEMORY_MS, _CHANGED, _DOUBT = 10000, 60, 20


@dataclass(eq=False)
class Memory:
    """``memory_t``: somebody who has left."""

    number: int
    colour: Colour
    time: int


class Clothes:
    """What is known of the clothes of a tracker's people.

    Attributes:
        memories: those who have left, the oldest first.
        colours: of each person found in this picture.
        refused: bool [tracks, people], who is not to be given what of this picture.
    """

    def __init__(self) -> None:
        self.memories: list[Memory] = []
        self.colours: list[Colour] = []
        self.refused = np.zeros((0, 0), bool)

    def look(
        self,
        people: Sequence[Integers],
        looked: tuple[int, int, int],
        seen: Integers | None,
        now_ms: int,
    ) -> None:
        """Take the colours of those found; without a thumbnail nobody has one."""
        self.memories = [
            memory for memory in self.memories if (now_ms - memory.time) % (1 << 32) <= _MEMORY_MS
        ]
        self.colours = [Colour() for _ in people]
        if seen is not None:
            self.colours = colours_of(people, seen, looked)

    def refuse(self, tracks: Sequence[Tracked], like: Integers, least: int) -> None:
        """Whoever wears what somebody else is known by is not like the other tracks."""
        self.refused = np.zeros(like.shape, bool)
        if self._light_changed(tracks, like, least):
            self.memories = []
            for track in tracks:
                track.colour.known = 0
        for index, colour in enumerate(self.colours):
            nearest = self._nearest(tracks, colour)
            for number, track in enumerate(tracks):
                if track.seen and nearest is not None and unlike(track.colour, colour, nearest):
                    like[number, index] = 0
                    self.refused[number, index] = True

    def _known(self, tracks: Sequence[Tracked]) -> Iterator[Tracked | Memory]:
        yield from self.memories
        yield from (track for track in tracks if track.seen)

    def _nearest(self, tracks: Sequence[Tracked], colour: Colour) -> int | None:
        """How far away the colour is from that of the one known by it; None: it is nobody's."""
        distances = [
            away(one.colour, colour) for one in self._known(tracks) if alike(one.colour, colour)
        ]
        return min(distances, default=None)

    def _light_changed(self, tracks: Sequence[Tracked], like: Integers, least: int) -> bool:
        """Whether most of those who are alone where they are expected wear what nobody wore."""
        changed = kept = 0
        crossing = crossing_tracks(tracks)
        for index, track in enumerate(tracks):
            if not track.seen or track.colour.known < SURE or not self.colours:
                continue
            if any(alike(track.colour, colour) for colour in self.colours):
                kept += 1
                continue
            best = int(np.argmax(like[index]))
            colour = self.colours[best]
            if index in crossing or like[index, best] < least or colour.known == 0:
                continue
            far = away(track.colour, colour) > _CHANGED
            changed += far and self._nearest(tracks, colour) is None
        return changed > 2 * kept

    def learn(self, track: Tracked, person: int) -> None:
        """Somebody was seen alone."""
        learn(track.colour, self.colours[person])

    def remember(self, number: int, colour: Colour, now_ms: int) -> None:
        """Somebody leaves; the oldest memory goes."""
        if number and colour.known >= SURE:
            self.memories.append(Memory(number, colour, now_ms))
            self.memories = self.memories[-MEMORIES:]

    def numbers(self) -> set[int]:
        """Of those who have left."""
        return {memory.number for memory in self.memories}

    def waits(self, tracks: Sequence[Tracked], newcomer: Tracked) -> bool:
        """Whether the newcomer's colour may tell soon that it is one of those lost or gone."""
        return newcomer.colour.known == 0 and any(
            isinstance(one, Memory) or (one.unseen > 0 and one.colour.known >= SURE)
            for one in self._known(tracks)
        )

    def old_number(self, tracks: Sequence[Tracked], newcomer: Tracked) -> int:
        """Of the one known in the newcomer's colour, if lost or gone; 0: there is none, or two."""
        colour = newcomer.colour
        others = [
            (away(one.colour, colour), one)
            for one in self._known(tracks)
            if one is not newcomer and one.number and alike(one.colour, colour)
        ]
        others.sort(key=lambda pair: pair[0])
        distances = [distance for distance, _ in others]
        if not others or (distances[1:] and distances[1] - distances[0] <= _DOUBT):
            return 0
        one = others[0][1]
        number = one.number
        if isinstance(one, Memory):
            self.memories.remove(one)
        elif one.unseen:
            one.seen = one.number = 0
        else:
            return 0
        colour.known = max(colour.known, SURE)
        return number
