"""Command line of the training rooms: ``python -m distill STAGE [--config FILE] [key=value ...]``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from synthesize.chip.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; exit status 2 with one sentence for bad input."""
    parser = argparse.ArgumentParser(prog="python -m distill", description=__doc__)
    parser.add_argument("stage", choices=["student"])
    parser.add_argument("--config", type=Path, help="recipe (YAML)")
    parser.add_argument("overrides", nargs="*", help="recipe settings, key=value")
    options = parser.parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    from distill.config import load_recipe
    from distill.train import train_student

    try:
        recipe = load_recipe(options.config, options.overrides)
        print(f"student written to {train_student(recipe)}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
