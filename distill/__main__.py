"""Command line of training and evaluation.

``python -m distill teacher --config RECIPE.yaml [key=value ...]`` trains a teacher and
``python -m distill student --config RECIPE.yaml [key=value ...]`` a student (float, distilled or
quantisation-aware), both resuming where a killed run stopped;
``python -m distill compare --config RECIPE.yaml teacher=FILE [seeds=[1,2,3]] [key=value ...]``
trains the same student with and without the teacher and prints what it gains;
``python -m distill eval CHECKPOINT ... --annotations SET.json --images DIR`` prints its PCK and,
with ``--whole``, its OKS average precision;
``python -m distill export CHECKPOINT OUT.onnx`` writes any of them as ONNX.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from synthesize.chip.errors import UserError

TRAINING = {
    "teacher": "train a teacher",
    "student": "train a student",
    "compare": "train a student with and without a teacher, over several seeds",
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
    return parser


def _add_evaluation(evaluate: argparse.ArgumentParser) -> None:
    """Options of the eval stage."""
    evaluate.add_argument("checkpoints", type=Path, nargs="+", help="students or teachers")
    evaluate.add_argument("--annotations", type=Path, help="COCO-format keypoint file")
    evaluate.add_argument("--images", type=Path, help="folder of its pictures")
    evaluate.add_argument("--synthetic", type=int, help="instead: so many synthetic pictures")
    evaluate.add_argument("--size", type=int, default=128, help="side of the input (128)")
    evaluate.add_argument("--limit", type=int, help="use only the first pictures")
    evaluate.add_argument("--flip", action="store_true", help="also test with mirrored pictures")
    evaluate.add_argument(
        "--whole", action="store_true",
        help="also whole pictures through the deployment path: OKS average precision",
    )  # fmt: skip
    evaluate.add_argument("--pictures", type=Path, help="folder for the best and worst cases")


def _evaluate(options: argparse.Namespace) -> None:
    """Print the tables that were asked for."""
    from distill.data import PeopleSet, PersonSource, SyntheticSet
    from distill.report import evaluate_on_crops, evaluate_on_pictures

    photographs = options.annotations is not None and options.images is not None
    if photographs == (options.synthetic is not None):
        raise UserError("name a set with --annotations and --images, or --synthetic N pictures")
    if options.size % 8 or options.size < 32:
        raise UserError(f"--size is {options.size}; it must be a multiple of 8, at least 32")
    people: PersonSource
    if photographs:
        people = PeopleSet(options.annotations, options.images, options.limit)
    else:
        if options.whole:
            raise UserError("--whole needs --annotations and --images")
        people = SyntheticSet(options.synthetic, 0)
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


def _export(options: argparse.Namespace) -> None:
    """Write an ONNX file."""
    from distill.onnx_float import export

    export(options.checkpoint, options.out, options.size)
    print(f"ONNX model written to {options.out}")


def _train(stage: str, config: Path | None, overrides: list[str]) -> None:
    """Train what the recipe describes."""
    from distill.config import Recipe, TeacherRecipe, load_recipe
    from distill.train import train_student, train_teacher

    if stage == "teacher":
        train_teacher(load_recipe(config, overrides, TeacherRecipe))
    elif stage == "compare":
        from distill.compare import CompareRecipe, compare

        print(compare(load_recipe(config, overrides, CompareRecipe)))
    else:
        train_student(load_recipe(config, overrides, Recipe))


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
        elif options.stage == "export":
            _export(options)
        else:
            _evaluate(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
