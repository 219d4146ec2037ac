"""Golden cases: networks with recorded programs and known answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from synthesize.compiler import Compiled, compile_network
from synthesize.read import checkpoint

CASES = (
    *("autoencoder", "cats-dogs", "cifar-10", "kws20_v3", "mnist-extrasmall", "pose659"),
    *("rnd_keypoints", "rnd_lifter", "rnd_lowbit", "rnd_odd", "rnd_residual", "rnd_upsample"),
    "svhn_tinierssd",
)

# Recorded programs that do not compute their own known answer; the words are those of the finding.
WRONG_PLACEMENT = {
    "rnd_residual": "layer add: it reads c2, channel 0, at 0x50400008",
}
"""The second operand of ``add`` lies at 0x4000 while the layer reads both from 0, interleaved."""


@dataclass(frozen=True)
class Case:
    """One golden case, compiled."""

    name: str
    folder: Path
    sample: np.ndarray
    compiled: Compiled


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
