"""Events: the twin of ``firmware_templates/track/events.c``, bit for bit.

The header there says what rules mean; ``RULES`` are those of ``event_rules.h`` (a test compares).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ai8x_models.follow.fixed import quotient
from ai8x_models.follow.likeness import POINTS
from ai8x_models.follow.tracker import TRACKS, Told

PEOPLE, ABOVE, FLAT = range(3)
NO_LIGHT = 255
_HEAD, _WRISTS, _SHOULDERS, _HIPS = (0, 14, 15, 16, 17), (4, 7), (1, 2, 5), (8, 11)
_LOWEST = 32767


def _bits(points: Sequence[int]) -> int:
    return sum(1 << point for point in points)


@dataclass(frozen=True)
class Rule:
    """``event_rule_t``; see there. ``name`` is for people."""

    name: str
    kind: int
    most: int
    light: int = NO_LIGHT
    first: int = 0
    second: int = 0
    margin: int = 0
    slack: int = 0
    on_ms: int = 0
    off_ms: int = 0


RULES: tuple[Rule, ...] = (
    Rule("somebody is there", PEOPLE, 1, 1, 0, 0, 0, 0, 100, 1000),
    Rule("people", PEOPLE, TRACKS, NO_LIGHT, 0, 0, 0, 0, 300, 600),
    Rule("hand above head", ABOVE, TRACKS, 2, _bits(_WRISTS), _bits(_HEAD), 13, 13, 200, 300),
    Rule("lying", FLAT, TRACKS, NO_LIGHT, _bits(_SHOULDERS), _bits(_HIPS), 384, 128, 1000, 1000),
)
"""The rules of the firmware, in the order in which event frames name them."""


def _known(track: Told, which: int) -> list[tuple[int, int]]:
    """Places (Q4 pixels) of the points of a set that are known."""
    chosen = [k for k in range(POINTS) if which >> k & 1 and track.points[k, 2] > 0]
    return [(int(track.points[k, 0]), int(track.points[k, 1])) for k in chosen]


def _holds(rule: Rule, track: Told, margin: int) -> bool:
    if rule.kind == PEOPLE:
        return True
    first, second = _known(track, rule.first), _known(track, rule.second)
    if not first or not second:
        return False
    if rule.kind == ABOVE:
        top = [min(_LOWEST, *(y for _, y in points), _LOWEST) for points in (first, second)]
        return top[0] + (margin * track.size >> 8) < top[1]
    means = [
        [quotient(sum(point[axis] for point in points), len(points)) for axis in range(2)]
        for points in (first, second)
    ]
    dx, dy = (abs(means[0][axis] - means[1][axis]) for axis in range(2))
    return bool(8 * dx > track.size and 256 * dx > dy * margin)


class Event:
    """``event_state_t`` of one rule.

    Attributes:
        count: people for whom it holds, steadily.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.count = 0
        self._waiting = 0
        self._since = 0

    def step(self, tracks: Sequence[Told], now_ms: int) -> bool:
        """Take the people of a picture (time modulo 2**32); whether ``count`` has changed."""
        rule = self.rule
        now_ms %= 1 << 32
        margin = rule.margin - (rule.slack if self.count else 0)
        count = min(rule.most, sum(_holds(rule, track, margin) for track in tracks))
        if count == self.count:
            self._waiting = count
            return False
        if count != self._waiting:
            self._waiting = count
            self._since = now_ms
        wait = rule.on_ms if count > self.count else rule.off_ms
        if (now_ms - self._since) % (1 << 32) < wait:
            return False
        self.count = count
        return True
