"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers.places import find_shared

if "PYTEST_XDIST_WORKER" in os.environ:
    # Several processes share the cores: one thread each, theirs and their children's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with golden/ and data/; the test is skipped where there is none."""
    path = find_shared()
    if path is None:
        pytest.skip("golden and photograph folder not found (set POSE78_SHARED to its path)")
    return path
