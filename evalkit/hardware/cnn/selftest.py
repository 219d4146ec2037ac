"""Built-in self tests of the memories (BIST), and setting them to zero."""

from __future__ import annotations

from collections.abc import Callable

from evalkit.hardware.cnn.engine import Memories
from synthesize.chip.registers import TEST


def self_test(memories: Memories, quadrant: int, value: int) -> int:
    """Do at once what a write to TEST asks of a quadrant; tests pass and leave memories at zero.

    Args:
        value: what was written.

    Returns:
        the status bits of TEST that say what is done.
    """
    cleared: tuple[tuple[str, Callable[[int], None]], ...] = (
        ("s", memories.data.fill_zero),
        ("m", memories.weights.fill_zero),
        ("t", lambda _: None),
        ("b", memories.bias.fill_zero),
    )
    done = 0
    for letter, clear in cleared:
        run = TEST.get(value, f"{letter}bistrun")
        zero = TEST.get(value, f"{letter}ramz")
        if run or zero:
            clear(quadrant)
        done |= TEST.encode(**{f"{letter}allbdone": run, f"{letter}allzdone": zero})
    if value & (TEST.encode(sbistrun=1, mbistrun=1, tbistrun=1, bbistrun=1)):
        done |= TEST.encode(bistdone=1)
    if value & (TEST.encode(sramz=1, mramz=1, tramz=1, bramz=1)):
        done |= TEST.encode(zerodone=1)
    return done
