"""``python -m distill pose accuracy``: what networks see, as ``docs/accuracy.md`` with a gallery.

Everything in that file comes from here: the table of all networks, their precision over recall, and
pictures of the last network's right and wrong answers.  Only photographs that may be shown are
drawn: those whose COCO licence is 4, 5, 7 or 8, each with its source.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ai8x_models.overlay import draw_people
from common.arguments import Parser, to_file, whole
from common.console import say
from common.errors import UserError
from common.files import write_file
from distill.people.annotations import KeypointFile, read_pixels
from distill.people.judge import OPEN, RIGHT, WRONG, judge
from distill.people.recipe import check_side
from distill.tasks.pose.evaluation.evaluate import load_any
from distill.tasks.pose.evaluation.whole import (
    RIGHT_AT,
    THERE_AT,
    WholeResult,
    evaluate_whole,
    settings_of,
    whole_table,
)

LICENCES: dict[int, str] = {
    4: "CC BY 2.0",
    5: "CC BY-SA 2.0",
    7: "no known copyright restrictions",
    8: "United States government work",
}
"""COCO's numbers of the licences under which a photograph may be drawn on and shown."""
_QUALITY = 88


@dataclass(frozen=True)
class Entry:
    """A network to measure: its name in the table, its checkpoint, the side of its input."""

    name: str
    path: Path
    size: int

    @classmethod
    def parse(cls, text: str, size: int) -> Entry:
        """``NAME=CHECKPOINT`` or ``NAME@SIZE=CHECKPOINT``.

        Raises:
            UserError: the text is neither, or the side cannot be.
        """
        name, _, path = text.partition("=")
        label, given, side = name.partition("@")
        if not label or not path or (given and not (side.isdecimal() and len(side) < 9)):
            raise UserError(
                f"--network is '{text}'; write NAME=CHECKPOINT, or NAME@SIZE=CHECKPOINT with a "
                "side that is a multiple of 8"
            )
        check_side(f"the side of --network {text}", int(side or size))
        return cls(f"{label}, {side} px" if given else label, Path(path), int(side or size))


@dataclass(frozen=True, eq=False)
class Case:
    """A picture of the gallery: its place in the result, people found, missed and made up."""

    index: int
    right: int
    missed: int
    wrong: int

    @property
    def caption(self) -> str:
        """Such as ``2 found, 1 missed, 1 not there``."""
        return f"{self.right} found, {self.missed} missed, {self.wrong} not there"


def cases(result: WholeResult, count: int) -> tuple[list[Case], list[Case]]:
    """The right and the wrong answers to show, at most ``count`` of each.

    Right ones find everybody and nobody else, most people first; wrong ones have the most people
    missed or made up first.
    """
    right, wrong = [], []
    for index, entry in enumerate(result.entries):
        if entry.get("license") not in LICENCES:
            continue
        verdicts = judge(result.answers[index], result.truths[index], RIGHT_AT)
        missed = int((~verdicts.seen).sum())
        made_up = int((verdicts.found == WRONG).sum())
        case = Case(index, int((verdicts.found == RIGHT).sum()), missed, made_up)
        if missed or made_up:
            wrong.append(case)
        elif not (verdicts.found == OPEN).any():
            right.append(case)
    right.sort(key=lambda case: -case.right)
    wrong.sort(key=lambda case: -(case.missed + case.wrong))
    return right[:count], wrong[:count]


def source_of(entry: Mapping[str, Any]) -> str:
    """Where a photograph comes from and under which terms, as Markdown."""
    licence = LICENCES[entry["license"]]
    name = str(entry.get("source") or entry["file_name"])
    stem = Path(name).stem.lstrip("0")
    link = entry.get("flickr_url")
    if link is None and stem.isdigit():
        link = f"https://cocodataset.org/#explore?id={stem}"
    shown = f"[COCO {stem or name}]({link})" if link else name
    return f"{shown}, {licence}, skeletons drawn"


def curve(result: WholeResult) -> list[tuple[float, float, float]]:
    """(least score, precision, recall) for every least score that changes something."""
    scores, verdicts = [], []
    for people, truth in zip(result.answers, result.truths, strict=True):
        found = judge(people, truth, RIGHT_AT).found
        scores += [person.score for person in people]
        verdicts += list(found)
    order = np.argsort(-np.array(scores), kind="stable") if scores else np.zeros(0, int)
    total = max(1, sum(len(truth.points) for truth in result.truths))
    rows, right, wrong = [], 0, 0
    for place in order:
        right += int(verdicts[place] == RIGHT)
        wrong += int(verdicts[place] == WRONG)
        if verdicts[place] != OPEN:
            rows.append((scores[place], right / (right + wrong), right / total))
    return rows


def write_curves(results: Mapping[str, WholeResult], path: Path) -> None:
    """Precision over recall of all networks, as CSV.

    Raises:
        UserError: it cannot be written.
    """
    lines = ["network,least score,precision,recall"]
    for name, result in results.items():
        quoted = name.replace('"', "'")
        lines += [f'"{quoted}",{s:.4f},{p:.4f},{r:.4f}' for s, p, r in curve(result)]
    write_file(path, "\n".join(lines) + "\n")


def _draw(result: WholeResult, case: Case, folder: Path, content: KeypointFile, out: Path) -> Path:
    """Write one picture of the gallery; returns its file."""
    entry = result.entries[case.index]
    pixels = read_pixels(folder / entry["file_name"], entry, content.skipped)
    assert pixels is not None, "it was read before"
    people = [person.keypoints for person in result.answers[case.index]]
    drawn = draw_people(np.asarray(pixels, np.uint8), people, thickness=2)
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    assert done
    path = out / f"{Path(entry['file_name']).stem}.jpg"
    write_file(path, data.tobytes())
    return path


def gallery(
    result: WholeResult, content: KeypointFile, folder: Path, out: Path, page: Path, count: int
) -> str:
    """Draw the cases into ``out``; returns Markdown with links from ``page``."""
    parts = []
    for title, chosen in zip(("Right", "Wrong"), cases(result, count), strict=True):
        parts += [f"### {title}", ""]
        if not chosen:
            parts += ["None among the pictures that may be shown.", ""]
        for case in chosen:
            path = _draw(result, case, folder, content, out)
            link = path.relative_to(page.parent).as_posix()
            parts += [f"![{case.caption}]({link})", ""]
            parts += [f"{case.caption}. {source_of(result.entries[case.index])}.", ""]
    return "\n".join(parts)


def page_text(results: dict[str, WholeResult], pictures: str, last: str, command: str) -> str:
    """The whole of ``docs/accuracy.md``."""
    count = len(next(iter(results.values())).entries)
    empty = next(iter(results.values())).right.empty
    return f"""# What the networks see

Written by a command; changes belong into `distill/tasks/pose/evaluation/accuracy.py`:

```
{command}
```

{count} photographs, {empty} of them without anybody, on which nothing was trained and no threshold
fitted. Whole pictures, fitted into the network's square; AP by pycocotools. A person is *found* at
an OKS of {RIGHT_AT}; *there* are reported people with an OKS of at least {THERE_AT}. Heights are
shares of the picture's. All in percent.

{whole_table(results)}

Precision over recall by least score: [accuracy.csv](accuracy.csv).

## Right and wrong answers

Of {last}. Photographs of COCO 2017 whose licences allow it; pictures of share-alike photographs are
under the same licence.

{pictures}"""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m distill pose accuracy", description=__doc__)
    parser.add_argument(
        "--network", action="append", required=True, metavar="NAME[@SIZE]=CHECKPOINT",
        help="a row of the table, also a published ONNX network that labels; repeat; the gallery "
        "shows the last",
    )  # fmt: skip
    parser.add_argument("--annotations", type=Path, required=True, help="COCO-format keypoint file")
    parser.add_argument("--images", type=Path, required=True, help="folder of its pictures")
    parser.add_argument("--size", type=whole(), default=128, help="side of the input (128)")
    parser.add_argument("--limit", type=whole(), help="use only the first pictures")
    parser.add_argument("--gallery", type=whole(0), default=6, help="pictures of each kind (6)")
    parser.add_argument(
        "-o", "--output", type=to_file, default=Path("docs/accuracy.md"), help="page to write"
    )
    return parser


def measure(
    entries: Sequence[Entry], annotations: Path, images: Path, limit: int | None
) -> tuple[dict[str, WholeResult], KeypointFile]:
    """All networks on the same pictures, by name; and the set."""
    results, content = {}, KeypointFile(annotations)
    networks = [load_any(entry.path) for entry in entries]  # all, before minutes go into the first
    for entry, network in zip(entries, networks, strict=True):
        settings = settings_of(entry.path, network)
        results[entry.name] = evaluate_whole(
            network, content, images, entry.size, limit=limit, settings=settings
        )
    return results, content


def main(arguments: list[str] | None = None) -> int:
    """Measure, draw and write.

    Raises:
        UserError: files that cannot be read or written.
    """
    options = _parser().parse_args(arguments)
    check_side("--size", options.size)
    entries = [Entry.parse(text, options.size) for text in options.network]
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two networks are called '{name}' with --network; name them apart")
    results, content = measure(entries, options.annotations, options.images, options.limit)
    last, page = entries[-1].name, options.output
    folder = page.parent / "images" / "accuracy"
    drawn = gallery(results[last], content, options.images, folder, page, options.gallery)
    networks = " ".join(f"--network {text}" for text in options.network)
    command = f"python -m distill pose accuracy {networks} \\\n  --annotations ... --images ..."
    write_curves(results, page.with_suffix(".csv"))
    write_file(page, page_text(results, drawn, last, command))
    print(whole_table(results))
    if content.skipped:
        say(f"left out: {content.skipped}")
    say(str(page))
    return 0
