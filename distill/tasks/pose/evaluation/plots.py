"""Pictures of recorded numbers: accuracy against cycles, and how training went.

The numbers are files of the documentation, so that the pictures can be drawn again anywhere:
``results.yaml`` is written by hand from what ``distill eval`` and ``synthesize`` print,
``curves.csv`` by ``python -m distill curves`` from the TensorBoard logs of the runs.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from common.errors import UserError
from common.files import write_file
from common.incoming import yaml_problem

STAGES = {"float": "o", "qat": "s", "integer": "D"}
"""What is measured of a student, and its mark."""

_COLOURS = ("#1b6ca8", "#c8553d", "#4d8b31", "#7b4fa3", "#b8860b", "#4a5568")
_SVG: Any = {
    "svg.fonttype": "none",  # words stay words
    "svg.hashsalt": "pose78",  # the same numbers give the same file
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
_MEAN_OVER = 5  # points of the loss that are averaged


@dataclass(frozen=True)
class Result:
    """One student's figures.

    Attributes:
        name: what the picture calls it.
        cycles: CNN clock cycles of one inference.
        pck: PCK@0.2 in percent by stage; stages that were not measured are missing.
    """

    name: str
    cycles: int
    pck: Mapping[str, float]


@dataclass(frozen=True)
class Curve:
    """One run: (step, loss) and (step, PCK 0..1) pairs."""

    name: str
    loss: Sequence[tuple[int, float]]
    pck: Sequence[tuple[int, float]]


def read_results(path: Path) -> list[Result]:
    """Read the hand-written file of results.

    Raises:
        UserError: unreadable, or an entry that is not as it should be, by its number.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise UserError(f"cannot read {path}: not valid YAML ({yaml_problem(error)})") from None
    entries = content.get("students") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path} needs a list 'students' of name, cycles and PCKs in percent")
    return [_result(f"{path}: entry {n} of students", e) for n, e in enumerate(entries, 1)]


def _result(where: str, entry: Any) -> Result:
    if not isinstance(entry, dict) or set(entry) - {"name", "cycles", *STAGES}:
        raise UserError(f"{where} may have name, cycles, {', '.join(STAGES)} and nothing else")
    name, cycles = entry.get("name"), entry.get("cycles")
    if not isinstance(name, str) or not isinstance(cycles, int) or cycles <= 0:
        raise UserError(f"{where} needs a name and a positive number of cycles")
    pck = {stage: entry[stage] for stage in STAGES if entry.get(stage) is not None}
    for stage, value in pck.items():
        if not isinstance(value, (int, float)) or not 0 <= value <= 100:
            raise UserError(f"{where}: {stage} is {value!r}; it is a PCK in percent, 0 to 100")
    return Result(name, cycles, pck)


def read_curves(path: Path) -> list[Curve]:
    """Read what :func:`write_curves` wrote.

    Raises:
        UserError: unreadable, or a line that is not of four columns.
    """
    found: dict[str, tuple[list[tuple[int, float]], list[tuple[int, float]]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                loss, pck = found.setdefault(row["run"], ([], []))
                for values, text in ((loss, row["loss"]), (pck, row["pck"])):
                    if text:
                        values.append((int(row["step"]), float(text)))
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}; it has run, step, loss and pck") from None
    return [Curve(name, *values) for name, values in found.items()]


def read_run(folder: Path) -> Curve:
    """Loss and PCK of a run, from its TensorBoard log; a resumed run is one curve.

    Raises:
        UserError: there is no log.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not any(folder.glob("events.out.tfevents.*")):
        raise UserError(f"{folder} holds no TensorBoard log; name the out folder of a run")
    log = EventAccumulator(str(folder))
    log.Reload()
    known = log.Tags()["scalars"]

    def values(tag: str) -> list[tuple[int, float]]:
        # What a resumed run did again replaces what came first.
        events = {e.step + 1: float(e.value) for e in (log.Scalars(tag) if tag in known else ())}
        return sorted((step, value) for step, value in events.items() if math.isfinite(value))

    return Curve(folder.name, values("loss"), values("pck"))


def write_curves(folders: Iterable[Path], out: Path) -> None:
    """Write the curves of runs as a CSV file; a run that is in it already is replaced.

    Raises:
        UserError: a folder is no run, or the file cannot be written.
    """
    curves = {curve.name: curve for curve in (read_curves(out) if out.exists() else ())}
    curves.update((curve.name, curve) for curve in map(read_run, folders))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "step", "loss", "pck"])
    for curve in curves.values():
        rows: dict[int, list[str]] = {}
        for column, values in enumerate((curve.loss, curve.pck)):
            for step, value in values:
                rows.setdefault(step, ["", ""])[column] = f"{value:.5g}"
        writer.writerows([curve.name, step, *rows[step]] for step in sorted(rows))
    write_file(out, text.getvalue())


def draw(docs: Path, images: Path) -> list[Path]:
    """Draw both pictures as SVG files from ``results.yaml`` and ``curves.csv`` in ``docs``.

    Raises:
        UserError: matplotlib is not installed, numbers cannot be read or pictures not written.
    """
    try:
        import matplotlib
    except ImportError:
        raise UserError(
            "pictures need matplotlib; install it with: pip install 'pose78[train]'"
        ) from None
    results, curves = read_results(docs / "results.yaml"), read_curves(docs / "curves.csv")
    with matplotlib.rc_context(_SVG):
        figures = {"accuracy.svg": _accuracy(results), "training.svg": _training(curves)}
        written = []
        for name, figure in figures.items():
            content = io.BytesIO()
            figure.savefig(content, format="svg", metadata={"Date": None}, bbox_inches="tight")
            write_file(images / name, content.getvalue())
            written.append(images / name)
    return written


def _accuracy(results: Sequence[Result]) -> Any:
    """PCK against cycles: a colour per student, a mark per stage."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), facecolor="white")
    axes = figure.add_subplot()
    for number, result in enumerate(results):
        colour = _COLOURS[number % len(_COLOURS)]
        if not result.pck:
            continue
        x = result.cycles / 1e6
        axes.plot([x] * len(result.pck), list(result.pck.values()), color=colour, lw=1, zorder=1)
        for stage, value in result.pck.items():
            axes.plot(x, value, STAGES[stage], color=colour, ms=7, mec="white")
        top = max(result.pck.values())
        label = f"{result.name} {top:.1f}"
        axes.annotate(label, (x, top), (0, 8), textcoords="offset points", ha="center",
                      color=colour)  # fmt: skip
    for stage, mark in STAGES.items():
        axes.plot([], [], mark, color="#4a5568", label=stage)
    axes.set(xlabel="million CNN cycles (50 million are one second)", ylabel="PCK@0.2, percent")
    axes.margins(x=0.15, y=0.15)
    axes.legend(loc="best", frameon=False)
    return figure


def _training(curves: Sequence[Curve]) -> Any:
    """Loss and PCK against steps, one colour per run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), facecolor="white")
    left, right = figure.subplots(1, 2)
    for number, curve in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        loss, pck = list(_means(curve.loss)), curve.pck
        left.plot([s for s, _ in loss], [v for _, v in loss], color=colour, lw=1.2)
        right.plot([s for s, _ in pck], [100 * v for _, v in pck], "o-", color=colour, ms=3.5,
                   lw=1.2, label=curve.name)  # fmt: skip
    left.set(xlabel="step", ylabel="training loss")
    right.set(xlabel="step", ylabel="validation PCK@0.2, percent")
    if curves:
        right.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    return figure


def _means(points: Sequence[tuple[int, float]]) -> Iterable[tuple[float, float]]:
    """Means of neighbouring points; single losses jump about."""
    for at in range(0, len(points), _MEAN_OVER):
        part = points[at : at + _MEAN_OVER]
        yield sum(s for s, _ in part) / len(part), sum(v for _, v in part) / len(part)
