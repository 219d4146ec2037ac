"""The OV7692 image sensor: registers, timing, pixel formats.

Facts and their sources: register numbers and the values that select formats: public MAX78000 SDK,
``Boards/MAX78000/Include/ov7692_regs.h`` and ``Source/ov7692.c``; identity 0x7692 and 0x7FA2: the
``ov7692_regs.h`` of HP's webOS kernel; 846 x 512 clocks for each frame (30 frames a second from
26 MHz divided by 2), line length in registers 0x2A and 0x2B, further lines in 0x2A and 0x2C: public
MediaTek driver ``ov7692yuv_Sensor``; pixel clock equal to the input clock with the SDK's settings
at small sizes: measured in report 981 of analogdevicesinc/msdk; order of bytes:
``pc_utility/imgConverter.py`` of the SDK's CameraIF example.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evalkit.hardware.scheduler import SECOND

Pixels = NDArray[np.uint8]

ARRAY_COLUMNS, ARRAY_ROWS = 640, 480
FIRST_ROW = 12
"""Lines between the start of a frame and its first row."""
FRAME_LINES = 512
_SMALL = 320 * 240
"""Below as many output pixels REG16[2] halves the pixel clock."""

FITS = ("crop", "pad")
"""How a picture of another shape becomes a frame; see ``evalkit.camera``."""

RGB565, RGB444, YUV422, BAYER = "RGB565", "RGB444", "YUV422", "BAYER"

_RESET = {
    0x0A: 0x76, 0x0B: 0x92, 0x0C: 0x16, 0x13: 0xE5, 0x14: 0x30, 0x16: 0x03, 0x1C: 0x7F, 0x1D: 0xA2,
    0x1E: 0xB1, 0x2A: 0x30, 0x2B: 0x4E, 0x31: 0x83, 0x37: 0x0C, 0x64: 0x11, 0x69: 0x12, 0x74: 0x20,
    0x75: 0x70, 0x78: 0x01, 0x79: 0x2C, 0x81: 0x41, 0xC4: 0x02, 0xC6: 0x02, 0xC8: 0x02, 0xC9: 0x80,
    0xCA: 0x01, 0xCB: 0xE0, 0xCC: 0x02, 0xCD: 0x80, 0xCE: 0x01, 0xCF: 0xE0,
}  # fmt: skip
"""Known values after reset in bank 0; the others are taken as 0."""
_READ_ONLY = {0x0A, 0x0B, 0x1C, 0x1D}
_BANK = 0xFF
_SYSTEM_RESET = 0x80


class Source(Protocol):
    """What the sensor looks at."""

    def next_picture(self, rows: int, columns: int, aspect: float) -> tuple[str, Pixels] | None:
        """Name and uint8 [rows, columns, 3] RGB of the next picture; None when they are over.

        Args:
            rows, columns: size of the sensor's output.
            aspect: width by height of the part of the array that is used.
        """

    def has_next(self) -> bool:
        """Whether another picture will come."""


class ColourBars:
    """Eight upright bars, for a board without anything to look at."""

    BARS = ((255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0),
            (255, 0, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0))  # fmt: skip

    def next_picture(self, rows: int, columns: int, aspect: float) -> tuple[str, Pixels] | None:
        """See :class:`Source`."""
        bars = np.array(self.BARS, np.uint8)[np.arange(columns) * len(self.BARS) // columns]
        return "colour bars", np.tile(bars, (rows, 1, 1))

    def has_next(self) -> bool:
        """Always."""
        return True


@dataclass(frozen=True, eq=False)
class SensorFrame:
    """One frame as it leaves the sensor.

    Attributes:
        name: of the picture.
        pixels: uint8 [rows, columns, 3] RGB before it was packed.
        format: RGB565, RGB444, YUV422 or BAYER.
        data: the bytes on the eight data lines, row by row.
        start: picoseconds since power-up when the frame began (VSYNC).
        line_starts: when the first byte of each row comes, relative to ``start``.
        byte_time: picoseconds for each byte.
    """

    name: str
    pixels: Pixels
    format: str
    data: bytes
    start: int
    line_starts: tuple[int, ...]
    byte_time: float

    @property
    def line_bytes(self) -> int:
        """Bytes in each row."""
        return len(self.data) // len(self.line_starts)


class Ov7692:
    """The sensor on its two-wire bus.

    Args:
        source: what it looks at.
        input_clock: returns the frequency in Hz of the clock it is given, 0 when there is none.
        now: returns picoseconds since power-up.

    Attributes:
        powered: without power it is not there.
        listeners: called when something that matters for the stream has changed.
        on_frame: called with every frame that is sent.
    """

    address = 0x3C

    def __init__(
        self, source: Source, input_clock: Callable[[], float], now: Callable[[], int]
    ) -> None:
        self.source = source
        self.listeners: list[Callable[[], None]] = []
        self.on_frame: Callable[[SensorFrame], None] | None = None
        self._input_clock = input_clock
        self._now = now
        self._powered = True
        self._epoch = 0
        self._pointer: int | None = None
        self._banks = {0: bytearray(256), 1: bytearray(256)}
        self._reset()

    # ---- registers -----------------------------------------------------------------------------

    def _reset(self) -> None:
        self._banks = {0: bytearray(256), 1: bytearray(256)}
        for register, value in _RESET.items():
            self._banks[0][register] = value
        self.changed()

    @property
    def powered(self) -> bool:
        """Whether it has power."""
        return self._powered

    @powered.setter
    def powered(self, on: bool) -> None:
        if on != self._powered:
            self._powered = on
            self._reset()

    def changed(self) -> None:
        """Clock or settings are new: the next frame begins now."""
        self._epoch = self._now()
        for listener in self.listeners:
            listener()

    def register(self, number: int) -> int:
        """Value of a register of bank 0."""
        return self._banks[0][number]

    def begin(self, read: bool) -> bool:
        """A START; without power or clock nobody answers."""
        if not self._powered or not self._input_clock():
            return False
        if not read:
            self._pointer = None
        return True

    def write(self, value: int) -> bool:
        """First the register's number, then its value."""
        if self._pointer is None:
            self._pointer = value
            return True
        bank = self._banks[self._banks[0][_BANK] & 1]
        if self._pointer == _BANK:
            self._banks[0][_BANK] = value
        elif bank is self._banks[0] and self._pointer == 0x12 and value & _SYSTEM_RESET:
            self._reset()
        elif bank is not self._banks[0] or self._pointer not in _READ_ONLY:
            old, bank[self._pointer] = bank[self._pointer], value
            if old != value and bank is self._banks[0]:
                self.changed()
        return True

    def read(self) -> int:
        """The register named by the last write."""
        if self._pointer is None:
            return 0
        if self._pointer == _BANK:
            return self._banks[0][_BANK]
        return self._banks[self._banks[0][_BANK] & 1][self._pointer]

    def end(self) -> None:
        """STOP changes nothing."""

    # ---- what the registers mean ---------------------------------------------------------------

    @property
    def format(self) -> str:
        """Pixel format by REG12."""
        value = self.register(0x12)
        if value & 3 == 2:
            return RGB444 if value & 0x0C == 0x0C else RGB565
        return BAYER if value & 1 else YUV422

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of a frame; one row less than the register says."""
        r = self.register
        columns = (r(0xCC) & 3) << 8 | r(0xCD)
        return max(((r(0xCE) & 1) << 8 | r(0xCF)) - 1, 0), columns

    @property
    def window(self) -> tuple[int, int]:
        """Rows and columns of the array that the frame is scaled from."""
        r = self.register
        columns = (r(0xC8) & 3) << 8 | r(0xC9)
        rows = (r(0xCA) & 1) << 8 | r(0xCB)
        return min(rows, ARRAY_ROWS), min(columns, ARRAY_COLUMNS)

    def array_hz(self) -> float:
        """Clock of the pixel array; 0 without input clock."""
        return self._input_clock() / ((self.register(0x11) & 0x3F) + 1)

    def line_clocks(self) -> int:
        """Array clocks for each line."""
        return (self.register(0x2A) >> 4 & 7) << 8 | self.register(0x2B)

    def frame_lines(self) -> int:
        """Lines for each frame, blank ones included."""
        return FRAME_LINES + ((self.register(0x2A) & 0xF) << 8 | self.register(0x2C))

    def frame_time(self) -> int:
        """Picoseconds from one frame to the next; 0 when none are sent."""
        clock = self.array_hz()
        asleep = self.register(0x0E) & 8
        if not clock or not self._powered or asleep or not all((*self.size, *self.window)):
            return 0
        return round(self.line_clocks() * self.frame_lines() * SECOND / clock)

    def pixel_clock_hz(self) -> float:
        """Bytes per second within a row."""
        rows, columns = self.size
        slow = self.register(0x16) & 4 and rows * columns < _SMALL
        return self.array_hz() * (1 if slow else 2)

    # ---- frames --------------------------------------------------------------------------------

    def next_start(self) -> int | None:
        """When the next frame begins; None when none will (no clock, asleep, pictures over)."""
        period = self.frame_time()
        if not period or not self.source.has_next():
            return None
        elapsed = self._now() - self._epoch
        return self._epoch + -(-elapsed // period) * period

    def take_frame(self, start: int) -> SensorFrame | None:
        """The frame that begins at ``start``: the next picture, through the settings of now."""
        rows, columns = self.size
        window_rows, window_columns = self.window
        picture = self.source.next_picture(rows, columns, window_columns / window_rows)
        if picture is None:
            return None
        name, pixels = picture
        flips = self.register(0x0C)
        # The module is mounted upside down: with both flips on, pictures are the right way up.
        seen = pixels[:: 1 if flips & 0x80 else -1, :: 1 if flips & 0x40 else -1]
        line_time = self.line_clocks() * SECOND / self.array_hz()
        first = FIRST_ROW + (ARRAY_ROWS - window_rows) // 2
        frame = SensorFrame(
            name,
            np.ascontiguousarray(seen),
            self.format,
            pack(seen, self.format, bool(flips & 0x10)),
            start,
            tuple(round((first + (k + 1) * window_rows / rows) * line_time) for k in range(rows)),
            SECOND / self.pixel_clock_hz(),
        )
        if self.on_frame is not None:
            self.on_frame(frame)
        return frame


def pack(pixels: Pixels, format: str, luma_first: bool = True) -> bytes:
    """Bytes of a picture as the sensor sends them, row by row.

    RGB565: RRRRRGGG GGGBBBBB. RGB444: 0000RRRR GGGGBBBB. BAYER: one byte for each pixel, rows
    B G B G... and G R G R.... YUV422: Y0 U Y1 V (or U Y0 V Y1), from
    ``Y = (77 R + 150 G + 29 B) >> 8``, ``U = (144 (B - Y) >> 8) + 128``,
    ``V = (183 (R - Y) >> 8) + 128``, U and V of the left pixel of each pair, clipped to 0..255.

    Args:
        pixels: uint8 [rows, columns, 3] RGB.
        format: RGB565, RGB444, YUV422 or BAYER.
        luma_first: order of YUV422.
    """
    red, green, blue = (pixels[..., i].astype(np.int32) for i in range(3))
    if format == BAYER:
        out = green.copy()
        out[0::2, 0::2] = blue[0::2, 0::2]
        out[1::2, 1::2] = red[1::2, 1::2]
        return out.astype(np.uint8).tobytes()
    if format == RGB565:
        word = red >> 3 << 11 | green >> 2 << 5 | blue >> 3
    elif format == RGB444:
        word = red >> 4 << 8 | green >> 4 << 4 | blue >> 4
    else:
        luma = (77 * red + 150 * green + 29 * blue) >> 8
        chroma = np.empty_like(luma)
        u = np.clip((144 * (blue - luma) >> 8) + 128, 0, 255)
        v = np.clip((183 * (red - luma) >> 8) + 128, 0, 255)
        chroma[:, 0::2] = u[:, 0::2]
        chroma[:, 1::2] = v[:, 0::2][:, : chroma[:, 1::2].shape[1]]
        word = luma << 8 | chroma if luma_first else chroma << 8 | luma
    return word.astype(">u2").tobytes()


def unpack(data: bytes, rows: int, columns: int) -> Pixels:
    """RGB uint8 [rows, columns, 3] of RGB565 bytes; the bits that were not sent are 0."""
    word = np.frombuffer(data, ">u2").astype(np.int32).reshape(rows, columns)
    return np.stack([word >> 11 << 3, (word >> 5 & 0x3F) << 2, (word & 0x1F) << 3], axis=-1).astype(
        np.uint8
    )
