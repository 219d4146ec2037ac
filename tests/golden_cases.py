"""Golden cases: recordings of the reference generator, each a folder with trace.npz."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import find_shared


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
