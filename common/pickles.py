"""Looks through pickles of other people before any reader follows them: nothing is built or called.

A short pickle can ask for much: places of remembered objects far away, for which its reader makes
room, and tuples of tuples that share their parts, which take for ever once they are keys.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import IO

from common.incoming import Unfit

MAX_STEPS = 1_000_000
"""Of a pickle; checkpoints of 1,000 tensors have 30,000."""

MAX_PLACE = 1 << 20
"""Of a remembered object: the reader takes 16 bytes for each up to it."""

MAX_PARTS = 20_000_000
"""Of all tuples together, shared parts counted wherever they stand: what hashing them visits."""


def check(stream: IO[bytes] | bytes) -> int:
    """Look through the pickle that comes next in a stream, and return where it ends.

    Raises:
        Unfit: it asks for more than any checkpoint does.
        ValueError: it is no pickle, or one that is cut off.
    """
    stack: list[int | None] = []  # parts of the tuples on it; None is a mark
    places: dict[int, int] = {}
    total = end = 0
    for step, (opcode, argument, at) in enumerate(pickletools.genops(stream)):
        name = opcode.name
        end = int(at or 0) + 1  # behind the last opcode, which has no argument
        if step > MAX_STEPS:
            raise Unfit(f"what describes its tensors has more than {MAX_STEPS} steps")
        if "PUT" in name or name == "MEMOIZE":
            place = len(places) if name == "MEMOIZE" else int(argument or 0)
            if place > MAX_PLACE:
                raise Unfit(f"it remembers an object in place {place}")
            places[place] = stack[-1] or 1 if stack else 1
            continue
        if "GET" in name:
            parts = places.get(int(argument or 0), 1)
            stack.append(parts)
        elif name == "DUP":
            parts = stack[-1] or 1 if stack else 1
            stack.append(parts)
        else:
            taken = sum(_taken(opcode, stack))
            parts = 1 + taken if "TUPLE" in name or name == "FROZENSET" else 1
            stack += [None if what is pickletools.markobject else parts
                      for what in opcode.stack_after]  # fmt: skip
        total += parts
        if total > MAX_PARTS:
            raise Unfit("its tuples share their parts so often that they would never be read")
    return end


def _taken(opcode: pickletools.OpcodeInfo, stack: list[int | None]) -> Iterator[int]:
    """Take from the stack what an opcode takes: to the last mark, or so many."""
    to_mark = pickletools.markobject in opcode.stack_before
    for _ in range(len(stack) if to_mark else min(len(opcode.stack_before), len(stack))):
        top = stack.pop()
        if top is None:
            break
        yield top
    if to_mark:
        for _ in range(min(opcode.stack_before.index(pickletools.markobject), len(stack))):
            yield stack.pop() or 1
