"""What the checks stand on: ``python -m tests.supply lock | licences | advisories``.

``lock`` writes ``requirements.lock``: every package of the environment that runs the checks, with
its version and the hash of the archive that pip would install (``--no-deps --require-hashes``).
``licences`` writes ``docs/licences.md`` from the packages' own metadata. ``advisories`` asks
pip-audit whether one of the locked versions has a known fault; without pip-audit or a network it
says so and ends well.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement

from common.console import command_line
from common.errors import UserError
from common.files import write_file
from common.texts import one_line
from tests.helpers.places import REPOSITORY

LOCK = REPOSITORY / "requirements.lock"
LICENCES = REPOSITORY / "docs" / "licences.md"
_OWN_PLACES = ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX")
EXTRAS = ("kit", "toolchain", "view", "train", "dev")

_LOCK_HEAD = """# Everything the project's own checks run with, on Linux with Python {python}.
# Written by `python -m tests.supply lock`; install with:
# pip install --no-deps --require-hashes -r {name}
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
    here = {**default_environment()}
    return any(need.marker.evaluate({**here, "extra": extra}) for extra in extras)


def canonical(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock(found: list[Package]) -> str:
    """The text of the lock file; pip tells the hashes.

    Raises:
        UserError: pip cannot reach an index, or there is no such version there.
    """
    wanted = [f"{package.name}=={package.version}" for package in found]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
    command += ["--ignore-installed", "--report", "-", *wanted]
    # The public index alone, whatever this machine's pip prefers.
    own = {name: text for name, text in os.environ.items() if name not in _OWN_PLACES}
    own["PIP_CONFIG_FILE"] = os.devnull
    result = subprocess.run(command, env=own, capture_output=True, text=True)
    if result.returncode:
        raise UserError(f"pip cannot tell the hashes: {result.stderr.strip()[-300:]}")
    lines = []
    for entry in json.loads(result.stdout)["install"]:
        about, archive = entry["metadata"], entry["download_info"]["archive_info"]
        digest = archive["hashes"]["sha256"]
        version = about["version"].partition("+")[0]
        lines.append(f"{canonical(about['name'])}=={version} --hash=sha256:{digest}\n")
    head = _LOCK_HEAD.format(python="{}.{}".format(*sys.version_info[:2]), name=LOCK.name)
    return head + "".join(sorted(lines))


def licence(name: str) -> str:
    """What a package says of its licence, in a few words."""
    about = metadata.metadata(name)
    expression = about.get("License-Expression")
    classified = [
        text.rpartition(" :: ")[2].removesuffix(" License")
        for text in about.get_all("Classifier") or []
        if text.startswith("License ::") and text != "License :: OSI Approved"
    ]
    stated = (about.get("License") or "").strip().partition("\n")[0]
    return one_line(expression or ", ".join(classified) or stated[:60] or "not stated")


def licences(found: list[Package]) -> str:
    """The page of licences."""
    rows = (f"| {p.name} | {licence(p.name).replace('|', '/')} | {p.extra} |\n" for p in found)
    return _LICENCES_HEAD + "".join(rows)


def advisories() -> int:
    """1 when a locked version has a known fault."""
    if importlib.util.find_spec("pip_audit") is None:
        print("not checked: pip-audit is not installed (pip install pip-audit)")
        return 0
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"]
    result = subprocess.run([*command, "-r", str(LOCK)], capture_output=True, text=True)
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
    parser.add_argument("what", choices=("lock", "licences", "advisories"))
    what = parser.parse_args().what
    if what == "advisories":
        return advisories()
    place, text = (LOCK, lock) if what == "lock" else (LICENCES, licences)
    write_file(Path(place), text(packages()))
    print(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
