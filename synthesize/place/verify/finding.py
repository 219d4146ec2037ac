"""What the check finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a placement; ``str()`` is the sentence for the user."""

    layer: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence
