"""The command ``quantize onnx``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.arguments import real, to_file, whole
from common.console import note, say
from common.errors import UserError
from common.files import check_writable, write_file
from common.texts import console, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantize.ptq.data import Calibration
    from quantize.ptq.net import Net
    from quantize.ptq.run import Result


def add_onnx(commands: Any) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("onnx", help="quantise any float or QDQ ONNX model")
    parser.add_argument("model", type=Path, help="ONNX model")
    parser.add_argument(
        "--calibrate", type=Path, metavar="FOLDER|FILE.npy",
        help="pictures (sub-folders are classes), or inputs as the model reads them; without it "
        "only what stands in the way is said",
    )  # fmt: skip
    parser.add_argument(
        "-o",
        "--out",
        type=to_file,
        help="quantised model to write: .onnx, or .pth.tar (checkpoint)",
    )
    parser.add_argument(
        "--judge", type=Path, metavar="FOLDER|FILE.npy",
        help="other pictures or inputs, to compare with the model on (those of --calibrate)",
    )  # fmt: skip
    parser.add_argument("--count", type=whole(), default=256, help="inputs to use (%(default)s)")
    parser.add_argument(
        "--input-range", type=real(), nargs=2, metavar=("BLACK", "WHITE"),
        help="what the model reads for black and white pictures (-1 1; of whole numbers 0 255)",
    )  # fmt: skip
    parser.add_argument(
        "--bits", type=whole(), nargs="+", choices=(1, 2, 4, 8), default=(8, 4, 2),
        help="weight bits to choose from (8 4 2)",
    )  # fmt: skip
    parser.add_argument(
        "--approximate", action="store_true",
        help="replace what the chip does not have by the nearest thing it has, where there is one",
    )  # fmt: skip
    parser.add_argument("--report", type=to_file, help="write what was measured as JSON")
    parser.add_argument(
        "--float", type=to_file, dest="floating", metavar="OUT.pth.tar",
        help="write the float network too, for quantisation-aware training",
    )  # fmt: skip


def run_onnx(options: argparse.Namespace) -> None:
    """Quantise a model and say what it cost."""
    if options.out is not None:
        _check_kind(options.out)
    for path in (options.out, options.report, options.floating):
        if path is not None:
            check_writable(path)
    from quantize.ptq import data
    from quantize.ptq.report import as_data, as_text
    from quantize.ptq.run import quantize, understand

    if options.calibrate is None:
        understand(options.model, options.approximate)
        raise UserError(
            f"{options.model}: the chip has all it needs; give inputs with --calibrate to quantise "
            "it"
        )
    if options.out is None:
        raise UserError("name the file to write with -o")
    span = None if options.input_range is None else tuple(options.input_range)

    def source(path: Path) -> Callable[[Net], Calibration]:
        return lambda net: data.load(
            path, net.ops["input"].shape, net.layout, options.count, span, net.input_type
        )

    result = quantize(
        options.model, source(options.calibrate), options.bits, options.approximate,
        lambda text: note(one_line(f"... {text}")),
        source(options.judge) if options.judge is not None else None,
    )  # fmt: skip
    write(result, options.out)
    if options.floating is not None:
        write_float(result, options.floating)
    if options.report is not None:
        write_file(options.report, json.dumps(as_data(result), indent=1) + "\n")
    print(console(as_text(result)), end="")
    say(f"quantised model written to {options.out}")


def write(result: Result, out: Path) -> None:
    """Write the integer network, as ONNX or as a checkpoint by the file's name.

    Raises:
        UserError: another kind of file, or it cannot be written.
    """
    from ai8x_models.student_file import save_student
    from quantize.integer import integer_extras
    from quantize.onnx_export import to_onnx

    if out.name.endswith((".pth.tar", ".pth")):
        extras = integer_extras(result.student, {"real_value_of_one": result.factors})
        save_student(result.student, out, 0, extras)
    elif out.suffix == ".onnx":
        model = to_onnx(result.student, exact=False, factors=result.factors)
        write_file(out, model.SerializeToString())
    else:
        _check_kind(out)


def _check_kind(out: Path) -> None:
    """Refuse a name that says nothing of what is to be written."""
    if not out.name.endswith((".pth.tar", ".pth", ".onnx")):
        raise UserError(f"{out}: name a file ending in .onnx or .pth.tar")


def write_float(result: Result, out: Path) -> None:
    """Write the float network, in the chip's range, as a student that training can start from."""
    from ai8x_models.student_file import save_student

    save_student(result.floating, out, 0, {"real_value_of_one": result.factors})
