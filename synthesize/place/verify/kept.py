"""The data buffer, followed through one inference to the beginning of the next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synthesize.chip import limits
from synthesize.graph.ir import DataBuffer, Layer
from synthesize.place.verify.finding import Finding, address_of

_LANES = limits.PROCESSORS_PER_INSTANCE


class Kept:
    """Which elements the data buffer should hold, and where.

    Args:
        buffer: the buffer.
        processors, offset: mask and first byte of where it lies.
        ids: identities of what it holds at first, [channels, pixels].
    """

    def __init__(self, buffer: DataBuffer, processors: int, offset: int, ids: np.ndarray) -> None:
        self.buffer = buffer
        self.processors = processors
        self.offset = offset
        self.ids = ids

    def places(self) -> np.ndarray:
        """Return the place of every [channel, pixel]: bytes are counted over all memories."""
        enabled = np.flatnonzero([self.processors >> p & 1 for p in range(limits.PROCESSORS)])
        channels, rows, cols = self.buffer.shape
        number, position = np.divmod(np.arange(channels), len(enabled))
        passes = -(-channels // len(enabled))
        word = enabled[position] // _LANES * limits.DATA_INSTANCE_WORDS + self.offset // 4
        first = _LANES * (word + number) + enabled[position] % _LANES
        return first[:, None] + _LANES * passes * np.arange(rows * cols)

    def change(self, layer: Layer, ids: np.ndarray) -> None:
        """Note what is there after a layer that shifts or inserts."""
        if not (layer.buffer_shift or layer.buffer_insert):
            return
        channels, rows, cols = self.buffer.shape
        ids = ids.reshape(channels, -1)
        first = (rows - layer.buffer_insert) * cols if layer.buffer_insert else 0
        self.ids = self.ids.copy()
        self.ids[:, first : first + ids.shape[1]] = ids

    def read_by(self, layer: Layer) -> np.ndarray:
        """Return what a layer that reads the buffer should find, [channels, pixels]."""
        rest = self.ids[:, layer.buffer_shift * self.buffer.shape[2] :]
        return rest.reshape(layer.in_shape[0], -1)

    def check(self, content: np.ndarray, owner: Callable[[int], str]) -> list[Finding]:
        """Check that the next inference finds what this one has left in the buffer."""
        places = self.places()
        found = content[places]
        wrong = np.argwhere(found != self.ids)
        if not len(wrong):
            return []
        at = tuple(wrong[0])
        there, name = owner(int(found[at])), self.buffer.name
        sentence = (
            f"{self.buffer.where}: data buffer {name}: at the end "
            f"{address_of(int(places[at]) // _LANES)} holds "
            f"{there if there != name else 'an older element of it'} instead of "
            f"{owner(int(self.ids[at]))}; shift the buffer to its beginning, insert at its end, "
            "and give the layers places apart from it"
        )
        return [Finding(name, sentence)]
