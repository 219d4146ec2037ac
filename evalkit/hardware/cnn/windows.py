"""Which addresses on the bus belong to a memory of the accelerator."""

from __future__ import annotations

from synthesize.chip import memory_map

PAGE = 14
"""Memories begin and end at multiples of 16 KiB."""


def memory_pages() -> dict[int, tuple[str, int, int, int]]:
    """(kind, quadrant, index, base address) of every 16 KiB page that holds a memory."""
    pages = {}
    size = 1 << PAGE
    first = memory_map.QUADRANT_BASE >> PAGE
    for page in range(first, memory_map.CNN_END >> PAGE):
        where = memory_map.locate(page << PAGE)
        if where is None or where.kind in ("fifo", "register"):
            continue
        base = (page << PAGE) - where.offset
        pages[page] = (where.kind, where.quadrant, where.index, base)
    assert size <= memory_map.WEIGHT_STRIDE
    return pages
