"""The kit shares no code with the compiler but the chip table."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
OWN = {"common", "ai8x_models", "distill", "quantize", "synthesize", "evalkit"}


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(folder: str) -> list[Path]:
    found = sorted((REPOSITORY / folder).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("path", sources("evalkit"), ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_the_kit_imports_only_the_chip_table(path: Path) -> None:
    for name in imports(path):
        package = name.split(".")[0]
        if package in OWN - {"evalkit", "common"}:
            allowed = name == "synthesize.chip" or name.startswith("synthesize.chip.")
            assert allowed, f"imports {name}"


@pytest.mark.parametrize("path", sources("synthesize/chip"), ids=lambda p: p.name)
def test_the_chip_table_imports_only_the_standard_library(path: Path) -> None:
    for name in imports(path):
        package = name.split(".")[0]
        assert package in sys.stdlib_module_names or name.startswith(
            ("synthesize.chip", "common")
        ), name


def test_the_compiler_package_itself_imports_nothing() -> None:
    assert not list(imports(REPOSITORY / "synthesize" / "__init__.py"))
