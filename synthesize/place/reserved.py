"""Weight and bias memory that another network keeps, so that two can be resident at once.

Kernels and biases stay where they are while the power is on; only layer registers are rewritten
when the accelerator changes from one network to the other (:mod:`synthesize.write.two_networks`).
Data memory is not divided: the first network's results have been read before the second one starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from common.errors import UserError
from synthesize.chip import limits


@dataclass(frozen=True)
class Reserved:
    """What must not be used.

    Attributes:
        words: for each processor a mask, bit w set where kernel word w is taken.
        biases: for each quadrant the number of its first bias bytes that are taken.
    """

    words: tuple[int, ...] = (0,) * limits.PROCESSORS
    biases: tuple[int, ...] = (0,) * limits.QUADRANTS

    def table(self) -> npt.NDArray[np.bool_]:
        """Taken kernel words, bool [64, 768]; the caller may change it."""
        return _table(self.words).copy()

    def counts(self) -> list[int]:
        """Taken kernel words of each processor."""
        return [bin(mask).count("1") for mask in self.words]


NOTHING = Reserved()


@lru_cache(maxsize=8)  # a search asks hundreds of times
def _table(words: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    return np.array([[mask >> w & 1 for w in range(limits.WEIGHT_WORDS)] for mask in words], bool)


def starting_at(word: int, bias: int = 0) -> Reserved:
    """Leave the first kernel words of all processors and bias bytes of all quadrants alone.

    Raises:
        UserError: a start outside the memory.
    """
    for what, value, size in (
        ("kernel word", word, limits.WEIGHT_WORDS),
        ("bias byte", bias, limits.BIAS_BYTES_PER_QUADRANT),
    ):
        if not 0 <= value < size:
            raise UserError(f"the first {what} is {value}; it must be in 0..{size - 1}")
    return Reserved(((1 << word) - 1,) * limits.PROCESSORS, (bias,) * limits.QUADRANTS)
