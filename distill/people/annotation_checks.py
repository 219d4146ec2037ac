"""What a sound entry of a COCO keypoint file is: pictures, boxes, areas, points and their names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ai8x_models.skeleton import COCO17
from common.errors import UserError
from common.texts import one_line, shortened, shown

_MOST = 1e6  # of any number in a file: pictures have fewer columns
LSP14 = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
    "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
    "neck", "head_top",
)  # fmt: skip
_KNOWN = {17: ("COCO", COCO17), 14: ("Leeds Sports Pose", LSP14)}
_TO_IGNORE = re.compile(r"[\s_-]+")
_NUMBERED = re.compile(r"(\D*)(\d+)")


def is_numbers(values: object, count: int) -> bool:
    """Whether ``values`` is a list of ``count`` finite numbers, none of them beyond a picture."""
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(v, int | float) and abs(v) < _MOST for v in values)
    )


def is_picture(entry: object) -> bool:
    """Whether an entry of the file has an id and a file name, and no size that is none."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("id"), int)
        and isinstance(entry.get("file_name"), str)
        and all(
            isinstance(entry.get(side, 1), int | float) and 0 < entry.get(side, 1) < _MOST
            for side in ("width", "height")
        )
    )


def is_box(box: object) -> bool:
    """Whether it is left, top, width and height, and holds something."""
    return is_numbers(box, 4) and isinstance(box, list) and box[2] > 0 and box[3] > 0


def is_area(area: object) -> bool:
    """Whether it is a positive number of pixels."""
    return isinstance(area, int | float) and 0 < area < _MOST**2


def is_flag(value: object) -> bool:
    """Whether it is yes or no, as 1 or 0."""
    return value is None or (isinstance(value, int | float) and value in (0, 1))


def area_of(annotation: dict[str, Any]) -> float:
    """Square pixels of somebody with a sound box: as given, else half of the box."""
    area = annotation.get("area")
    width, height = annotation["bbox"][2:]
    return float(area if is_area(area) else 0.5 * width * height)  # type: ignore[arg-type]


def are_visibilities(keypoints: list[float]) -> bool:
    """Whether every third number says unmarked, hidden or seen."""
    return all(value in (0, 1, 2) for value in keypoints[2::3])


def names_points(category: object) -> bool:
    """Whether a category of the file lists names of keypoints."""
    names = category.get("keypoints") if isinstance(category, dict) else None
    return isinstance(names, list) and bool(names) and all(isinstance(n, str) for n in names)


def check_names(path: Path, names: list[str]) -> None:
    """Refuse points of another skeleton than COCO's 17 and the 14 of Leeds Sports Pose.

    Upper case, spaces, ``_`` and ``-`` make no difference; names that only count (``p0``, ``p1``)
    say nothing.

    Raises:
        UserError: another number of points, or other names or another order.
    """
    if len(names) not in _KNOWN:
        first = ", ".join(shortened(one_line(name), 30) for name in names[:4])
        raise UserError(
            f"{path} has {len(names)} points per person ({first}, ...); the 17 of COCO or the 14 "
            "of Leeds Sports Pose, in their order, are known"
        )
    if _only_count(names):
        return
    skeleton, known = _KNOWN[len(names)]
    for place, (name, wanted) in enumerate(zip(names, known, strict=True), 1):
        if _plain(name) not in _spellings(wanted):
            raise UserError(
                f"{path}: point {place} is {shown(name)}, where the {len(known)} of {skeleton} "
                f"have {wanted}; put the points into that order, or leave the others out"
            )


def says_coco(names: list[str]) -> bool:
    """Whether points are named as COCO's 17 are."""
    return len(names) == len(COCO17) and not _only_count(names)


def _plain(name: str) -> str:
    return _TO_IGNORE.sub("", name).lower()


def _spellings(name: str) -> set[str]:
    """How a point may be called: ``leftknee`` or ``lknee``; the head's top also ``head``."""
    side, _, rest = name.partition("_")
    short = {f"{side[0]}{_plain(rest)}"} if side in ("left", "right") else set()
    return {_plain(name), *short, *(("head", "topofhead") if name == "head_top" else ())}


def _only_count(names: list[str]) -> bool:
    found = [_NUMBERED.fullmatch(name) for name in names]
    parts = [(match[1], int(match[2])) for match in found if match and len(match[2]) < 5]
    return len(parts) == len(names) and all(
        part == (parts[0][0], parts[0][1] + place) for place, part in enumerate(parts)
    )
