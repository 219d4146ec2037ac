"""Command line: ``python -m quantize QAT.pth.tar OUT-q.pth.tar`` writes the integer checkpoint."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from synthesize.chip.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Convert one checkpoint; exit status 2 with one sentence for bad input."""
    parser = argparse.ArgumentParser(prog="python -m quantize", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="student after quantisation-aware training")
    parser.add_argument("out", type=Path, help="integer checkpoint to write")
    options = parser.parse_args(arguments)
    from ai8x_models.checkpoints import load_student, save_student
    from quantize.integer import integer_extras, to_integer

    try:
        student, data = load_student(options.checkpoint)
        to_integer(student)
        described = {"network", "input", "outputs", "mode"}
        extras = {k: v for k, v in data["extras"].items() if k not in described}
        save_student(student, options.out, data["epoch"], integer_extras(student, extras))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"integer student written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
