"""Quantisation-aware fine-tuning of an imported network.

``python -m distill.tasks.own.finetune FLOAT.pth.tar --data FOLDER|FILE.npy --out QAT.pth.tar``
starts from the float network that ``quantize onnx --float`` wrote and trains it at its bits. The
float network itself is the teacher of every output (mean square); where the folder's sub-folders
are classes, cross-entropy with the true class joins it.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ai8x_models.student_file import load_student, save_student
from ai8x_models.students import INPUT, Student
from common.arguments import Parser, real, to_file, whole
from common.console import command_line, progress, say
from common.errors import UserError
from quantize.calibrate import bits_per_layer, calibrate
from quantize.ptq.correct import correct_biases
from quantize.ptq.data import load
from quantize.ptq.run import choose_bits, some

TRIALS = 64


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train."""

    epochs: int = 5
    batch: int = 32
    rate: float = 2e-4
    hard: float = 0.3
    """Share of cross-entropy with the true class; the rest is the teacher's."""
    seed: int = 0


def finetune(
    student: Student, teacher: Student, data: Tensor, labels: Tensor | None, settings: Settings
) -> Student:
    """Train a calibrated (qat) student against its float self, in place.

    Args:
        student: in qat mode; its shifts stay as they are.
        teacher: the same network in float mode.
        data: float32 [N, C, H, W] in the chip's range.
        labels: int64 [N], classes of the first output, or None.
        settings: see there.
    """
    torch.manual_seed(settings.seed)
    parameters = [p for p in student.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=settings.rate)
    steps = settings.epochs * -(-len(data) // settings.batch)
    fade = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1))
    student.train()
    for _ in progress(range(settings.epochs), title="fine-tuning", unit="epoch"):
        for chosen in _batches(len(data), settings.batch):
            with torch.no_grad():
                wanted = teacher(data[chosen])
            found = student.maps(data[chosen])
            loss = _loss(found, wanted, None if labels is None else labels[chosen], settings.hard)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            fade.step()
    return student.eval()


def _batches(count: int, size: int) -> Iterator[Tensor]:
    order = torch.randperm(count)
    for start in range(0, count, size):
        yield order[start : start + size]


def _loss(
    found: tuple[Tensor, ...], wanted: tuple[Tensor, ...], labels: Tensor | None, hard: float
) -> Tensor:
    """Mean square to the teacher's outputs, each over its own power; cross-entropy with labels."""
    parts = [
        F.mse_loss(f, w) / w.square().mean().clamp_min(1e-9)
        for f, w in zip(found, wanted, strict=True)
    ]
    soft = torch.stack(parts).mean()
    if labels is None:
        return soft
    return (1 - hard) * soft + hard * F.cross_entropy(found[0].flatten(1), labels)


def calibrated(student: Student, teacher: Student, data: Tensor, bits: str) -> Student:
    """Calibrate a float student at some bits (a number, or ``fit``: the widest that fit).

    Biases are corrected: at two bits a layer's mean moves so far that training would not recover.
    """
    trial = some(data, TRIALS)
    if bits == "fit":
        chosen = choose_bits(student, trial).bits
    else:
        chosen = bits_per_layer(student, int(bits), {})
    calibrate(student, chosen, trial)
    correct_biases(student, teacher, trial)
    return student


def run(options: argparse.Namespace) -> None:
    """Load, train, write."""
    student, stored = load_student(options.checkpoint)
    if student.mode != "float" or any(layer.bn is not None for _, layer in student.layers()):
        raise UserError(
            f"{options.checkpoint}: fine-tuning starts from a float network without batch norm, as "
            "quantize onnx --float writes it"
        )
    if options.epochs < 1 or not options.rate > 0:
        raise UserError("give at least one epoch and a positive rate")
    factors = stored["extras"].get("real_value_of_one", {})
    one_d = any(spec.op == "conv1d" for spec in student.spec.layers)
    span = (options.input_range[0], options.input_range[1])
    layout = "ncl" if one_d else "nchw"
    found = load(options.data, student.spec.input_shape, layout, options.count, span)
    real = torch.from_numpy(found.inputs) / float(factors.get(INPUT, 1.0))
    data = (torch.floor(real * 128 + 0.5) / 128).clamp(-1, 127 / 128)
    labels = None if found.labels is None else torch.from_numpy(found.labels)
    settings = Settings(options.epochs, rate=options.rate, seed=options.seed)
    teacher = copy.deepcopy(student).eval()
    finetune(calibrated(student, teacher, data, options.bits), teacher, data, labels, settings)
    save_student(student, options.out, options.epochs, {"real_value_of_one": factors})
    say(f"quantisation-aware student written to {options.out}; convert it with quantize convert")


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Fine-tune one network; exit status 2 with one sentence for bad input."""
    parser = Parser(
        prog="python -m distill.tasks.own.finetune",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="float network (quantize onnx --float)")
    parser.add_argument("--data", type=Path, required=True, help="pictures, or inputs as .npy")
    parser.add_argument("--out", type=to_file, required=True, help="checkpoint to write")
    parser.add_argument("--bits", default="fit", choices=("fit", "8", "4", "2", "1"),
                        help="weight bits; fit: the widest that fit (default)")  # fmt: skip
    parser.add_argument("--epochs", type=whole(), default=Settings.epochs, help="%(default)s")
    parser.add_argument("--rate", type=real(above=0), default=Settings.rate, help="%(default)s")
    parser.add_argument("--count", type=whole(), default=100_000, help="most inputs to use")
    parser.add_argument("--seed", type=whole(0), default=0, help="%(default)s")
    parser.add_argument("--input-range", type=real(), nargs=2, default=(-1.0, 1.0),
                        metavar=("BLACK", "WHITE"), help="as for quantize onnx")  # fmt: skip
    run(parser.parse_args(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
