"""What following people is worth, measured on films with the truth known.

``python -m distill.tasks.pose.evaluation.followed walk cross --checkpoint STUDENT`` runs every
film twice through the board's chain in integers: pictures averaged to the network's size, network,
decoder, tracker; once looking at the whole picture only and telling the points as they are found,
once with region, numbers and smoothing. Without a checkpoint the network is a perfect one: maps
encoded from the truth, with noise. So the one separates what the chain can do from what the
network sees.

Regions are chosen from the people of three pictures before, as on the board.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ai8x_models.codec import STRIDE, encode
from ai8x_models.decode_fixed import FixedSettings, decode_fixed
from ai8x_models.follow.colour import thumbnail
from ai8x_models.follow.crop import crop
from ai8x_models.follow.region import Chooser, RegionSettings
from ai8x_models.follow.tracker import Region, Told, Tracker, TrackerSettings, region_people
from ai8x_models.skeleton import NUM_HEATMAPS
from ai8x_models.student_file import read_checkpoint
from ai8x_models.thresholds import DEFAULTS, DecodeSettings, from_extras
from common.arguments import Parser, span, whole
from common.console import command_line, progress, say
from common.errors import UserError
from distill.people.film import RATE, SCRIPTS, SIDE, STILLS, Frame, crossing, film
from distill.people.panned import Pan, panned, photographs
from distill.people.person_sets import PeopleSet
from distill.tasks.pose.evaluation.evaluate import load_network, predict

Points = npt.NDArray[np.float64]
Maps = npt.NDArray[np.float32]
See = Callable[[Frame, Region], Maps]
"""From a picture and a region of it to maps [57, h, w]."""

INPUT = 128
_LATE = 3
_UNIT = 14
_NEAR = 0.2
_NOISE = 0.03

# The camera sends 5, 6 and 5 bits; they are averaged as such.
_BITS = np.array([3, 2, 3])


def _input(frame: Frame, region: Region) -> npt.NDArray[np.int64]:
    """What the network sees of a region, in the camera's bits; int64 [128, 128, 3]."""
    return crop(frame.pixels >> _BITS, region, INPUT).astype(np.int64)


def perfect(seed: int = 0, noise: float = _NOISE, stride: int = STRIDE) -> See:
    """A network that knows the truth, and trembles; ``stride`` pixels of its input a cell."""
    rng = np.random.default_rng(seed)

    def see(frame: Frame, region: Region) -> Maps:
        people = np.array(list(frame.people.values())).reshape(-1, 18, 3)
        scale = INPUT / region.side
        people[..., :2] = (people[..., :2] + 0.5 - (region.x, region.y)) * scale - 0.5
        inside = ((people[..., :2] >= 0) & (people[..., :2] < INPUT)).all(axis=-1)
        people[~inside] = 0
        maps = np.concatenate(encode(people, INPUT, stride))
        return np.asarray(maps + rng.normal(0, noise, maps.shape), np.float32)

    return see


def student(path: Path) -> See:
    """The network of a checkpoint."""
    network = load_network(path)

    def see(frame: Frame, region: Region) -> Maps:
        low = _input(frame, region)
        pixels = low << _BITS | low >> np.array([2, 4, 2])
        image = torch.from_numpy(pixels.astype(np.uint8).transpose(2, 0, 1)[None].copy())
        return np.asarray(predict(network, image)[0], np.float32)

    return see


def thresholds(path: Path) -> DecodeSettings:
    """Who counts as a person for a student."""
    return from_extras(read_checkpoint(path).get("extras", {}), str(path))


def people_in(maps: Maps, settings: DecodeSettings) -> list[npt.NDArray[np.int64]]:
    """What the integer decoder finds, int64 [18, 3] each: Q4 pixels of the input, Q15 values."""
    whole = np.floor(maps.astype(np.float64) * 2**_UNIT + 0.5).astype(np.int64)
    fixed = FixedSettings.of(settings, stride=INPUT // maps.shape[-1])
    found = decode_fixed(whole[:NUM_HEATMAPS], whole[NUM_HEATMAPS:], _UNIT, _UNIT, fixed)
    return [person.points for person in found]


def chain(
    frames: Iterable[Frame],
    see: See,
    follow: bool,
    settings: DecodeSettings = DEFAULTS,
    colour: bool = False,
) -> list[list[Told]]:
    """Who is told in every picture; with ``colour`` those followed by their clothes too."""
    tracker = Tracker(TrackerSettings() if follow else TrackerSettings(slow_hz=0, confirm=1))
    chooser = Chooser(RegionSettings(SIDE))
    waiting: deque[list[Told]] = deque([[]] * _LATE)
    answers = []
    for index, frame in enumerate(frames):
        now = 1000 + round(1000 * index / RATE)
        looked = chooser.next(waiting.popleft(), now) if follow else chooser.settings.whole
        people = people_in(see(frame, looked), settings)
        seen = thumbnail(_input(frame, looked)) if follow and colour else None
        told = tracker.step(region_people(looked, INPUT, people), looked, now, seen)
        waiting.append(told)
        answers.append(told)
    return answers


# ---- judging -----------------------------------------------------------------------------------


def _torso(truth: Points) -> float:
    """Neck to the middle of the hips, pixels; 0 when they are not in the picture."""
    known = truth[[1, 8, 11]]
    if (known[:, 2] == 0).any():
        return 0.0
    return float(np.linalg.norm(known[0, :2] - known[1:, :2].mean(axis=0)))


def _right(told: Told, truth: Points, torso: float) -> npt.NDArray[np.bool_]:
    """Which visible points of the truth are within a fifth of the torso; bool [18]."""
    points = told.points.astype(np.float64)
    away = np.linalg.norm(points[:, :2] / 16 - truth[:, :2], axis=1)
    return np.asarray((points[:, 2] > 0) & (truth[:, 2] > 0) & (away <= _NEAR * torso))


@dataclass
class Score:
    """How well people were told.

    Attributes:
        people, found: in all pictures; found: at least half of the visible points are right.
        points, right: visible points, and those within a fifth of the torso.
        switches: an actor who is found has another number than when found before.
        seconds: of film.
    """

    people: int = 0
    found: int = 0
    points: int = 0
    right: int = 0
    switches: int = 0
    seconds: float = 0.0
    tremble: list[float] = field(default_factory=list)

    def add(self, other: Score) -> None:
        """Count what another film has shown as well."""
        for name in ("people", "found", "points", "right", "switches", "seconds", "tremble"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def line(self, name: str) -> str:
        """One row of a table."""
        tremble = np.mean(self.tremble) if self.tremble else float("nan")
        return (
            f"{name:22} found {100 * self.found / max(self.people, 1):5.1f} %  "
            f"PCK@0.2 {100 * self.right / max(self.points, 1):5.1f} %  "
            f"tremble {tremble:6.3f} px  "
            f"switches {60 * self.switches / max(self.seconds, 1e-9):5.1f} a minute"
        )


def _matches(
    right: dict[tuple[int, int], int], visible: dict[int, int], before: dict[int, int]
) -> dict[int, int]:
    """Track of each actor, by the number of right points of each pair.

    As CLEAR MOT (Bernardin, Stiefelhagen, 2008) counts: whoever a track told before, it still tells
    while half of the visible points are right; the others are given away, the best pair first.
    """
    given = {
        a: t for a, t in before.items() if 2 * right.get((a, t), 0) >= max(visible.get(a, 0), 1)
    }
    for actor, track in sorted(right, key=lambda pair: -right[pair]):
        if actor not in given and track not in given.values() and right[actor, track] > 0:
            given[actor] = track
    return given


def judge(frames: Sequence[dict[int, Points]], answers: Sequence[Sequence[Told]]) -> Score:
    """Compare what was told with the truth; each track is given to one actor (:func:`_matches`)."""
    score = Score(seconds=len(frames) / RATE)
    names: dict[int, int] = {}
    given: dict[int, int] = {}
    history: dict[int, deque[Points]] = {}
    for truth, told in zip(frames, answers, strict=True):
        torsos = {actor: _torso(points) for actor, points in truth.items()}
        actors = [actor for actor, torso in torsos.items() if torso > 0]
        tracks = {track.number: track for track in told}
        right = {
            (actor, number): int(_right(track, truth[actor], torsos[actor]).sum())
            for actor in actors
            for number, track in tracks.items()
        }
        visible = {actor: int((truth[actor][:, 2] > 0).sum()) for actor in actors}
        given = _matches(right, visible, given)
        for actor in actors:
            count = right[actor, given[actor]] if actor in given else 0
            found = 2 * count >= visible[actor]
            score.people += 1
            score.points += visible[actor]
            score.right += count
            score.found += found
            if actor not in given:
                history.pop(actor, None)
                continue
            if found:
                score.switches += names.get(actor, given[actor]) != given[actor]
                names[actor] = given[actor]
            past = history.setdefault(actor, deque(maxlen=3))
            past.append(tracks[given[actor]].points.astype(np.float64))
            _add_tremble(score, past)
    return score


def _add_tremble(score: Score, past: Sequence[Points]) -> None:
    """Mean acceleration of the points known in three pictures, pixels a picture squared."""
    if len(past) < 3:
        return
    first, second, third = past
    known = (first[:, 2] > 0) & (second[:, 2] > 0) & (third[:, 2] > 0)
    if known.any():
        bent = (first - 2 * second + third)[known, :2] / 16
        score.tremble.append(float(np.linalg.norm(bent, axis=1).mean()))


def _films(options: argparse.Namespace) -> Iterator[tuple[str, list[list[Frame]]]]:
    """What is to be seen, by name; photographs are one name with many films."""
    for name in options.scripts:
        yield name, [list(film(SCRIPTS[name]))]
    for seed in options.crossings:
        yield f"crossing {seed}", [list(film(crossing(seed), seed=seed))]
    if options.photographs:
        source = PeopleSet(options.photographs, options.photographs.parent / "images")
        shown = photographs(source, options.limit)
        yield f"{len(shown)} photographs", [list(panned(one, Pan())) for one in shown]


def _told(
    frames: Sequence[Frame], see: See, follow: bool, settings: DecodeSettings, colour: bool
) -> list[list[Told]]:
    """As :func:`chain`, with a bar."""
    return chain(progress(frames, title="film", unit="picture"), see, follow, settings, colour)


def _measure(films: Sequence[Sequence[Frame]], follow: bool, options: argparse.Namespace) -> Score:
    """All films, nobody known at the beginning of each."""
    total = Score()
    see, settings = perfect(stride=options.stride), DEFAULTS
    if options.checkpoint:
        see, settings = student(options.checkpoint), thresholds(options.checkpoint)
    for frames in progress(films, title="films", unit="film"):
        total.add(
            judge([f.people for f in frames], _told(frames, see, follow, settings, options.colour))
        )
    return total


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = Parser(prog="python -m distill.tasks.pose.evaluation.followed", description=__doc__)
    parser.add_argument("scripts", nargs="*", metavar="FILM", help=", ".join(sorted(SCRIPTS)))
    parser.add_argument(
        "--photographs", type=Path, metavar="JSON",
        help="annotations (COCO) of photographs that lie beside it in images/, to pan over",
    )  # fmt: skip
    parser.add_argument("--limit", type=whole(), default=12, help="photographs (default 12)")
    parser.add_argument(
        "--crossings", type=span(STILLS - 1), default=range(0), metavar="N|A-B",
        help="other films of four people who cross: 1 to N, or A to B",
    )  # fmt: skip
    parser.add_argument("--checkpoint", type=Path, help="a student; without one: perfect maps")
    parser.add_argument(
        "--stride", type=whole(), choices=(4, 8), default=STRIDE, help="of perfect maps (default 8)"
    )
    parser.add_argument(
        "--colour", action="store_true", help="tell those followed by their clothes too"
    )
    options = parser.parse_args(arguments)
    for name in options.scripts:
        if name not in SCRIPTS:
            raise UserError(f"there is no film '{name}'; there are {', '.join(sorted(SCRIPTS))}")
    if not (options.scripts or options.photographs or options.crossings):
        raise UserError("name films, or photographs (--photographs) to pan over, or --crossings")
    totals = {"whole picture": Score(), "followed": Score()}
    rows = 0
    for name, films in _films(options):
        for way, total in totals.items():
            score = _measure(films, way == "followed", options)
            say(score.line(f"{name}, {way}"))
            total.add(score)
        rows += 1
    for way, total in totals.items() if rows > 1 else ():
        say(total.line(f"all, {way}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
