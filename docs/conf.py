"""The documentation as a site: ``make site``, which needs no network and admits no warning."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import commands_page  # noqa: E402

project = "pose78"
author = "The pose78 authors"
copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["adr/README.md"]
html_theme = "furo"
html_title = "pose78"
html_static_path: list[str] = []
html_theme_options = {"source_directory": "docs/", "footer_icons": []}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
napoleon_use_rtype = False
python_use_unqualified_type_names = True
nitpicky = False
# Files outside this folder (sources, scripts) are named in the text by their path; a site has no
# page for them, and tests/e2e/test_front_door.py holds that they exist.
suppress_warnings: list[str] = []


def outward(app: Any, name: str, content: list[str]) -> None:
    """Turn links to files outside the documentation into their paths."""
    content[0] = commands_page.without_outward_links(content[0], HERE, HERE / f"{name}.md")


def setup(app: Any) -> None:
    """Write the reference of commands before the pages are read."""
    commands_page.write(HERE / "reference" / "commands.md")
    app.connect("source-read", outward)
