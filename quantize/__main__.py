"""Command line of quantisation.

``python -m quantize convert QAT.pth.tar OUT-q.pth.tar`` writes the integer checkpoint (the word
``convert`` may be left out);
``python -m quantize bits STUDENT.pth.tar --images DIR --out bits.yaml`` chooses the weight bits of
every layer for a float student;
``python -m quantize equalize STUDENT.pth.tar OUT.pth.tar --images DIR`` folds batch norm and levels
the weight ranges, for a ``start_from`` of quantisation-aware training.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from common.console import command_line

COMMANDS = ("convert", "bits", "equalize")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m quantize",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    convert = commands.add_parser("convert", help="write the integer checkpoint of a student")
    convert.add_argument("checkpoint", type=Path, help="student after quantisation-aware training")
    convert.add_argument("out", type=Path, help="integer checkpoint to write")
    convert.add_argument(
        "--compact", action="store_true", help="weights as bytes: a quarter of the file"
    )
    bits = commands.add_parser("bits", help="choose the weight bits of every layer")
    bits.add_argument("checkpoint", type=Path, help="float student (student.pth.tar)")
    bits.add_argument("--images", type=Path, required=True, help="folder of pictures to measure on")
    bits.add_argument("--out", type=Path, required=True, help="YAML file, the qat part of a recipe")
    bits.add_argument("--count", type=int, default=64, help="pictures to use (%(default)s)")
    bits.add_argument(
        "--widths",
        type=int,
        nargs="+",
        choices=(1, 2, 4, 8),
        default=(2, 4, 8),
        help="widths to choose from (2 4 8)",
    )
    bits.add_argument("--max-cycles", type=int, help="most cycles of one inference")
    level = commands.add_parser("equalize", help="fold batch norm and level the weight ranges")
    level.add_argument("checkpoint", type=Path, help="float student (student.pth.tar)")
    level.add_argument("out", type=Path, help="float student to write")
    level.add_argument("--images", type=Path, required=True, help="folder of pictures to watch")
    level.add_argument("--count", type=int, default=64, help="pictures to use (%(default)s)")
    return parser


def convert(checkpoint: Path, out: Path, compact: bool = False) -> None:
    """Write the integer checkpoint of a student after quantisation-aware training."""
    from ai8x_models.student_file import load_student, save_student
    from quantize.integer import integer_extras, to_integer

    student, data = load_student(checkpoint)
    to_integer(student)
    described = {"network", "input", "outputs", "mode"}
    extras = {k: v for k, v in data["extras"].items() if k not in described}
    save_student(student, out, data["epoch"], integer_extras(student, extras), compact)
    print(f"integer student written to {out}")


def _equalize(options: argparse.Namespace) -> None:
    from ai8x_models.student_file import load_student, save_student
    from quantize.equalize import equalize
    from quantize.fold import fold_batchnorm
    from quantize.sensitivity import calibration_images

    student, data = load_student(options.checkpoint)
    channels, size, _ = student.spec.input_shape
    images = calibration_images(options.images, options.count, size, channels)
    levelled = equalize(fold_batchnorm(student), images)
    save_student(student, options.out, data["epoch"], {})
    print(f"{levelled} channels levelled; float student written to {options.out}")


def _choose(options: argparse.Namespace) -> None:
    from quantize.bits import write_bits

    found = write_bits(
        options.checkpoint,
        options.images,
        options.out,
        options.count,
        options.widths,
        options.max_cycles,
    )
    print(" ".join(f"{name}={bits}" for name, bits in found.bits.items()))
    print(f"bits per layer written to {options.out}")


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Run one command; exit status 2 with one sentence for bad input."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments and arguments[0] not in COMMANDS and not arguments[0].startswith("-"):
        arguments.insert(0, "convert")
    options = _parser().parse_args(arguments)
    if options.command == "bits":
        _choose(options)
    elif options.command == "equalize":
        _equalize(options)
    else:
        convert(options.checkpoint, options.out, options.compact)
    return 0


if __name__ == "__main__":
    sys.exit(main())
