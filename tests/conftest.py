"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def find_shared() -> Path | None:
    """Folder of golden cases and photographs, if this machine has it.

    ``POSE78_SHARED`` names it; otherwise ``shared`` next to the repository is tried.
    """
    path = Path(os.environ.get("POSE78_SHARED", REPOSITORY.parent / "shared"))
    return path if path.is_dir() else None


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with golden/ and data/; the test is skipped where there is none."""
    path = find_shared()
    if path is None:
        pytest.skip("golden and photograph folder not found (set POSE78_SHARED to its path)")
    return path
