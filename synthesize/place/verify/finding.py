"""What the check finds."""

from __future__ import annotations

from dataclasses import dataclass

from synthesize.chip import limits, memory_map


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a placement; ``str()`` is the sentence for the user."""

    layer: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def address_of(word: int) -> str:
    """Return a word of all data memories for a sentence, word and memory counted from 0."""
    instance, offset = divmod(word, limits.DATA_INSTANCE_WORDS)
    address = memory_map.instance_address(instance, min(offset, limits.DATA_INSTANCE_WORDS - 1))
    return f"0x{address:08x} (data memory {instance}, word {offset})"
