"""The page about the networks of ai8x-synthesis: what was compared, and with which result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

OUTCOMES = {
    "same": "registers, kernels, biases, input and known answer are the same",
    "known differences": "the same but for differences that have an explained reason",
    "differs": "differences without a known reason",
    "refused": "this compiler refuses it, for the reason given",
    "not compared": "the generated C code has a form that the comparison does not read",
    "refused there": "the generator refuses it for the MAX78000",
}


@dataclass(frozen=True)
class Row:
    """The result of one network: its name, the outcome (one of ``OUTCOMES``), and details."""

    name: str
    outcome: str
    text: str


def page(rows: Sequence[Row], commit: str) -> str:
    """Return the page as Markdown."""
    counts = Counter(row.outcome for row in rows)
    accepted = len(rows) - counts["refused there"]
    good = counts["same"] + counts["known differences"]
    lines = [
        "# The networks of ai8x-synthesis",
        "",
        f"Written by `python -m synthesize.ai8x.vendor` with ai8x-synthesis at {commit}: its",
        "`networks/` with every checkpoint of their architecture, and its `tests/`. Of",
        f"{accepted} that its generator accepts for the MAX78000, {good} compile to the same",
        "program or one with an explained difference. [interop.md](interop.md) explains those.",
        "",
        "| outcome | networks | meaning |",
        "|---|---|---|",
        *(f"| {name} | {counts[name]} | {text} |" for name, text in OUTCOMES.items()),
        "",
        "| network | outcome | |",
        "|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (list(OUTCOMES).index(row.outcome), row.name)):
        if row.outcome != "refused there":
            lines.append(f"| {row.name} | {row.outcome} | {row.text.replace('|', '/')} |")
    return "\n".join(lines) + "\n"
