"""Command line of training and evaluation.

``python -m distill teacher --config RECIPE.yaml [key=value ...]`` trains a teacher and
``python -m distill student --config RECIPE.yaml [key=value ...]`` a student (float, distilled or
quantisation-aware), both resuming where a killed run stopped;
``python -m distill compare --config RECIPE.yaml teacher=FILE [seeds=[1,2,3]] [key=value ...]``
trains the same student with and without the teacher and prints what it gains; ``rivals=[FILE]``
names more teachers to compare with the first;
``python -m distill eval CHECKPOINT ... --annotations SET.json --images DIR`` prints its PCK and,
with ``--whole``, its OKS average precision;
``python -m distill export CHECKPOINT OUT.onnx`` writes any of them as ONNX;
``python -m distill crops --out DIR ...`` writes evaluation crops as pictures, and
``python -m distill kit CHECKPOINT MAPS.npz ...`` compares what the firmware made of them;
``python -m distill label PICTURES --networks FILE.onnx ... --out LABELS.json`` labels a folder of
pictures, and ``python -m distill merge LABELS.json SHARD.json ...`` puts shards of it together;
``python -m distill curves RUN ...`` records how runs went, ``python -m distill plot`` draws it.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError
from distill.people.label.options import add_label, add_merge, run_label, run_merge

if TYPE_CHECKING:
    from distill.people.crops import PersonSource

TRAINING = {
    "teacher": "train a teacher",
    "student": "train a student",
    "compare": "train a student without and with teachers, over several seeds",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m distill", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    stages = parser.add_subparsers(dest="stage", required=True)
    for stage, purpose in TRAINING.items():
        train = stages.add_parser(stage, help=purpose)
        train.add_argument("--config", type=Path, help="recipe (YAML)")
        train.add_argument("overrides", nargs="*", help="recipe settings, key=value")
    _add_evaluation(stages.add_parser("eval", help="PCK and OKS of checkpoints"))
    export = stages.add_parser("export", help="write a checkpoint as ONNX")
    export.add_argument("checkpoint", type=Path, help="student or teacher")
    export.add_argument("out", type=Path, help="ONNX file to write")
    export.add_argument("--size", type=int, default=128, help="side of a float input (128)")
    _add_kit(stages)
    add_label(stages.add_parser("label", help="label a folder of pictures by pretrained networks"))
    add_merge(stages.add_parser("merge", help="put shards of labels together"))
    curves = stages.add_parser("curves", help="record how runs went, from their TensorBoard logs")
    curves.add_argument("runs", type=Path, nargs="+", help="out folders of runs")
    curves.add_argument("--out", type=Path, default=Path("docs/curves.csv"), help="CSV file")
    plot = stages.add_parser("plot", help="draw accuracy against cycles, and the curves")
    plot.add_argument("--docs", type=Path, default=Path("docs"), help="folder of the numbers")
    plot.add_argument("--out", type=Path, default=Path("docs/images"), help="folder to draw into")
    return parser


def _add_set(stage: argparse.ArgumentParser) -> None:
    """Options that name an evaluation set."""
    stage.add_argument("--annotations", type=Path, help="COCO-format keypoint file")
    stage.add_argument("--images", type=Path, help="folder of its pictures")
    stage.add_argument("--synthetic", type=int, help="instead: so many synthetic pictures")
    stage.add_argument("--size", type=int, default=128, help="side of the input (128)")
    stage.add_argument("--limit", type=int, help="use only the first pictures")


def _add_kit(stages: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The stages on both sides of the firmware."""
    crops = stages.add_parser("crops", help="write evaluation crops as pictures")
    crops.add_argument("--out", type=Path, required=True, help="folder to write to")
    crops.add_argument("--count", type=int, default=100, help="how many, evenly spaced (100)")
    kit = stages.add_parser("kit", help="compare what the firmware made of the crops")
    kit.add_argument("checkpoint", type=Path, help="the integer student it was compiled from")
    kit.add_argument("maps", type=Path, help="written by python -m evalkit maps")
    for stage in (crops, kit):
        _add_set(stage)


def _add_evaluation(evaluate: argparse.ArgumentParser) -> None:
    """Options of the eval stage."""
    evaluate.add_argument("checkpoints", type=Path, nargs="+", help="students or teachers")
    _add_set(evaluate)
    evaluate.add_argument("--flip", action="store_true", help="also test with mirrored pictures")
    evaluate.add_argument(
        "--whole", action="store_true",
        help="also whole pictures through the deployment path: OKS average precision",
    )  # fmt: skip
    evaluate.add_argument("--pictures", type=Path, help="folder for the best and worst cases")


def _people(options: argparse.Namespace) -> PersonSource:
    """The set that the options name."""
    from distill.people.crops import PeopleSet, SyntheticSet

    photographs = options.annotations is not None and options.images is not None
    if photographs == (options.synthetic is not None):
        raise UserError("name a set with --annotations and --images, or --synthetic N pictures")
    if options.size % 8 or options.size < 32:
        raise UserError(f"--size is {options.size}; it must be a multiple of 8, at least 32")
    if photographs:
        return PeopleSet(options.annotations, options.images, options.limit)
    return SyntheticSet(options.synthetic, 0)


def _evaluate(options: argparse.Namespace) -> int:
    """Print the tables that were asked for."""
    from distill.tasks.pose.report import evaluate_on_crops, evaluate_on_pictures

    people = _people(options)
    if options.whole and options.synthetic is not None:
        raise UserError("--whole needs --annotations and --images")
    print(
        evaluate_on_crops(options.checkpoints, people, options.size, options.flip, options.pictures)
    )
    if options.whole:
        print()
        print(
            evaluate_on_pictures(
                options.checkpoints, options.annotations, options.images, options.size,
                options.flip, options.limit,
            )
        )  # fmt: skip
    return 0


def _crops(options: argparse.Namespace) -> int:
    """Write evaluation crops."""
    from distill.tasks.pose.kit_maps import write_crops

    count = write_crops(_people(options), options.size, options.count, options.out)
    print(f"{count} crops written to {options.out}")
    return 0


def _kit(options: argparse.Namespace) -> int:
    """Compare maps of the firmware; exit status 1 where one differs."""
    from distill.tasks.pose.kit_maps import compare_maps

    table, equal = compare_maps(options.checkpoint, options.maps, _people(options), options.size)
    print(table)
    return 0 if equal else 1


def _curves(options: argparse.Namespace) -> int:
    """Record runs."""
    from distill.tasks.pose.plots import write_curves

    write_curves(options.runs, options.out)
    print(f"curves of {len(options.runs)} runs written to {options.out}")
    return 0


def _plot(options: argparse.Namespace) -> int:
    """Draw the pictures."""
    from distill.tasks.pose.plots import draw

    for path in draw(options.docs, options.out):
        print(f"drawn: {path}")
    return 0


def _export(options: argparse.Namespace) -> int:
    """Write an ONNX file."""
    from distill.tasks.pose.onnx_float import export

    export(options.checkpoint, options.out, options.size)
    print(f"ONNX model written to {options.out}")
    return 0


def _train(stage: str, config: Path | None, overrides: list[str]) -> None:
    """Train what the recipe describes."""
    from distill.engine.recipe import Recipe, TeacherRecipe, load_recipe
    from distill.tasks.pose.train import train_student, train_teacher

    if stage == "teacher":
        train_teacher(load_recipe(config, overrides, TeacherRecipe))
    elif stage == "compare":
        from distill.tasks.pose.compare import CompareRecipe, compare

        print(compare(load_recipe(config, overrides, CompareRecipe)))
    else:
        train_student(load_recipe(config, overrides, Recipe))


STAGES = {
    "eval": _evaluate,
    "export": _export,
    "crops": _crops,
    "kit": _kit,
    "label": run_label,
    "merge": run_merge,
    "curves": _curves,
    "plot": _plot,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; exit status 2 with one sentence for bad input."""
    options, rest = _parser().parse_known_args(arguments)
    if options.stage in TRAINING:  # settings may also stand behind --config
        options.overrides += rest
    elif rest:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if options.stage in TRAINING:
            _train(options.stage, options.config, options.overrides)
            return 0
        return STAGES[options.stage](options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
