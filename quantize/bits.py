"""Bits per layer of a trained student, chosen for the chip, as a piece of a training recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ai8x_models.student_file import load_student
from common.console import progress
from common.files import check_writable, write_file
from quantize.fold import fold_batchnorm
from quantize.sensitivity import calibration_images, sensitivity
from synthesize.chip import limits
from synthesize.place.bits import Allocation, allocate, graph_of


def choose_bits(
    checkpoint: Path,
    images: Path,
    count: int = 64,
    widths: Sequence[int] = (2, 4, 8),
    max_cycles: int | None = None,
) -> tuple[Allocation, dict[str, dict[int, float]]]:
    """Measure a float student's sensitivity and choose the best bits that fit the chip.

    Args:
        checkpoint: float student (``student.pth.tar``).
        images: folder of calibration pictures.
        count: pictures to use.
        widths: widths to choose from.
        max_cycles: most CNN clock cycles of one inference.

    Returns:
        The choice, and the measured costs by layer and width.

    Raises:
        UserError: bad input, or the network does not fit at any allowed width.
    """
    student, _ = load_student(checkpoint)
    description = student.spec.describe()
    channels, size, _ = student.spec.input_shape
    pictures = calibration_images(images, count, size, channels)
    fold_batchnorm(student)
    count = sum(1 for _ in student.layers())
    with progress(title="sensitivity", total=count, unit="layer") as bar:

        def move(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        costs = sensitivity(student, pictures, widths, move)
    return allocate(graph_of(student.spec.name, description), costs, max_cycles), costs


def recipe(found: Allocation, costs: Mapping[str, Mapping[int, float]], source: str) -> str:
    """Return the choice as the ``qat`` part of a recipe, with the measured table as comment."""
    default = Counter(found.bits.values()).most_common(1)[0][0]
    others = {name: bits for name, bits in found.bits.items() if bits != default}
    widths = sorted(next(iter(costs.values())))
    words = f"{found.fullest} of {limits.WEIGHT_WORDS}"
    lines = [
        f"# Weight bits chosen for {source}: the least error of the output maps that fits.",
        f"# {words} kernel words in the fullest processor, {found.weight_bytes:,} weight bytes,",
        f"# {found.cycles:,} cycles.",
        "#",
        "# Mean squared error of the output maps when one layer alone has so many bits:",
        "# " + f"{'layer':<16}" + "".join(f"{f'{bits} bits':>12}" for bits in widths),
    ]
    for name, table in costs.items():
        values = "".join(
            f"{f'{table[bits]:.2e}' + ('*' if bits == found.bits[name] else ' '):>12}"
            for bits in widths
        )
        lines.append(f"# {name:<16}{values}")
    chosen = ", ".join(f"{name}: {bits}" for name, bits in others.items())
    lines += ["qat:", "  enabled: true", f"  default_bits: {default}", f"  bits: {{{chosen}}}"]
    return "\n".join(lines) + "\n"


def write_bits(
    checkpoint: Path,
    images: Path,
    out: Path,
    count: int = 64,
    widths: Sequence[int] = (2, 4, 8),
    max_cycles: int | None = None,
) -> Allocation:
    """Choose bits (see :func:`choose_bits`) and write them to a YAML file.

    Raises:
        UserError: as :func:`choose_bits`, or the file cannot be written.
    """
    check_writable(out)
    found, costs = choose_bits(checkpoint, images, count, widths, max_cycles)
    write_file(out, recipe(found, costs, checkpoint.name))
    return found
