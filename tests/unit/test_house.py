"""Rules of the house that a machine can check: who may import whom, and how long functions get."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("pose78", "common", "ai8x_models", "distill", "quantize", "synthesize", "evalkit")
MAX_LINES = 60

BELOW_DISTILL = ("ai8x_models", "quantize", "synthesize.chip")

# What each room may import of the others; the longest matching prefix is looked up.
ALLOWED: dict[str, tuple[str, ...]] = {
    "common": (),
    "ai8x_models": ("ai8x_models", "synthesize.chip"),
    "distill": ("distill", "ai8x_models", "quantize", "synthesize.chip"),
    # A task imports people and engine, people imports engine, nothing goes the other way, and no
    # task imports another (docs/adr/0016).
    "distill.engine": ("distill.engine", *BELOW_DISTILL),
    "distill.people": ("distill.people", "distill.engine", *BELOW_DISTILL),
    "distill.tasks": ("distill.tasks.__main__", "distill.__main__", "distill.engine.task"),
    **{
        f"distill.tasks.{task}": (
            f"distill.tasks.{task}",
            "distill.people",
            "distill.engine",
            *BELOW_DISTILL,
        )
        for task in ("pose", "grey", "lift")
    },
    "quantize": (
        "quantize",
        "ai8x_models",
        "synthesize.chip",
        "synthesize.legal",
        "synthesize.read.onnx.model",
        "synthesize.place.bits",
    ),
    # The decoder's thresholds go from the checkpoint into the firmware.
    "synthesize": ("synthesize", "ai8x_models.thresholds"),
    "synthesize.chip": ("synthesize.chip",),
    # The host and the viewer read the skeleton and the fitting of pictures; the hardware is behind
    # the wall (docs/adr/0002).
    "evalkit": (
        "evalkit",
        "synthesize.chip",
        "ai8x_models.maps",
        "ai8x_models.skeleton",
        "ai8x_models.preprocess",
        "ai8x_models.follow",
    ),
    # The front door leads everywhere; nobody imports it.
    "pose78": ("pose78", "ai8x_models", "synthesize", "quantize", "evalkit", "distill"),
    "evalkit.hardware": ("evalkit.hardware", "synthesize.chip"),
}
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def name_of(path: Path) -> str:
    """Dotted module name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST) -> set[str]:
    """Modules a file names in import statements, wherever they stand."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import: write the full name"
            module = node.module or ""
            # `from synthesize import chip` names a module too.
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def under(module: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a module is, or lies in, one of the packages."""
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


def rule_for(module: str) -> tuple[str, ...]:
    """The longest prefix of ALLOWED that covers the module."""
    own = max((p for p in ALLOWED if under(module, (p,))), key=len)
    return ("common", *ALLOWED[own])


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_walls_between_rooms(path: Path) -> None:
    module = name_of(path)
    for name in imports(ast.parse(path.read_text(encoding="utf-8"))):
        if under(name, ROOMS):
            assert under(name, rule_for(module)), f"{module} may not import {name}"


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if under(name_of(p), ("synthesize.chip",))], ids=name_of
)
def test_chip_facts_need_the_standard_library_only(path: Path) -> None:
    for name in imports(ast.parse(path.read_text(encoding="utf-8"))):
        top = name.split(".")[0]
        assert top in ("synthesize", "common") or top in sys.stdlib_module_names, (
            f"{name} in {path.name}"
        )


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if under(name_of(p), ("synthesize", "evalkit"))], ids=name_of
)
def test_torch_is_not_loaded_with_the_compiler_or_the_kit(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_import = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = imports(ast.Module(body=list(at_import), type_ignores=[]))
    assert not any(under(name, ("torch",)) for name in names)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_functions_stay_short(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_LINES, f"{path.name}:{node.lineno} {node.name}: {length} lines"


def test_the_compiler_package_itself_imports_nothing() -> None:
    assert not imports(ast.parse((ROOT / "synthesize" / "__init__.py").read_text("utf-8")))
