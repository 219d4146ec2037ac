"""Command lines of the pose task, apart from training."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from common.arguments import Parser, to_file, to_folder, whole
from common.console import program, say
from common.errors import UserError
from common.texts import counted
from distill.people.recipe import check_side

if TYPE_CHECKING:
    from distill.people.person_sets import PersonSource


def _parser(verb: str, purpose: str) -> argparse.ArgumentParser:
    return Parser(prog=program(f"python -m distill pose {verb}"), description=purpose)


def _add_set(parser: argparse.ArgumentParser) -> None:
    """Options that name an evaluation set."""
    parser.add_argument(
        "--annotations", type=Path,
        help="COCO-format keypoint file (the 14-point validation set under POSE78_DATA)",
    )  # fmt: skip
    parser.add_argument("--images", type=Path, help="folder of its pictures")
    parser.add_argument("--synthetic", type=whole(), help="instead: so many synthetic pictures")
    parser.add_argument("--size", type=whole(), default=128, help="side of the input (128)")
    parser.add_argument("--limit", type=whole(), help="use only the first pictures")


def _people(options: argparse.Namespace) -> PersonSource:
    """The set that the options name, by default the 14-point validation set."""
    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit is {options.limit}; at least one picture is needed")
    if options.annotations is options.images is options.synthetic is None:
        data = Path(os.environ.get("POSE78_DATA", "data")) / "lspet"
        options.annotations, options.images = data / "lspet_val.json", data / "val"
        if not options.annotations.is_file():
            raise UserError(
                f"name a set with --annotations and --images, or --synthetic N pictures; the usual "
                f"one, {options.annotations}, does not exist"
            )
    photographs = options.annotations is not None and options.images is not None
    if photographs == (options.synthetic is not None):
        raise UserError("name a set with --annotations and --images, or --synthetic N pictures")
    check_side("--size", options.size)
    from distill.people.person_sets import PeopleSet, SyntheticSet

    if photographs:
        return PeopleSet(options.annotations, options.images, options.limit)
    return SyntheticSet(options.synthetic, 0)


def evaluate(arguments: list[str]) -> int:
    """``CHECKPOINT ... [--annotations SET.json --images DIR]``."""
    parser = _parser("eval", "PCK and OKS of checkpoints")
    parser.add_argument(
        "checkpoints",
        type=Path,
        nargs="+",
        help="students, teachers, or published ONNX networks that label",
    )
    _add_set(parser)
    parser.add_argument("--flip", action="store_true", help="also test with mirrored pictures")
    parser.add_argument(
        "--whole", action="store_true",
        help="also whole pictures through the deployment path: OKS average precision",
    )  # fmt: skip
    parser.add_argument("--pictures", type=to_folder, help="folder for the best and worst cases")
    options = parser.parse_intermixed_args(arguments)
    people = _people(options)
    if options.whole and options.synthetic is not None:
        raise UserError("--whole needs --annotations and --images")
    from distill.tasks.pose.evaluation import report

    chosen, size, flip = options.checkpoints, options.size, options.flip
    print(report.evaluate_on_crops(chosen, people, size, flip, options.pictures))
    if options.whole:
        source = options.annotations, options.images
        print("\n" + report.evaluate_on_pictures(chosen, *source, size, flip, options.limit))
    return 0


def export(arguments: list[str]) -> int:
    """``CHECKPOINT OUT.onnx``."""
    parser = _parser("export", "Write a checkpoint as ONNX")
    parser.add_argument("checkpoint", type=Path, help="student or teacher")
    parser.add_argument("out", type=to_file, help="ONNX file to write")
    parser.add_argument("--size", type=whole(), default=128, help="side of a float input (128)")
    options = parser.parse_args(arguments)
    check_side("--size", options.size)
    from distill.tasks.pose.onnx_float import export

    export(options.checkpoint, options.out, options.size)
    say(f"ONNX model written to {options.out}")
    return 0


def crops(arguments: list[str]) -> int:
    """``--out DIR [--count N]``."""
    parser = _parser("crops", "Write evaluation crops as pictures")
    parser.add_argument("--out", type=to_folder, required=True, help="folder to write to")
    parser.add_argument("--count", type=whole(), default=100, help="how many, evenly spaced (100)")
    _add_set(parser)
    options = parser.parse_args(arguments)
    people = _people(options)
    from distill.tasks.pose.evaluation.kit_maps import write_crops

    count = write_crops(people, options.size, options.count, options.out)
    say(f"{counted(count, 'crop')} written to {options.out}")
    return 0


def kit(arguments: list[str]) -> int:
    """``CHECKPOINT MAPS.npz``; exit status 1 where a map differs."""
    parser = _parser("kit", "Compare what the firmware made of the crops")
    parser.add_argument("checkpoint", type=Path, help="the integer student it was compiled from")
    parser.add_argument("maps", type=Path, help="written by python -m evalkit maps")
    _add_set(parser)
    options = parser.parse_args(arguments)
    people = _people(options)
    from distill.tasks.pose.evaluation.kit_maps import compare_maps

    table, equal = compare_maps(options.checkpoint, options.maps, people, options.size)
    print(table)
    return 0 if equal else 1


def curves(arguments: list[str]) -> int:
    """``RUN ... [--out CSV]``."""
    parser = _parser("curves", "Record how runs went, from their TensorBoard logs")
    parser.add_argument("runs", type=Path, nargs="+", help="out folders of runs")
    parser.add_argument("--out", type=to_file, default=Path("docs/curves.csv"), help="CSV file")
    options = parser.parse_args(arguments)
    from distill.tasks.pose.evaluation.plots import write_curves

    write_curves(options.runs, options.out)
    say(f"curves of {counted(len(options.runs), 'run')} written to {options.out}")
    return 0


def plot(arguments: list[str]) -> int:
    """``[--docs DIR] [--out DIR]``."""
    parser = _parser("plot", "Draw accuracy against cycles, and the curves")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="folder of the numbers")
    parser.add_argument(
        "--out", type=to_folder, default=Path("docs/images"), help="folder to draw into"
    )
    options = parser.parse_args(arguments)
    from distill.tasks.pose.evaluation.plots import draw

    for path in draw(options.docs, options.out):
        say(f"drawn: {path}")
    return 0
