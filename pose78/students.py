"""Students by name, or out of a Python file that somebody edits."""

from __future__ import annotations

import runpy
import traceback
from pathlib import Path
from typing import Any

from ai8x_models.students import SPECS, Student, StudentSpec
from common.errors import UserError


def named_spec(name: str) -> StudentSpec:
    """The description of a student: of a known one, or out of ``file.py`` or ``file.py:NAME``.

    Raises:
        UserError: there is none, or more than one to choose from, or the file does not run.
    """
    if name in SPECS:
        return SPECS[name]
    file, _, wanted = name.partition(".py:")
    path = Path(f"{file}.py" if wanted else file)
    if path.suffix != ".py":
        raise UserError(
            f"{name} is neither a student ({', '.join(SPECS)}) nor a file this command reads (.py, "
            ".yaml, .onnx, .pth.tar)"
        )
    if not path.is_file():
        raise UserError(f"{path} does not exist; name a Python file with a StudentSpec")
    found = _specs(path)
    if wanted in found:
        return found[wanted]
    if wanted:
        raise UserError(f"{path} has no student {wanted}; it has {', '.join(found) or 'none'}")
    distinct = {id(spec): spec for spec in found.values()}
    if len(distinct) != 1:
        raise UserError(
            f"{path} has {len(distinct)} students ({', '.join(found)}); choose one as {path}:NAME"
            if distinct
            else f"{path} has no student; let it hold a StudentSpec, a Student or a class of one"
        )
    return next(iter(distinct.values()))


def _specs(path: Path) -> dict[str, StudentSpec]:
    """The students that a Python file defines, by the names they have there."""
    try:
        content = runpy.run_path(str(path))
        found = {name: _spec(value) for name, value in content.items() if value is not Student}
    except (Exception, SystemExit) as error:
        trace = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        line = getattr(error, "lineno", None) or (trace[-1].lineno if trace else "?")
        reason = " ".join(str(error).split())
        raise UserError(f"{path} line {line}: {type(error).__name__}: {reason}") from None
    return {name: spec for name, spec in found.items() if spec is not None}


def _spec(value: Any) -> StudentSpec | None:
    """The description in a value of a file, None when it is something else."""
    if isinstance(value, type) and issubclass(value, Student):
        value = value()
    if isinstance(value, Student):
        return value.spec
    return value if isinstance(value, StudentSpec) else None
