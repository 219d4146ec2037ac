"""Prints how long each golden case takes to compile, its known answer included.

``python -m tests.bench.compile_times`` (part of ``make bench``). Wall time is the best of three.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from synthesize.compiler import compile_network
from synthesize.read import checkpoint
from tests.helpers.places import find_shared

REPEATS = 3


def seconds(folder: Path) -> float:
    """Best wall time of compiling one case and computing its known answer."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        sample = np.load(folder / "input.npy")
        compiled = compile_network(
            checkpoint.load(folder / "checkpoint.npz"),
            folder / "network.yaml",
            sample.shape,
            trust_placement=True,
        )
        compiled.program.known_answer(compiled.known_answer(sample))
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> int:
    """Time every case; exit status 0 also where there are none."""
    shared = find_shared()
    if shared is None:
        print("compile times: golden cases not found (set POSE78_SHARED to their folder)")
        return 0
    print("compile time with known answer, seconds")
    for folder in sorted(p.parent for p in (shared / "golden").glob("*/network.yaml")):
        print(f"  {folder.name:<18}{seconds(folder):7.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
