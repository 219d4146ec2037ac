"""Golden cases: networks with recorded programs and known answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from synthesize.compiler import compile_network
from synthesize.read import checkpoint
from tests.helpers.golden_cases import CASES, WRONG_PLACEMENT, Case

_COMPILED: dict[str, Case] = {}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, shared_dir: Path) -> Case:
    """Every golden case, compiled once per session."""
    name = request.param
    if name not in _COMPILED:
        folder = shared_dir / "golden" / name
        sample = np.load(folder / "input.npy")
        compiled = compile_network(
            checkpoint.load(folder / "checkpoint.npz"),
            folder / "network.yaml",
            sample.shape,
            trust_placement=name in WRONG_PLACEMENT,
        )
        _COMPILED[name] = Case(name, folder, sample, compiled)
    return _COMPILED[name]


@pytest.fixture
def ai8x(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The official layers, of the checkout that the environment variable AI8X_TRAINING names."""
    folder = os.environ.get("AI8X_TRAINING", "")
    if not Path(folder, "ai8x.py").is_file():
        pytest.skip("AI8X_TRAINING does not name a checkout of ai8x-training")
    monkeypatch.syspath_prepend(folder)
    import ai8x  # type: ignore[import-not-found]

    yield ai8x
    for name in ("ai8x", "devices"):
        sys.modules.pop(name, None)
