"""Prints how many pictures a second the integer students compute on one thread.

``python -m tests.bench.integer_student`` (part of ``make bench``). Processor time, the best of
three batches.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from ai8x_models.student_file import load_student

CHECKPOINTS = Path(__file__).resolve().parents[2] / "ai8x_models" / "checkpoints"
BATCH = 8
TARGET = 60.0
"""Pictures a second of processor time."""


@torch.no_grad()
def rate(name: str) -> float:
    """Pictures of 128x128 a second of processor time."""
    student, _ = load_student(CHECKPOINTS / f"{name}-q.pth.tar")
    student.eval()
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(-128, 128, (BATCH, 3, 128, 128), generator=generator).float()
    times = []
    for _ in range(3):
        start = time.process_time()
        student(pictures)
        times.append(time.process_time() - start)
    return BATCH / min(times)


def main() -> int:
    """Time the pose students."""
    torch.set_num_threads(1)
    for name in ("native", "seed", "tiny"):
        print(f"integer student {name}: {rate(name):.0f} pictures/s (target {TARGET:.0f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
