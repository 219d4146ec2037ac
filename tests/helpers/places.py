"""Where things lie: the repository, and the folder of golden cases and photographs."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def find_shared() -> Path | None:
    """Folder of golden cases and photographs, if this machine has it.

    ``POSE78_SHARED`` names it; otherwise ``shared`` next to the repository is tried.
    """
    path = Path(os.environ.get("POSE78_SHARED", REPOSITORY.parent / "shared"))
    return path if path.is_dir() else None
