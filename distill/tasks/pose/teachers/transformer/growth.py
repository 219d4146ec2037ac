"""How time and memory of the encoder grow with the number of tokens, beside a quadratic form.

``python -m distill pose growth -o picture.png`` measures inference on one thread, on
grids up to ten times as wide and high as in training, and draws time and memory: of one encoder
block in both forms, and of the whole transformer (with 10 persons, 180 queries).
Memory is the largest sum of living tensors that PyTorch's allocator reports, without the weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from common.arguments import Parser, to_file
from common.errors import UserError
from distill.tasks.pose.teachers.transformer.model import (
    Decoder,
    Encoder,
    EncoderBlock,
    Shape,
    grid,
    place_code,
)

TRAINED = 16  # cells along a side at stride 8 and 128 pixels
SIDES = (16, 32, 48, 64, 96, 128, 160)
# The matrix of weights takes 4 bytes x heads x tokens squared: 10 GB at the widest grid.
LARGEST_QUADRATIC = 64
# What is measured, and how it is drawn.
KINDS = {
    "linear": "one encoder block, linear attention",
    "explicit": "one encoder block, quadratic form",
    "whole": "whole transformer: 4 blocks, 6 decoder layers",
}
_MARKS = {"linear": "o-", "explicit": "s--", "whole": "^-"}


@dataclass(frozen=True)
class Cost:
    """Of a pass: seconds (the best of some passes) and the peak of living bytes."""

    kind: str
    side: int
    seconds: float
    peak: int

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return self.side**2


def _peak(run: Callable[[], object]) -> int:
    """Largest sum of bytes that tensors made by a pass occupy at one time."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    now = peak = 0
    changes = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(changes, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def _block(kind: str, side: int, width: int) -> Callable[[], object]:
    """A pass of one encoder block on ``side`` x ``side`` tokens."""
    block = EncoderBlock(Shape(width=width, attention=kind)).eval()
    x = torch.randn(1, side * side, width)
    place = place_code(grid(side, side, x.device), width).unsqueeze(0)
    return lambda: block(x, place)


def _whole(side: int, width: int) -> Callable[[], object]:
    """A pass of encoder and decoder on features of ``side`` x ``side`` cells."""
    shape = Shape(width=width)
    encoder, decoder = Encoder((width,), shape).eval(), Decoder(shape).eval()
    x = torch.randn(1, width, side, side)
    return lambda: decoder(encoder([x]))


@torch.inference_mode()
def measure(kind: str, side: int, width: int = 128, repeats: int = 3) -> Cost:
    """Cost of a pass on ``side`` x ``side`` tokens; ``kind`` is one of :data:`KINDS`."""
    torch.manual_seed(0)
    run = _whole(side, width) if kind == "whole" else _block(kind, side, width)
    peak = _peak(run)  # warms up too
    seconds = []
    for _ in range(repeats):
        start = time.thread_time()  # of this thread: other jobs on the machine do not count
        run()
        seconds.append(time.thread_time() - start)
    return Cost(kind, side, min(seconds), peak)


def sweep() -> list[Cost]:
    """All costs of the picture, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            measure(kind, side, repeats=5)
            for kind in KINDS
            for side in SIDES
            if kind != "explicit" or side <= LARGEST_QUADRATIC
        ]
    finally:
        torch.set_num_threads(threads)


def baseline_table(costs: list[Cost]) -> str:
    """Markdown: a row per grid and form."""
    lines = [
        "| grid | tokens | of | ms | us per token | MiB | bytes per token |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for c in costs:
        lines.append(
            f"| {c.side} x {c.side} | {c.tokens} | {c.kind} | {1e3 * c.seconds:.1f} | "
            f"{1e6 * c.seconds / c.tokens:.2f} | {c.peak / 2**20:.1f} | {c.peak / c.tokens:.0f} |"
        )
    return "\n".join(lines)


def draw(costs: list[Cost], path: Path) -> None:
    """Two panels, time and memory over tokens, both axes logarithmic."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        raise UserError(
            "the picture needs matplotlib; install it with pip install 'pose78[train]', or "
            "leave out -o"
        ) from None
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.6))
    for kind, label in KINDS.items():
        of = [c for c in costs if c.kind == kind]
        tokens = [c.tokens for c in of]
        panels[0].plot(tokens, [1e3 * c.seconds for c in of], _MARKS[kind], label=label)
        panels[1].plot(tokens, [c.peak / 2**20 for c in of], _MARKS[kind], label=label)
    for panel, title in zip(panels, ("time, ms", "peak memory, MiB"), strict=True):
        panel.set(xscale="log", yscale="log", xlabel="tokens", title=title)
        panel.axvline(TRAINED**2, color="grey", linewidth=0.8)
        panel.axvline((10 * TRAINED) ** 2, color="grey", linewidth=0.8, linestyle=":")
        panel.grid(alpha=0.3)
    panels[1].legend(fontsize=8, loc="lower right")
    figure.suptitle("training grid (grey line) to ten times its sides (dotted)")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(arguments: list[str]) -> int:
    """``[-o PICTURE.png]``: the table, and the picture if it is asked for."""
    parser = Parser(prog="python -m distill pose growth", description=__doc__)
    parser.add_argument("-o", "--output", type=to_file, help="picture (PNG or SVG)")
    options = parser.parse_args(arguments)
    costs = sweep()
    print(baseline_table(costs))
    if options.output is not None:
        draw(costs, options.output)
    return 0
