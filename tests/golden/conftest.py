"""Golden cases: networks with recorded programs and known answers."""

from __future__ import annotations

from pathlib import Path

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
