"""Prints the time of a whole compilation beside that of the public generator.

``python -m tests.bench.official_time [CHECKPOINT]`` (part of ``make bench``). Both programs compile
the same description, checkpoint and sample to a C project with its known answer, from the start of
the process to its end, one after the other in turn, after one round that does not count. Processor
time of the process and of those it starts; the median of several. Without ai8x-synthesis
(``AI8X_SYNTHESIS``, see ``make ai8x``) there is no peer.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from common.errors import UserError
from synthesize.ai8x import description, generator
from tests.helpers.places import REPOSITORY

REPEATS = 5
TARGET = 0.07
"""Of the public generator's time."""


def compile_ours(source: Path, out: Path) -> None:
    """Compile what lies in ``source`` with this project, as a process of its own."""
    names = (description.YAML_NAME, description.CHECKPOINT_NAME, description.SAMPLE_NAME)
    network, checkpoint, sample = (str(source / name) for name in names)
    arguments = [network, checkpoint, "--sample", sample, "--quiet", "--out", str(out)]
    subprocess.run([sys.executable, "-m", "synthesize", "compile", *arguments], check=True)


def processor_seconds(action: Callable[[], object]) -> float:
    """Processor time of the processes that an action starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    action()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: Sequence[str]) -> int:
    """Command line; exit status 0 also without the public generator."""
    default = REPOSITORY / "ai8x_models" / "checkpoints" / "seed-q.pth.tar"
    checkpoint = Path(arguments[0]) if arguments else default
    try:
        public = generator.find()
    except UserError:
        public = None
    # As users run both: Python keeps what it has compiled of their modules.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="official-time-") as folder:
        source, ours, theirs = (Path(folder) / name for name in ("source", "ours", "theirs"))
        command = [sys.executable, "-m", "synthesize", "compile", str(checkpoint), "--quiet"]
        subprocess.run([*command, "--out", str(source)], check=True)
        own: list[float] = []
        other: list[float] = []
        for _ in range(1 + REPEATS):
            own.append(processor_seconds(lambda: compile_ours(source, ours)))
            if public is not None:
                other.append(processor_seconds(lambda: generator.generate(public, source, theirs)))
    print(verdict(checkpoint.name, own[1:], other[1:]))
    return 0


def verdict(name: str, own: Sequence[float], other: Sequence[float]) -> str:
    """One line: seconds of both, their ratio, whether the target is met."""
    mine = statistics.median(own)
    line = f"whole compilation of {name}: {mine:.2f} s of processor time"
    line += f" ({min(own):.2f} to {max(own):.2f})"
    if not other:
        return f"{line}; AI8X_SYNTHESIS is not set, so there is no peer"
    peer = statistics.median(other)
    met = "met" if mine <= TARGET * peer else "MISSED"
    line += f"; ai8x-synthesis {peer:.2f} s ({min(other):.2f} to {max(other):.2f})"
    return f"{line}: {mine / peer:.3f} of it, target {TARGET:g}: {met}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
