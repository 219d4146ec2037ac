"""Calls of the Makefile, as somebody would make them who has set nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def bare_environment() -> dict[str, str]:
    """The environment without what make, if it runs these tests, has put there."""
    named = (ROOT / "Makefile").read_text().split("named :=", 1)[1].split("\n$(foreach", 1)[0]
    put = set(named.replace("\\\n", " ").split())
    return {
        key: value
        for key, value in os.environ.items()
        if key not in put and not key.startswith(("MAKE", "MFLAGS"))
    }


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call make with the Python that runs the tests, results going to ``folder``."""
    # -o: this Python has what it needs; nothing is to be installed.
    fixed = ["make", "-o", f"{sys.prefix}/.ready", f"VENV={sys.prefix}", f"BUILD={folder}"]
    return subprocess.run(
        [*fixed, *arguments], cwd=ROOT, env=bare_environment(), capture_output=True, text=True
    )
