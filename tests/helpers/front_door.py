"""Calls of the Makefile, as somebody would make them who has set nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What a make that runs the tests hands on to its children.
_HANDED_ON = (
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
    "IMAGE",
    "CHECKPOINT",
    "NETWORK",
    "SAMPLE",
    "TASK",
    "STUDENT",
)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call make with the Python that runs the tests, results going to ``folder``."""
    # -o: this Python has what it needs; nothing is to be installed.
    fixed = ["make", "-o", f"{sys.prefix}/.ready", f"VENV={sys.prefix}", f"BUILD={folder}"]
    env = {name: value for name, value in os.environ.items() if name not in _HANDED_ON}
    return subprocess.run([*fixed, *arguments], cwd=ROOT, env=env, capture_output=True, text=True)
