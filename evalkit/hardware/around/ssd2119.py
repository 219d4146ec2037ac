"""The 320 x 240 display of the evaluation kit: SSD2119 on SPI with characters of nine bits.

The ninth bit tells data (1) from a register number (0); register values come in two characters.
Register numbers and meanings: comments of ``Boards/MAX78000/Source/tft.c`` in the public MAX78000
SDK, which name the pages of the SSD2119 data sheet; a value of ``0x72EF`` in register 1 is upright,
and the SDK clears bits 14 and 9 to turn the picture round.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.files import write_file

WIDTH, HEIGHT = 320, 240
_DATA = 1 << 8
_OUTPUT_CONTROL, _ENTRY_MODE, _MEMORY = 0x01, 0x11, 0x22
_WINDOW_ROWS, _WINDOW_LEFT, _WINDOW_RIGHT, _X, _Y = 0x44, 0x45, 0x46, 0x4E, 0x4F
_RESET = {_OUTPUT_CONTROL: 0x72EF, _ENTRY_MODE: 0x6830, _WINDOW_ROWS: 0xEF00, _WINDOW_RIGHT: 0x13F}
_MIRROR, _TURN = 1 << 14, 1 << 9


class Ssd2119:
    """The display's controller and its memory.

    Attributes:
        memory: uint16 [240, 320], RGB565.
        written: pixels written so far.
    """

    def __init__(self) -> None:
        self.memory: NDArray[np.uint16] = np.zeros((HEIGHT, WIDTH), np.uint16)
        self.written = 0
        self._registers = dict(_RESET)
        self._index = 0
        self._high: int | None = None
        self._place = (0, 0)

    def exchange(self, value: int, bits: int) -> int:
        """A register number or half of a value; nothing comes back."""
        if bits != 9:
            return 0
        if not value & _DATA:
            self._index, self._high = value, None
            if value == _MEMORY:
                self._place = (self._registers.get(_Y, 0), self._registers.get(_X, 0))
        elif self._high is None:
            self._high = value & 0xFF
        else:
            word, self._high = self._high << 8 | value & 0xFF, None
            if self._index == _MEMORY:
                self._pixel(word)
            else:
                self._registers[self._index] = word
        return 0

    def _pixel(self, colour: int) -> None:
        row, column = self._place
        if row < HEIGHT and column < WIDTH:
            self.memory[row, column] = colour
        self.written += 1
        mode = self._registers[_ENTRY_MODE]
        rows = self._registers[_WINDOW_ROWS]
        top, bottom = rows & 0xFF, rows >> 8
        left, right = self._registers.get(_WINDOW_LEFT, 0), self._registers[_WINDOW_RIGHT]
        down, along = mode >> 5 & 1, mode >> 4 & 1
        if mode >> 3 & 1:
            row, wrapped = _step(row, top, bottom, down)
            if wrapped:
                column, _ = _step(column, left, right, along)
        else:
            column, wrapped = _step(column, left, right, along)
            if wrapped:
                row, _ = _step(row, top, bottom, down)
        self._place = (row, column)

    def picture(self) -> NDArray[np.uint8]:
        """What a person sees: uint8 [240, 320, 3] RGB."""
        word = self.memory.astype(np.int32)
        red, green, blue = word >> 11, word >> 5 & 0x3F, word & 0x1F
        rgb = np.stack([red * 255 // 31, green * 255 // 63, blue * 255 // 31], axis=-1)
        control = self._registers[_OUTPUT_CONTROL]
        rows = slice(None, None, 1 if control & _TURN else -1)
        columns = slice(None, None, 1 if control & _MIRROR else -1)
        return np.ascontiguousarray(rgb[rows, columns].astype(np.uint8))

    def save(self, path: str | Path) -> None:
        """Write the picture as PNG.

        Raises:
            UserError: the file cannot be written.
        """
        import cv2

        good, data = cv2.imencode(".png", self.picture()[..., ::-1])
        if not good:
            raise ValueError("a picture could not be encoded")
        write_file(Path(path), data.tobytes())


def _step(at: int, first: int, last: int, forward: int) -> tuple[int, bool]:
    """The next place of a window, and whether it began again."""
    if forward:
        return (at + 1, False) if at < last else (first, True)
    return (at - 1, False) if at > first else (last, True)
