"""C source as its compiler sees it."""

from __future__ import annotations

import re


def without_comments(source: str) -> str:
    """What is left of C when its translation phases 1 to 3 have run (C11, 5.1.1.2)."""
    source = source.replace("??/", "\\").replace("\\\n", "")
    return re.sub(r"/\*.*?\*/", " ", source, flags=re.DOTALL)
