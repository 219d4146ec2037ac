"""What the checks stand on: ``python -m tests.supply licences | lock | check | advisories``.

``lock`` asks pip for the files of every package that is installed, dependencies of dependencies
too, and writes their versions and hashes to ``requirements.lock``; with ``pip install
--require-hashes -r requirements.lock`` pip takes these files and no others. ``check`` says what is
installed here in another version than the lock's, without a network; exit status 1 if anything is.
``licences`` writes ``docs/licences.md`` from the packages' own metadata. ``advisories`` asks
pip-audit whether one of these versions has a known fault; without pip-audit or a network it
says so and ends well.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from common.console import command_line
from common.errors import UserError
from common.files import write_file
from common.texts import one_line
from tests.helpers.places import REPOSITORY

LICENCES = REPOSITORY / "docs" / "licences.md"
LOCK = REPOSITORY / "requirements.lock"
EXTRAS = ("kit", "toolchain", "view", "train", "dev")

_KNOWN_BETTER = {"unicorn": "GPL-2.0 (the library; its binding for Python says BSD)"}

_LOCK_HEAD = """# Every package that the project's own checks run with, and the hash of its file,
# for Linux on x86-64 and CPython 3.11:
#     pip install --require-hashes --no-deps -r requirements.lock
# Written by python -m tests.supply lock; python -m tests.supply check compares.
# +cpu: torch's own build without an accelerator; another build has another hash.
"""

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


def lock(found: list[Package]) -> str:
    """The text of the lock: each package's version and the hash of the file pip would take.

    Raises:
        UserError: pip cannot find all of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        listed, report = Path(folder) / "pinned.txt", Path(folder) / "report.json"
        listed.write_text("".join(f"{p.name}=={p.version}\n" for p in found))
        ask = ["install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet"]
        command = [sys.executable, "-m", "pip", *ask, "--report", str(report), "-r", str(listed)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            last = result.stderr.strip().rpartition("\n")[2]
            raise UserError(f"pip cannot find every package: {last}; try again with a network")
        files = json.loads(report.read_text())["install"]
    return _LOCK_HEAD + "".join(sorted(map(_locked, files)))


def _locked(file: dict[str, Any]) -> str:
    about, digest = file["metadata"], file["download_info"]["archive_info"]["hashes"]["sha256"]
    return f"{canonical(about['name'])}=={about['version']} --hash=sha256:{digest}\n"


def locked(text: str) -> dict[str, str]:
    """Versions by name, as a lock states them."""
    return {
        match[1]: match[2]
        for match in re.finditer(r"^(\S+)==(\S+) --hash=sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    }


def differences(found: list[Package], text: str) -> list[str]:
    """A sentence for every package that is installed otherwise than the lock says."""
    wanted = locked(text)
    return [
        f"{p.name} {p.version} is installed; the lock says {wanted.get(p.name, 'nothing of it')}"
        for p in found
        if wanted.get(p.name) != p.version
    ]


def check() -> int:
    """1 when something is installed in another version than the lock's."""
    said = differences(packages(), LOCK.read_text())
    print("\n".join(said) or f"every package is the one of {LOCK.name}")
    return int(bool(said))


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
    parser.add_argument("what", choices=("licences", "lock", "check", "advisories"))
    what = parser.parse_args().what
    if what in ("check", "advisories"):
        return check() if what == "check" else advisories()
    path, write = {"licences": (LICENCES, licences), "lock": (LOCK, lock)}[what]
    write_file(path, write(packages()))
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
