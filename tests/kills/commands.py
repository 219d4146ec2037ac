"""The commands that are killed, what they write, and what may be left of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.incoming import parse_json

Same = Callable[[Path, Path], bool]


@dataclass(frozen=True)
class Command:
    """A command that writes.

    Attributes:
        name: of the table.
        module: has ``main(arguments: list[str]) -> int``.
        arguments: ``{stock}`` is the folder of :mod:`tests.kills.stock`, ``{which}`` is ``a``, or
            ``b`` where something else was written to the same place before.
        made: what is written, below the folder the command runs in.
        needs: folder of the stock that is copied there first, and the name it gets.
        says: must be said by a run that was not disturbed.
        same: whether two results are equal.
        whole: what is written appears whole or not at all.
        rest: what else may lie there afterwards, as an expression for its name.
    """

    name: str
    module: str
    arguments: str
    made: tuple[str, ...]
    needs: tuple[str, str] | None = None
    says: str = ""
    same: Same | None = None
    whole: bool = True
    rest: str = r"$^"

    @property
    def twice(self) -> bool:
        """Whether something else may have been written to the same place before."""
        return "{which}" in self.arguments + "".join(self.needs or ())


def _shots(path: Path) -> list[tuple[object, ...]]:
    lines = [parse_json(line) for line in path.read_bytes().splitlines()[1:]]
    shots = [line["shot"] for line in lines if "shot" in line]
    return [(shot["name"], shot["poses"][8:], shot["jpeg"]) for shot in shots]


def same_shots(one: Path, other: Path) -> bool:
    """Recordings of the same answers, at whatever time they came."""
    return _shots(one) == _shots(other)


def same_labels(one: Path, other: Path) -> bool:
    """Labels of the same people."""
    pair = [json.loads(path.read_text()) for path in (one, other)]
    return bool(pair[0]["annotations"] == pair[1]["annotations"] and pair[0]["images"])


def same_course(one: Path, other: Path) -> bool:
    """Students trained for as long, of the same layers, all their numbers finite.

    A course that goes on sees other random views than one that was never stopped.
    """
    import torch

    from ai8x_models.student_file import load_student

    pair = [load_student(path) for path in (one, other)]
    states = [student.state_dict() for student, _ in pair]
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    sound = all(bool(torch.isfinite(v).all()) for v in states[0].values())
    return sound and shapes[0] == shapes[1] and pair[0][1]["epoch"] == pair[1][1]["epoch"]


_MOTION = """[{{"annotations":'{stock}/motion.npz'}}]"""
_COURSE = (
    "lift student --config {recipes}/lift.yaml teacher='' start_from='' out=run epochs=3 "
    "samples_per_epoch=8 batch=4 validate_every=1 accelerator=cpu warmup_steps=1 "
    f"train={_MOTION} validation={_MOTION}"
)

COMMANDS = (
    Command(
        "compile",
        "synthesize.__main__",
        "compile {stock}/{which}-q.pth.tar --quiet --out project",
        ("project",),
    ),
    Command(
        "build",
        "synthesize.write.elf",
        "project --cache objects --baud 921600",
        ("project/firmware.elf",),
        needs=("{which}-known", "project"),
        # Seen twice in 67 rounds: a part that a killed build left, for the next one to sweep.
        rest=r"project|objects(/[a-z0-9_]+-[0-9a-f]{24}\.o|/\.pose78-part-.*)?",
    ),
    Command(
        "run",
        "evalkit.__main__",
        "run {stock}/{which}-known/firmware.elf --uart - --maps maps.npz --timeline t.html",
        ("maps.npz", "t.html"),
        says="PASS",
    ),
    Command(
        "record",
        "evalkit.__main__",
        "export --kit {stock}/{which}-injection/firmware.elf --camera {stock}/pictures "
        "--record seen.p78 -o seen.json",
        ("seen.json", "seen.p78"),
        same=same_shots,
        whole=False,
    ),
    Command(
        "label",
        "distill.__main__",
        "label {stock}/pictures --networks {stock}/labels.onnx --out labels.json",
        ("labels.json",),
        same=same_labels,
    ),
    Command(
        "quantise",
        "quantize.__main__",
        "{stock}/{which}.pth.tar q.pth.tar",
        ("q.pth.tar",),
    ),
    Command(
        "training",
        "distill.__main__",
        _COURSE,
        ("run/student.pth.tar",),
        same=same_course,
        rest=r"run/(events\.out\.tfevents\..*|hparams\.yaml|(best|last)\.ckpt)|run",
    ),
)


def named(command: Command, name: str) -> bool:
    """Whether something may lie there: it is a result, or named as what may be left."""
    made = {part for path in command.made for part in (path, path.partition("/")[0])}
    return name in made or re.fullmatch(command.rest, name) is not None
