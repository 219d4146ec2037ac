"""Command line of training and evaluation.

``python -m distill student --config RECIPE.yaml [key=value ...]`` trains a student (float or
quantisation-aware), resuming where a killed run stopped;
``python -m distill eval CHECKPOINT ... --annotations SET.json --images DIR`` prints its PCK.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from synthesize.chip.errors import UserError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m distill", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    stages = parser.add_subparsers(dest="stage", required=True)
    student = stages.add_parser("student", help="train a student")
    student.add_argument("--config", type=Path, help="recipe (YAML)")
    student.add_argument("overrides", nargs="*", help="recipe settings, key=value")
    evaluate = stages.add_parser("eval", help="PCK of checkpoints on a COCO-format set")
    evaluate.add_argument("checkpoints", type=Path, nargs="+")
    evaluate.add_argument("--annotations", type=Path, required=True)
    evaluate.add_argument("--images", type=Path, required=True)
    evaluate.add_argument("--limit", type=int, help="use only the first pictures")
    evaluate.add_argument("--flip", action="store_true", help="average with the mirrored picture")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; exit status 2 with one sentence for bad input."""
    options, rest = _parser().parse_known_args(arguments)
    if options.stage == "student":  # settings may also stand behind --config
        options.overrides += rest
    elif rest:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if options.stage == "student":
            from distill.config import load_recipe
            from distill.train import train_student

            recipe = load_recipe(options.config, options.overrides)
            print(f"student written to {train_student(recipe)}")
        else:
            from distill.evaluate import evaluate_files

            print(
                evaluate_files(
                    options.checkpoints,
                    options.annotations,
                    options.images,
                    options.limit,
                    options.flip,
                )
            )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
