"""Commands called in this program, and what a refusal looks like."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module


def call(module: str, arguments: Sequence[str]) -> int:
    """The exit status of ``module.main``, whether it returns it or argparse raises it."""
    try:
        return int(import_module(module).main(list(arguments)))
    except SystemExit as end:
        return int(end.code or 0)


def refused(said: str) -> None:
    """One sentence, the last line."""
    lines = [line for line in said.splitlines() if not line.startswith(("[", "warning"))]
    assert "error: " in lines[-1]
    assert len([line for line in lines if "error: " in line]) == 1
    assert "Traceback" not in said
