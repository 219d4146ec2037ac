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


def test_the_lock_names_everything_with_a_hash() -> None:
    locked = supply.locked(supply.LOCK.read_text())
    lines = [line for line in supply.LOCK.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(locked)
    assert {package.name for package in supply.packages()} <= set(locked)
    for line in (supply.REPOSITORY / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        if name in locked:
            assert locked[name].partition("+")[0] == version


def test_another_version_than_the_locks_is_said() -> None:
    text = f"numpy==2.0 --hash=sha256:{'0' * 64}\n"
    found = [supply.Package("numpy", "2.1", "plain"), supply.Package("new", "1", "plain")]
    assert supply.differences(found, text) == [
        "numpy 2.1 is installed; the lock says 2.0",
        "new 1 is installed; the lock says nothing of it",
    ]
    assert not supply.differences([supply.Package("numpy", "2.0", "plain")], text)
