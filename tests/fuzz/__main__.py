"""Fuzzes readers of foreign files: ``python -m tests.fuzz yaml --minutes 10`` (or ``all``).

What is found is written to ``--keep``; ``--replay FILE`` reads one file again. Findings that were
mended go to ``tests/fuzz/corpus/READER/``, which the quick tests read.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from common.console import progress
from tests.fuzz import guard
from tests.fuzz.cases import endless
from tests.fuzz.readers import READERS


def main(arguments: list[str] | None = None) -> int:
    """Return 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("reader", choices=(*READERS, "all"), metavar="READER", nargs="?",
                        default="all", help=f"{', '.join(READERS)}, or all")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=10, help="for each reader")
    parser.add_argument("--count", type=int, help="stop after this many files")
    parser.add_argument("--seed", type=int, default=0, help="number of the first file")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="read this file, nothing else")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), metavar="DIR")
    options = parser.parse_args(arguments)
    if options.replay:
        READERS[options.reader]()(options.replay)
        return 0
    names = list(READERS) if options.reader == "all" else [options.reader]
    found = [_fuzz(name, options) for name in names]
    return int(any(found))


def _fuzz(name: str, options: argparse.Namespace) -> bool:
    seconds = 60 * options.minutes

    def until(files: Iterator[bytes]) -> Iterator[bytes]:
        """Files until the time is over."""
        with progress(title=name, total=round(seconds), unit="s") as bar:
            for content in itertools.islice(files, options.count):
                passed = time.monotonic() - started
                if passed > seconds:
                    return
                bar.update(int(passed) - bar.n)
                yield content

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tally = guard.run(READERS[name](), until(endless(name, options.seed)), Path(folder))
    seen: set[str] = set()
    for finding in tally.findings:
        if (kind := finding.what[-200:]) not in seen:
            seen.add(kind)
            path = options.keep / name / hashlib.sha256(finding.content).hexdigest()[:12]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(finding.content)
            print(f"{name}: {path}\n{finding.what}", file=sys.stderr)
    print(
        f"{name}: {time.monotonic() - started:.0f} s, {tally.read} read, {tally.refused} refused, "
        f"{len(tally.findings)} findings of {len(seen)} kinds",
        flush=True,
    )
    return bool(seen)


if __name__ == "__main__":
    sys.exit(main())
