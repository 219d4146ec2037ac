"""People who cross share out what is found: the twin of ``firmware_templates/track/crossing.c``.

The header there explains the method. Bit for bit the same shares.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ai8x_models.follow.fixed import Integers
from ai8x_models.follow.likeness import POINTS, Tracked, point_likeness, track_likeness

_BESIDE, _ASTRAY = 1500, 1500


def crossing_tracks(tracks: Sequence[Tracked]) -> set[int]:
    """Tracks that are expected where another one is; whoever is hidden takes no part."""
    crossing: set[int] = set()
    there = [(index, track) for index, track in enumerate(tracks) if track.seen and not track.front]
    for (one, first), (other, second) in itertools.combinations(there, 2):
        if track_likeness(first, second) >= _BESIDE:
            crossing |= {one, other}
    return crossing


def _pairs(like: Integers) -> list[tuple[int, int]]:
    """(row, column), the best first; none below the least likeness."""
    free, pairs = like.copy(), []
    while free.size and free.max() >= _ASTRAY:
        row, column = divmod(int(free.argmax()), free.shape[1])
        pairs.append((row, column))
        free[row] = -1
        free[:, column] = -1
    return pairs


def crossing_share(
    tracks: Sequence[Tracked],
    people: Sequence[Integers],
    pairs: Mapping[int, int],
    crossing: set[int],
    hold_ms: int,
    refused: npt.NDArray[np.bool_],
) -> dict[int, Integers]:
    """The points of everybody who was not given to a track outside, for each track that crosses.

    Args:
        tracks: all of them.
        people: int64 [18, 3] each.
        pairs: person of each track.
        crossing: tracks that cross.
        hold_ms: so long a point is expected after the person was seen without it.
        refused: bool [tracks, people], whose points a track does not get.

    Returns:
        int64 [18, 3] for each of ``crossing``; what it did not get is 0.
    """
    outside = {person for track, person in pairs.items() if track not in crossing}
    free = [index for index in range(len(people)) if index not in outside]
    rows = sorted(crossing)
    found = np.array([people[index] for index in free], np.int64).reshape(-1, POINTS, 3)
    expected = np.array(
        [(tracks[t].value > 0) & (tracks[t].missing <= hold_ms + tracks[t].missed) for t in rows]
    ).reshape(-1, POINTS)
    like = np.zeros((len(rows), len(free), POINTS), np.int64)
    for row, index in enumerate(rows):
        for column, points in enumerate(found):
            known = expected[row] & (points[:, 2] > 0) & ~refused[index, free[column]]
            away = tracks[index].near() - points[:, :2].T
            like[row, column] = np.where(known, point_likeness(tracks[index].size, away), 0)
    shares = {index: np.zeros((POINTS, 3), np.int64) for index in rows}
    for k in range(POINTS):
        given = dict(_pairs(like[:, :, k]))
        for row, column in given.items():
            shares[rows[row]][k] = found[column, k]
        for row, index in enumerate(rows):
            own = pairs.get(index)
            if row in given or expected[row, k] or own is None:
                continue
            if free.index(own) not in given.values():
                shares[index][k] = people[own][k]
    return shares
