"""What docs/kit.md says is not modelled is exactly what the register table says."""

from __future__ import annotations

import re
from pathlib import Path

from synthesize.chip import registers

PAGE = Path(__file__).parents[2] / "docs" / "kit.md"


def test_fields_that_are_named_but_not_modelled() -> None:
    section = PAGE.read_text(encoding="utf-8").split("## Named but not modelled")[1]
    listed = set(re.findall(r"^\| (\w+) \| `(\w+)` \|", section.split("\n## ")[0], re.M))
    table = {
        (place.register.name, field.name)
        for _, place in registers.all_places()
        for field in place.register.fields
        if field.kind == registers.UNMODELLED
    }
    assert listed == table
