"""How far two files of labels agree, person by person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from distill.people.label.poses import JOINTS, Floats, alike


@dataclass(frozen=True)
class Agreement:
    """People of one file found again in another, at an OKS of at least ``limit``.

    Attributes:
        people: people with points in the pictures that both files list.
        found: those of them that somebody in the other file is alike.
    """

    people: int
    found: int

    @property
    def share(self) -> float:
        """Found of all, 0..1; NaN without anybody."""
        return self.found / self.people if self.people else float("nan")


def _people(content: Mapping[str, Any]) -> dict[str, list[Floats]]:
    """Points [17, 3] of everybody with points, by file name."""
    names = {image["id"]: image["file_name"] for image in content["images"]}
    people = defaultdict(list)
    for annotation in content["annotations"]:
        if annotation.get("num_keypoints") and not annotation.get("iscrowd"):
            points = np.asarray(annotation["keypoints"], np.float32).reshape(JOINTS, 3)
            people[names[annotation["image_id"]]].append(points)
    return people


def agreement(wanted: Mapping[str, Any], found: Mapping[str, Any], limit: float = 0.5) -> Agreement:
    """How many people of ``wanted`` are in ``found``, over the pictures both list."""
    shared = {i["file_name"] for i in wanted["images"]} & {i["file_name"] for i in found["images"]}
    theirs, ours = _people(wanted), _people(found)
    best = [
        max((alike(person, other) for other in ours.get(name, [])), default=0.0)
        for name in sorted(shared)
        for person in theirs.get(name, [])
    ]
    return Agreement(len(best), sum(likeness >= limit for likeness in best))
