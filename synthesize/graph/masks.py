"""Processor masks: one bit for each of the 64 processors."""

from __future__ import annotations


def first_bit(mask: int) -> int:
    """Return the number of the lowest set bit (``mask`` must not be 0)."""
    return (mask & -mask).bit_length() - 1


def last_bit(mask: int) -> int:
    """Return the number of the highest set bit (``mask`` must not be 0)."""
    return mask.bit_length() - 1


def bit_count(mask: int) -> int:
    """Return the number of set bits."""
    return bin(mask).count("1")


def bits_of(mask: int) -> list[int]:
    """Return the numbers of all set bits, lowest first."""
    return [i for i in range(mask.bit_length()) if mask >> i & 1]
