"""The networks that label together: finders, and at most one that looks again at each person."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import UserError
from distill.people.label import mmpose, movenet, openpose, yolo
from distill.people.label.families import Finder, Refiner, recognise
from distill.people.label.picture import Pixels, whole
from distill.people.label.poses import Pose, alike

FAMILIES = (*movenet.FAMILIES, *openpose.FAMILIES, *mmpose.FAMILIES, *yolo.FAMILIES)
SAME = 0.5  # OKS above which two finders mean the same person


@dataclass(frozen=True, eq=False)
class Candidate:
    """Somebody a finder has seen.

    Attributes:
        pose: as found, or as looked at again; its score is the finder's.
        certain: whether the finder was sure enough.
    """

    pose: Pose
    certain: bool


class Crew:
    """Networks by their roles; ``facts`` says which files they are, as plain values.

    Raises:
        UserError: no network at all, one of no known kind, or two that look at one person.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.finders: list[Finder] = []
        self.refiner: Refiner | None = None
        self.facts: list[dict[str, Any]] = []
        if not paths:
            raise UserError("name at least one network, an ONNX file, with --networks")
        for path in paths:
            family, network = recognise(path, FAMILIES)
            self._take(network, path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            self.facts.append({"family": family.name, "file": path.name, "sha256": digest})

    def _take(self, network: Finder | Refiner, path: Path) -> None:
        """Give a network its role."""
        if isinstance(network, Finder):
            self.finders.append(network)
        elif self.refiner is None:
            self.refiner = network
        else:
            raise UserError(
                f"{path} is the second network that looks at single people; name one of them"
            )

    def find(self, pixels: Pixels) -> list[Candidate]:
        """Everybody that any finder sees in uint8 [h, w, 3] RGB, once each, the first's first.

        Without a finder the picture itself is taken for one person.
        """
        if not self.finders:
            return [Candidate(whole(pixels), True)]
        people: list[Candidate] = []
        for finder in self.finders:
            fresh = [Candidate(pose, pose.score >= finder.keep) for pose in finder.find(pixels)]
            people = _joined(people, fresh)
        return people

    def refine(self, pixels: Pixels, pose: Pose) -> Pose:
        """A person looked at again, or as it is where no network does that."""
        return pose if self.refiner is None else self.refiner.refine(pixels, pose)


def _joined(known: list[Candidate], fresh: list[Candidate]) -> list[Candidate]:
    """Those known and those new; who is seen again becomes certain if the second is."""
    out, new = list(known), []
    for candidate in fresh:
        likeness = [alike(candidate.pose.points, other.pose.points) for other in known]
        best = max(range(len(known)), key=likeness.__getitem__, default=-1)
        if best < 0 or likeness[best] <= SAME:
            new.append(candidate)
        elif candidate.certain and not out[best].certain:
            out[best] = Candidate(out[best].pose, True)
    return out + new
