"""The rooms of the compiler stand on floors: imports go down, and the check stands alone."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILER = ROOT / "synthesize"

FLOORS: tuple[tuple[str, ...], ...] = (
    ("chip",),
    ("graph",),
    ("read", "legal"),
    ("place",),
    ("program",),
    ("compiler",),
    ("write", "report", "ai8x"),
    ("__main__", "build", "official"),
)
"""Rooms and single files, the lowest floor first. Rooms of one floor do not know each other."""

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def name_of(path: Path) -> str:
    """Module name below ``synthesize``."""
    parts = path.relative_to(COMPILER).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(COMPILER.rglob("*.py")) if path.parent != COMPILER
           or path.stem != "__init__"}  # fmt: skip


def own_imports(name: str) -> set[str]:
    """The modules of the compiler that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "synthesize":
            base = (node.module or "").removeprefix("synthesize").removeprefix(".")
            for alias in node.names:
                whole = f"{base}.{alias.name}".removeprefix(".")
                found.add(whole if whole in MODULES else base)
    return found - {""}


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name: str) -> None:
    room = name.split(".")[0]
    assert room in FLOOR, f"synthesize/{room} has no floor: name it in FLOORS"
    for other in own_imports(name):
        there = other.split(".")[0]
        assert there == room or FLOOR[there] < FLOOR[room], f"{name} may not import {other}"


def test_no_module_needs_itself() -> None:
    TopologicalSorter({name: own_imports(name) - {name} for name in MODULES}).prepare()


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("place.verify")])
def test_the_check_of_a_placement_shares_nothing_with_search_or_registers(name: str) -> None:
    allowed = ("chip", "graph.ir", "place.placement", "place.verify")
    for other in own_imports(name):
        assert other.startswith(allowed), f"{name} may not import {other}"
