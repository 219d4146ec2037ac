"""The page of licences names everything that is installed for the checks."""

from __future__ import annotations

from tests import supply


def test_the_page_of_licences_is_of_these_packages() -> None:
    rows = [line.split(" | ") for line in supply.LICENCES.read_text().splitlines()]
    named = {row[0].removeprefix("| ") for row in rows if row[0].startswith("| ") and len(row) == 3}
    needed = {package.name for package in supply.packages()}
    assert {"torch", "numpy", "pytest", "unicorn", "sympy"} <= needed <= named


def test_licences_are_read_from_what_the_packages_say() -> None:
    assert "BSD" in supply.licence("numpy")
    assert "GPL" in supply.licence("unicorn")
    assert supply.licence("pytest") == "MIT"
