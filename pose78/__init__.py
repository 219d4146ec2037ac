"""Human pose on the MAX78000 in a few lines::

    import pose78

    for person in pose78.load("native").predict("photo.jpg"):
        print(person.score, person.points["nose"])

    print(pose78.check("my_student.py").text())
    pose78.compile("native", "build/project")
    kit = pose78.Kit("build/project/firmware.elf")

Names are imported when they are used first, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from common.errors import UserError
    from evalkit.kit import Kit
    from pose78.building import compile_project as compile
    from pose78.checking import Verdict, check
    from pose78.estimator import Model, Person, Point, load

_HOMES = {
    "Kit": "evalkit.kit:Kit",
    "Model": "pose78.estimator:Model",
    "Person": "pose78.estimator:Person",
    "Point": "pose78.estimator:Point",
    "UserError": "common.errors:UserError",
    "Verdict": "pose78.checking:Verdict",
    "check": "pose78.checking:check",
    "compile": "pose78.building:compile_project",
    "load": "pose78.estimator:load",
}

__all__ = [
    "Kit", "Model", "Person", "Point", "UserError", "Verdict", "check", "compile", "load",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pose78' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
