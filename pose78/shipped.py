"""The integer students that come with the package, by name; importing this costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError

CHECKPOINTS = Path(__file__).resolve().parent.parent / "ai8x_models" / "checkpoints"
SUFFIX = "-q.pth.tar"


def shipped() -> dict[str, Path]:
    """Their checkpoints, by name."""
    return {p.name.removesuffix(SUFFIX): p for p in sorted(CHECKPOINTS.glob(f"*{SUFFIX}"))}


def find(name: str | Path) -> Path:
    """The checkpoint that is meant: a student of the package by name, or a file.

    Raises:
        UserError: there is no such student and no such file.
    """
    known = shipped()
    if str(name) in known:
        return known[str(name)]
    if not Path(name).is_file():
        raise UserError(
            f"{name} is neither a student of this package ({', '.join(known)}) nor a "
            "checkpoint file"
        )
    return Path(name)


def as_files(arguments: Sequence[str]) -> list[str]:
    """Arguments of a command that takes checkpoints, students by name as their files."""
    known = shipped()
    return [a if a not in known or Path(a).exists() else str(known[a]) for a in arguments]
