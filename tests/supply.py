"""What the checks stand on: ``python -m tests.supply licences | advisories``.

``licences`` writes ``docs/licences.md`` from the packages' own metadata. ``advisories`` asks
pip-audit whether one of these versions has a known fault; without pip-audit or a network it
says so and ends well.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from common.console import command_line
from common.errors import UserError
from common.files import write_file
from common.texts import one_line
from tests.helpers.places import REPOSITORY

LICENCES = REPOSITORY / "docs" / "licences.md"
EXTRAS = ("kit", "toolchain", "view", "train", "dev")

_KNOWN_BETTER = {"unicorn": "GPL-2.0 (the library; its binding for Python says BSD)"}

_LICENCES_HEAD = """# Licences of what this project uses

Written by `python -m tests.supply licences` from the packages' own metadata; nothing of these is
part of this repository. *plain* is what `pip install pose78` brings, *kit* and the others are
extras, *through* is brought by one of those. Unicorn (kit) is GPL-2.0, which is why the virtual kit
is an extra ([ADR 3](adr/0003-unicorn-is-an-extra.md)).

| package | licence | as |
|---|---|---|
"""


@dataclass(frozen=True)
class Package:
    """A package that is installed: its name, version, and the extra that brings it."""

    name: str
    version: str
    extra: str


def packages() -> list[Package]:
    """All that the project and its extras need here, directly or not, by name.

    Raises:
        UserError: the project is not installed.
    """
    try:
        requires = metadata.requires("pose78") or []
    except metadata.PackageNotFoundError:
        raise UserError("pose78 is not installed here; run: make setup") from None
    found: dict[str, Package] = {}
    pending: list[tuple[str, frozenset[str], str]] = []
    for extra in ("", *EXTRAS):
        wanted = (Requirement(text) for text in requires)
        pending += [
            (need.name, frozenset(need.extras), extra or "plain")
            for need in wanted
            if _applies(need, (extra,)) and not (extra and _applies(need, ("",)))
        ]
    seen: set[tuple[str, frozenset[str]]] = set()
    for name, extras, why in pending:
        key = (canonical(name), extras)
        if key in seen:
            continue
        seen.add(key)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found.setdefault(key[0], Package(key[0], distribution.version, why))
        needs = (Requirement(text) for text in distribution.requires or [])
        pending += [
            (need.name, frozenset(need.extras), "through")
            for need in needs
            if _applies(need, ("", *extras))
        ]
    return [found[name] for name in sorted(found)]


def _applies(need: Requirement, extras: Iterable[str]) -> bool:
    if need.marker is None:
        return "" in extras
    return any(need.marker.evaluate({"extra": extra}) for extra in extras)


def canonical(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(name: str) -> str:
    """What a package says of its licence, in a few words."""
    if name in _KNOWN_BETTER:
        return _KNOWN_BETTER[name]
    about = metadata.metadata(name)
    expression = "".join(about.get_all("License-Expression") or [])
    classified = [
        text.rpartition(" :: ")[2].removesuffix(" License")
        for text in about.get_all("Classifier") or []
        if text.startswith("License ::") and text != "License :: OSI Approved"
    ]
    stated = "".join(about.get_all("License") or []).strip().partition("\n")[0]
    return one_line(expression or ", ".join(classified) or stated[:60] or "not stated")


def licences(found: list[Package]) -> str:
    """The page of licences."""
    rows = (f"| {p.name} | {licence(p.name).replace('|', '/')} | {p.extra} |\n" for p in found)
    return _LICENCES_HEAD + "".join(rows)


def advisories() -> int:
    """1 when a version that is installed has a known fault."""
    if importlib.util.find_spec("pip_audit") is None:
        print("not checked: pip-audit is not installed (pip install pip-audit)")
        return 0
    pinned = "".join(f"{p.name}=={p.version.partition('+')[0]}\n" for p in packages())
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text(pinned)
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--disable-pip",
            "--no-deps",
            "-r",
            str(listed),
        ]
        result = subprocess.run(command, capture_output=True, text=True)
    text = result.stdout + result.stderr
    if result.returncode and re.search("ConnectionError|Max retries|Timeout|resolve", text):
        print("not checked: the index of advisories cannot be reached")
        return 0
    print(text, end="")
    return result.returncode


@command_line
def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.supply", description=__doc__)
    parser.add_argument("what", choices=("licences", "advisories"))
    what = parser.parse_args().what
    if what == "advisories":
        return advisories()
    write_file(LICENCES, licences(packages()))
    print(LICENCES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
