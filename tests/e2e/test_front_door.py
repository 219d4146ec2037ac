"""Makefile and README agree with each other."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def helped() -> set[str]:
    """Targets that `make` without a target lists."""
    out = subprocess.run(["make", "-s"], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(re.findall(r"^  ([a-z-]+) ", out.stdout, re.MULTILINE))


def test_every_target_is_listed_by_help() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE))
    assert helped() == {name for names in phony for name in names.split()}


def test_readme_names_only_targets_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)\b", "\n".join(re.findall(r"`[^`]+`", text))))
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    named |= set(re.findall(r"^make ([a-z-]+)", "\n".join(blocks), re.MULTILINE))
    assert named
    assert named <= helped()


def test_documents_link_to_files_that_exist() -> None:
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
