"""Command line of quantisation.

``python -m quantize convert QAT.pth.tar OUT-q.pth.tar`` writes the integer checkpoint (the word
``convert`` may be left out);
``python -m quantize bits STUDENT.pth.tar --images DIR --out bits.yaml`` chooses the weight bits of
every layer for a float student;
``python -m quantize equalize STUDENT.pth.tar OUT.pth.tar --images DIR`` folds batch norm and levels
the weight ranges, for a ``start_from`` of quantisation-aware training;
``python -m quantize onnx MODEL.onnx --calibrate FOLDER|FILE.npy -o q.onnx`` quantises any float or
QDQ model (the word ``onnx`` may be left out).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from common.arguments import Parser, to_file, whole
from common.console import command_line, program, say
from common.texts import counted
from quantize.ptq.command import add_onnx, run_onnx

COMMANDS = ("convert", "bits", "equalize", "onnx", "project")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=program("python -m quantize"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    convert = commands.add_parser("convert", help="write the integer checkpoint of a student")
    convert.add_argument("checkpoint", type=Path, help="student after quantisation-aware training")
    convert.add_argument("out", type=to_file, help="integer checkpoint to write")
    convert.add_argument(
        "--compact", action="store_true", help="weights as bytes: a quarter of the file"
    )
    bits = commands.add_parser("bits", help="choose the weight bits of every layer")
    bits.add_argument("checkpoint", type=Path, help="float student (student.pth.tar)")
    bits.add_argument("--images", type=Path, required=True, help="folder of pictures to measure on")
    bits.add_argument(
        "--out", type=to_file, required=True, help="YAML file, the qat part of a recipe"
    )
    bits.add_argument("--count", type=whole(), default=64, help="pictures to use (%(default)s)")
    bits.add_argument(
        "--widths",
        type=whole(),
        nargs="+",
        choices=(1, 2, 4, 8),
        default=(2, 4, 8),
        help="widths to choose from (2 4 8)",
    )
    bits.add_argument("--max-cycles", type=whole(), help="most cycles of one inference")
    level = commands.add_parser("equalize", help="fold batch norm and level the weight ranges")
    level.add_argument("checkpoint", type=Path, help="float student (student.pth.tar)")
    level.add_argument("out", type=to_file, help="float student to write")
    level.add_argument("--images", type=Path, required=True, help="folder of pictures to watch")
    level.add_argument("--count", type=whole(), default=64, help="pictures to use (%(default)s)")
    add_onnx(commands)
    _add_project(commands)
    return parser


def _add_project(commands: Any) -> None:
    """Add the command for models of ai8x-training projects."""
    parser = commands.add_parser("project", help="quantise a model written for ai8x-training")
    parser.add_argument("model", help="MODEL.py:NAME, a file you trust and the model in it")
    parser.add_argument("checkpoint", type=Path, help="its checkpoint (.pth.tar)")
    parser.add_argument("--input", required=True, metavar="C,H,W", help="input: 3,32,32 or 128,64")
    parser.add_argument(
        "--classes", type=whole(), help="num_classes of the model (its own default)"
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="FILE.npy",
        help="inputs [N, C, H, W] of -1 to 127/128, for float checkpoints",
    )
    parser.add_argument("-o", "--out", type=to_file, required=True, help="checkpoint to write")


def convert(checkpoint: Path, out: Path, compact: bool = False) -> None:
    """Write the integer checkpoint of a student, or of an ai8x-training project, after training."""
    from ai8x_models.student_file import (
        load_student,
        read_checkpoint,
        save_student,
        write_checkpoint,
    )
    from ai8x_models.students import SPECS
    from quantize.ai8x_state import integer_state, is_foreign
    from quantize.integer import integer_extras, to_integer

    found = read_checkpoint(checkpoint)
    if is_foreign(found) and str(found.get("arch")) not in SPECS:
        state = integer_state(found["state_dict"], str(checkpoint))
        extras = {"clipping_method": "MAX_BIT_SHIFT"}
        kept = {"epoch": found.get("epoch", 0), "arch": str(found.get("arch", ""))}
        write_checkpoint({**kept, "state_dict": state, "extras": extras}, out)
        say(f"integer checkpoint written to {out}; compile it with its network description")
        return
    student, data = load_student(checkpoint)
    to_integer(student)
    described = {"network", "input", "outputs", "mode"}
    extras = {k: v for k, v in data["extras"].items() if k not in described}
    save_student(student, out, data["epoch"], integer_extras(student, extras), compact)
    say(f"integer student written to {out}")


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
    say(f"{counted(levelled, 'channel')} levelled; float student written to {options.out}")


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
    say(" ".join(f"{name}={bits}" for name, bits in found.bits.items()))
    say(f"bits per layer written to {options.out}")


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Run one command; exit status 2 with one sentence for bad input."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments and arguments[0] not in COMMANDS and not arguments[0].startswith("-"):
        arguments.insert(0, "onnx" if arguments[0].endswith(".onnx") else "convert")
    options = _parser().parse_args(arguments)
    if options.command == "onnx":
        run_onnx(options)
    elif options.command == "project":
        from quantize.project import run_project

        run_project(options)
    elif options.command == "bits":
        _choose(options)
    elif options.command == "equalize":
        _equalize(options)
    else:
        convert(options.checkpoint, options.out, options.compact)
    return 0


if __name__ == "__main__":
    sys.exit(main())
