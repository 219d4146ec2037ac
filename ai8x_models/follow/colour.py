"""Who wears what: the twin of ``firmware_templates/track/colour.c``.

The header there explains the method. Bit for bit the same colours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ai8x_models.follow.fixed import Integers
from ai8x_models.follow.likeness import Colour

THUMBNAIL = 32
"""Cells a side."""
PIXELS = 128
"""Of the network's input, a side: of others there is no thumbnail."""

SURE = 3
"""Pictures in which a colour is seen before somebody is told by it."""

_ALIKE, _UNEVEN = 40, 40
_LEAST_CELLS, _MOST_KNOWN = 4, 15
_NECK, _HIPS, _WAYS = 1, (8, 11), (77, 128, 179)
_TORSO, _GROWN = (1, 2, 5, 8, 11), 26


def thumbnail(pixels: npt.NDArray[np.integer]) -> Integers:
    """Cells of what the network saw, 0 to 15; int64 [32, 32, 3].

    Args:
        pixels: [128, 128, 3] in red, green, blue of 5, 6 and 5 bits.
    """
    cell = PIXELS // THUMBNAIL
    split = pixels.astype(np.int64).reshape(THUMBNAIL, cell, THUMBNAIL, cell, 3)
    return np.asarray(split.sum(axis=(1, 3)) >> (5, 6, 5))


def thumbnail_rgb565(data: bytes) -> Integers:
    """The same for the bytes of the network's picture in RGB565, the first byte highest."""
    pixel = np.frombuffer(data, ">u2").astype(np.int64).reshape(PIXELS, PIXELS)
    return thumbnail(np.stack([pixel >> 11, pixel >> 5 & 0x3F, pixel & 0x1F], axis=-1))


def away(one: Colour, other: Colour) -> int:
    """How far apart two colours are: in the channel where they differ most, 0 to 255."""
    return int(np.abs((one.channels >> 4) - (other.channels >> 4)).max())


def unlike(track: Colour, found: Colour, nearest: int) -> bool:
    """Whether somebody found wears something else than a track.

    ``nearest``: how far the colour is away from that of somebody else who is known by it.
    """
    known = found.known > 0 and track.known >= SURE
    return known and away(track, found) > nearest + _ALIKE


def alike(known: Colour, found: Colour) -> bool:
    """Whether it is the colour that is known."""
    return found.known > 0 and known.known >= SURE and away(known, found) <= _ALIKE


def learn(track: Colour, found: Colour) -> None:
    """Somebody seen alone in this colour; another colour makes the one known less sure."""
    if found.known == 0:
        return
    if track.known == 0:
        track.channels, track.known = found.channels.copy(), 1
    elif away(track, found) > _ALIKE:
        track.known -= 1
    else:
        share = 4 if track.known >= SURE else 1
        track.channels = track.channels + (found.channels - track.channels >> share)
        track.known = min(track.known + 1, _MOST_KNOWN)


def _places(points: Integers) -> list[tuple[int, int]]:
    """Places on the upper body, Q4 pixels."""
    places = []
    neck = points[_NECK]
    for hip in (points[k] for k in _HIPS):
        if neck[2] > 0 and hip[2] > 0:
            for way in _WAYS:
                x, y = ((hip[:2] - neck[:2]) * way >> 8) + neck[:2]
                places.append((int(x), int(y)))
    return places


def _cell(at: int, corner: int, side: int) -> int | None:
    inside = at + 8 - (corner << 4)
    cell = inside * 2 // side
    return cell if inside >= 0 and cell < THUMBNAIL else None


def _colour(cells: Sequence[Integers]) -> Colour:
    """The median of each channel, unless most cells have another colour."""
    seen = np.array(cells) * 16 + 8
    middle = np.sort(seen, axis=0)[len(seen) // 2]
    even = int((np.abs(seen - middle).max(axis=1) <= _UNEVEN).sum())
    return Colour(middle * 16, 1) if 2 * even > len(seen) else Colour()


def _torso(points: Integers) -> tuple[Integers, Integers] | None:
    """Corners of the box around somebody's torso, a tenth larger either way; None: unknown."""
    known = points[[k for k in _TORSO if points[k, 2] > 0], :2]
    if len(known) < 2:
        return None
    low, high = known.min(axis=0), known.max(axis=0)
    more = int((high - low).max()) * _GROWN >> 8
    return low - more, high + more


def _inside(x: int, y: int, box: tuple[Integers, Integers] | None) -> bool:
    return box is not None and bool((box[0] <= (x, y)).all() and (box[1] >= (x, y)).all())


def colours_of(
    people: Sequence[Integers], cells: Integers, looked: tuple[int, int, int]
) -> list[Colour]:
    """The colour of each person's upper body, as far as it can be seen.

    Where somebody else's torso is, too, nobody knows whose clothes are seen.

    Args:
        people: int64 [18, 3] each, in the camera picture.
        cells: see :func:`thumbnail`.
        looked: what of the picture they show: x, y, side.
    """
    torsos = [_torso(points) for points in people]
    colours = []
    for index, points in enumerate(people):
        others = torsos[:index] + torsos[index + 1 :]
        taken = []
        for x, y in _places(points):
            column, row = _cell(x, looked[0], looked[2]), _cell(y, looked[1], looked[2])
            if column is None or row is None or any(_inside(x, y, box) for box in others):
                continue
            taken.append(cells[row, column])
        colours.append(_colour(taken) if len(taken) >= _LEAST_CELLS else Colour())
    return colours
