"""Writes the reference of commands out of their argparse parsers, and mends links for the site."""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path

from common.files import write_file

_LINK = re.compile(r"\[([^\]\n]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
_HEAD = """# Commands

One command, `pose78`, and a verb. Every verb explains itself: `pose78 VERB -h`. Exit status: 0 is
done, 1 the answer is no (a network that does not fit, something that is missing), 2 wrong input,
said in one sentence.

This page is written by `make site` out of the commands themselves.

"""


def write(path: Path) -> None:
    """Write the page, unless it is as it should be already."""
    text = page()
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_file(path, text)


def page() -> str:
    """The usage of every verb, as the terminal shows it at 100 columns."""
    from pose78.__main__ import VERBS, usage

    parts = [_HEAD, f"```text\n{usage()}\n```\n"]
    for name, verb in VERBS.items():
        parts.append(f"\n## pose78 {name}\n\n{verb.what[0].upper()}{verb.what[1:]}.\n\n")
        parts.append(f"```text\n{help_of(name)}```\n")
    return "".join(parts)


def help_of(verb: str) -> str:
    """What ``pose78 VERB -h`` prints."""
    from pose78.__main__ import main

    out = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            main([verb, "-h"])
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return out.getvalue()


def without_outward_links(text: str, root: Path, page_file: Path) -> str:
    """A page's text, links to files outside ``root`` replaced by their names in code style."""

    def mended(found: re.Match[str]) -> str:
        words, target = found.group(1), found.group(2)
        if "://" in target or target.startswith("<"):
            return found.group(0)
        to = (page_file.parent / target).resolve()
        inside = to.is_relative_to(root) and to.is_file()
        return found.group(0) if inside else words

    return _LINK.sub(mended, text)
