"""Golden cases: recordings of the reference generator, each a folder with trace.npz."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from synthesize.compiler import Compiled
from tests.helpers.places import find_shared

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


def golden_cases() -> list[Path]:
    """All recorded cases of this machine, also ones that came later."""
    shared = find_shared()
    if shared is None:
        return []
    return sorted(p.parent for p in (shared / "golden").glob("*/trace.npz"))


def every_case() -> pytest.MarkDecorator:
    """Parametrise ``golden_case`` over all cases; skipped with a reason where there are none."""
    cases = golden_cases()
    if cases:
        return pytest.mark.parametrize("golden_case", cases, ids=lambda p: p.name)
    reason = "golden cases not found (set POSE78_SHARED to the folder with golden/)"
    return pytest.mark.parametrize(
        "golden_case", [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    )
