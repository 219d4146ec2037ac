"""What happened when: stretches of time, for the timeline."""

from __future__ import annotations

from dataclasses import dataclass, field

from evalkit.hardware.scheduler import SECOND

MERGE_GAP = 50 * SECOND // 1_000_000
"""Two stretches of the same thing closer than this (50 microseconds) are one."""

MAX_SPANS = 20_000
"""No more are kept for each row, so that a long run does not fill the memory."""


@dataclass
class Span:
    """From ``start`` to ``end`` (picoseconds since power-up) ``name`` went on."""

    name: str
    start: int
    end: int


@dataclass
class Recorder:
    """Spans by row of the timeline."""

    rows: dict[str, list[Span]] = field(default_factory=dict)

    def add(self, row: str, name: str, start: int, end: int) -> None:
        """Note that something went on, joining it to the same thing just before."""
        spans = self.rows.setdefault(row, [])
        if spans and spans[-1].name == name and start - spans[-1].end <= MERGE_GAP:
            spans[-1].end = max(spans[-1].end, end)
        elif len(spans) < MAX_SPANS:
            spans.append(Span(name, start, end))
