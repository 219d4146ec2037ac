"""Integer arithmetic of ``firmware_templates/track/fixed.h``, for numbers and arrays alike.

Right shifts round down, divisions towards zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


def clamp(value: int, low: int, high: int) -> int:
    """``value`` within the bounds."""
    return low if value < low else high if value > high else value


def quotient(value: Any, by: int) -> Any:
    """``value / by`` towards zero, as C divides; ``by`` is positive."""
    if isinstance(value, int):
        return value // by if value >= 0 else -(-value // by)
    return np.sign(value) * (np.abs(value) // by)


def toward(start: Any, end: Any, share: Any) -> Any:
    """From one value towards another by a share in Q12."""
    return start + ((end - start) * share >> 12)


def kernel(amount: int, error: Integers) -> Integers:
    """``amount / (amount + error)``, Q12; int64 [n]."""
    total = error + amount
    _, length = np.frexp(total.astype(np.float64))  # bits of each; exact below 2**53
    shift = np.maximum(length.astype(np.int64) - 20, 0)
    return np.asarray(((amount >> shift) << 12) // (total >> shift), np.int64)
