"""How a model lays out what a network holds as [channels, rows, columns].

A view names the axes of a tensor of the model, in order: N the batch, C channels, H rows, W
columns, P the pixels of all rows in one axis (tokens, anchors), 1 an axis that nobody needs.
Transpose, Squeeze, Unsqueeze and most of Reshape only change the view: models whose channels come
last (Keras) move no data on the chip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantize.ptq.net import Shape

FIRST = {2: "NC", 3: "NCH", 4: "NCHW"}
"""Channels in front, by number of axes."""
LAST = {3: "NHC", 4: "NHWC"}
LAYOUTS = {"NCHW": "nchw", "NHWC": "nhwc", "NCH": "ncl", "NHC": "nlc", "NC": "nc"}


def size(letter: str, shape: Shape) -> int:
    """Length of an axis."""
    sizes = {"N": 1, "1": 1, "C": shape[0], "H": shape[1], "W": shape[2]}
    return shape[1] * shape[2] if letter == "P" else sizes[letter]


def dims(view: str, shape: Shape) -> tuple[int, ...]:
    """Sizes of a tensor in the model, batch 1."""
    return tuple(size(letter, shape) for letter in view)


def alike(one: str, shape: Shape, other: str, second: Shape) -> bool:
    """Whether two results lie alike: the same axes, but for those of length 1."""
    return len(one) == len(other) and all(
        a == b or size(a, shape) == size(b, second) == 1 for a, b in zip(one, other, strict=True)
    )


def axes(view: str, given: Sequence[int]) -> str:
    """The letters at some axes of a view; negative ones count from the end."""
    return "".join(view[n] if -len(view) <= n < len(view) else "?" for n in given)


def spatial(view: str) -> str | None:
    """Letters of the axes behind the channels, as a convolution sees them; None if it cannot.

    An axis that nobody needs stands for the one of length 1 that the view does not show.
    """
    if view[:2] != "NC" or len(view) > 4 or "P" in view:
        return None
    missing = [letter for letter in "HW" if letter not in view]
    return "".join(missing.pop(0) if letter == "1" else letter for letter in view[2:])


def reshaped(view: str, shape: Shape, wanted: Sequence[int]) -> str | None:
    """The view after a Reshape that moves nothing; None for any other."""
    letters = [letter for letter in order(view) if size(letter, shape) > 1]
    if not wanted or wanted[0] != 1 or len(wanted) > 4:
        return None
    found = ["N"]
    for length in wanted[1:]:
        if length == 1:
            found.append("1")
        elif letters and size(letters[0], shape) == length:
            found.append(letters.pop(0))
        elif letters[:2] == ["H", "W"] and size("P", shape) == length:
            found.append("P")
            del letters[:2]
        else:
            return None
    if letters:
        return None
    if "C" not in found:  # one channel: any free axis, in front where possible
        if "1" not in found:
            return None
        found[found.index("1")] = "C"
    return "".join(found)


def inserted(view: str, places: Sequence[int]) -> str | None:
    """The view after Unsqueeze."""
    total = len(view) + len(places)
    letters = list(view)
    for place in sorted(n % total for n in places):
        letters.insert(place, "1")
    return "".join(letters) if letters[0] == "N" and total <= 4 else None


def dropped(view: str, shape: Shape, places: Sequence[int]) -> str | None:
    """The view after Squeeze (of all axes of length 1 but the batch when none are named)."""
    total = len(view)
    gone = {n % total for n in places} or {
        n for n, letter in enumerate(view) if letter not in "NC" and size(letter, shape) == 1
    }
    if any(view[n] in "NC" or size(view[n], shape) != 1 for n in gone):
        return None
    return "".join(letter for n, letter in enumerate(view) if n not in gone)


def order(view: str) -> str:
    """The axes of a view that are flattened, in order."""
    return "".join(letter for letter in view.replace("P", "HW") if letter in "CHW")


def said(view: str) -> str:
    """A view in words."""
    names = {"C": "channels", "H": "rows", "W": "columns", "P": "pixels"}
    return "data of " + (" x ".join(names[n] for n in view if n in names) or "one number")


def moved(view: str, shape: Shape) -> bool:
    """Whether values lie in another order than channel by channel, row by row."""
    letters = [letter for letter in order(view) if size(letter, shape) > 1]
    return letters != sorted(letters)


def columns(letters: str, shape: Shape) -> np.ndarray:
    """Where a value of flat data lies that was flattened in another order than C, H, W."""
    places = np.arange(shape[0] * shape[1] * shape[2]).reshape(shape)
    rest = [letter for letter in "CHW" if letter not in letters]  # of length 1
    return places.transpose(["CHW".index(letter) for letter in [*letters, *rest]]).reshape(-1)


def canonical(array: np.ndarray, view: str) -> np.ndarray:
    """A result of the model, [N, ...] in any view, with channels, rows and columns in order."""
    places = [view.index(letter) for letter in "NCHWP" if letter in view]
    rest = [n for n in range(len(view)) if n not in places]
    return array if array.ndim != len(view) else array.transpose(places + rest)


def as_it_lies(array: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    """Flat values, along the last axis, in the order they have here.

    Args:
        array: values of the model.
        order: where each of them lies; None: as they are.
    """
    if order is None:
        return array
    moved_ = np.empty_like(array)
    moved_[..., order] = array
    return moved_
