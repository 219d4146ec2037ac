"""Runs the known-answer tests that ai8x-synthesis wrote on the virtual kit.

``python -m tests.bench.vendor_on_kit WORK [NAME ...]`` takes the projects that
``python -m synthesize.ai8x.vendor --work WORK`` left, builds each unchanged with a stand-in for the
vendor SDK, runs it and prints PASS or what stopped it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from evalkit.hardware.faults import KitFault
from evalkit.kit import Kit
from synthesize.ai8x import generator
from synthesize.write import elf


def verdict(project: Path) -> str:
    """Return PASS, FAIL or the sentence that stopped the firmware."""
    with tempfile.TemporaryDirectory(prefix="vendor-kit-") as folder:
        try:
            image = elf.build(generator.firmware(project, Path(folder) / "firmware"))
            kit = Kit(image)
            kit.run_until(None)
        except (UserError, KitFault) as error:
            return str(error)
        text = kit.uart_text()
    return "PASS" if "*** PASS ***" in text else "FAIL"


def main(arguments: Sequence[str]) -> int:
    """Command line: 0 when all pass."""
    work = Path(arguments[0])
    names = arguments[1:]
    results = []
    for project in sorted(path.parent for path in work.glob("*/cnn.c")):
        if names and project.name not in names:
            continue
        results.append(verdict(project))
        print(f"{project.name}: {results[-1]}", flush=True)
    print(f"{results.count('PASS')} of {len(results)} pass")
    return int(results.count("PASS") < len(results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
