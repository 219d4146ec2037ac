"""The lock file and the page of licences name everything that is installed for the checks."""

from __future__ import annotations

import re

from tests import supply

_LINE = re.compile(r"([a-z0-9-]+)==(\S+) --hash=sha256:[0-9a-f]{64}")


def test_every_package_is_locked_with_a_hash() -> None:
    lines = [line for line in supply.LOCK.read_text().splitlines() if not line.startswith("#")]
    matches = [_LINE.fullmatch(line) for line in lines]
    assert all(matches)
    locked = {match[1]: match[2] for match in matches if match}
    needed = {package.name: package.version.partition("+")[0] for package in supply.packages()}
    assert {"torch", "numpy", "pytest", "unicorn", "sympy"} <= set(needed)
    assert set(needed) == set(locked)
    pinned = (supply.REPOSITORY / "constraints.txt").read_text().split()
    for line in (word for word in pinned if "==" in word):
        name, _, version = line.partition("==")
        assert locked[supply.canonical(name)] == version


def test_the_page_of_licences_is_of_these_packages() -> None:
    rows = [line.split(" | ") for line in supply.LICENCES.read_text().splitlines()]
    named = {row[0].removeprefix("| ") for row in rows if row[0].startswith("| ") and len(row) == 3}
    assert {package.name for package in supply.packages()} <= named


def test_licences_are_read_from_what_the_packages_say() -> None:
    assert "BSD" in supply.licence("numpy")
    assert "GPL" in supply.licence("unicorn")
    assert supply.licence("pytest") == "MIT"
