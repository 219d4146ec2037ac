"""What comes over the line in pieces: result maps, and pictures of the board's camera."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_RGB565 = 0


class MapCollector:
    """Puts map frames together again."""

    def __init__(self) -> None:
        self._maps: dict[int, NDArray[np.int32]] = {}
        self._filled: dict[int, int] = {}

    def add(self, payload: bytes) -> None:
        """Take one map frame's payload; ValueError when it contradicts itself or the others."""
        if len(payload) < 16 or len(payload) % 4:
            raise ValueError(f"map frame of {len(payload)} bytes")
        index, channel, channels, rows, columns, _ = struct.unpack_from("<6H", payload)
        (offset,) = struct.unpack_from("<I", payload, 12)
        values = np.frombuffer(payload, "<i4", offset=16)
        first = offset // 4
        if channel >= channels or offset % 4 or first + len(values) > rows * columns:
            raise ValueError(f"map frame for channel {channel} of {channels} does not fit")
        if index not in self._maps:
            self._maps[index] = np.zeros((channels, rows, columns), np.int32)
            self._filled[index] = 0
        target = self._maps[index]
        if target.shape != (channels, rows, columns):
            raise ValueError(f"map frames of output {index} disagree about its shape")
        target[channel].reshape(-1)[first : first + len(values)] = values
        self._filled[index] += len(values)

    def maps(self) -> list[NDArray[np.int32]]:
        """All outputs in order, int32 [channels, rows, columns]; ValueError if one is missing."""
        result = []
        for index in range(len(self._maps)):
            if index not in self._maps or self._filled[index] < self._maps[index].size:
                raise ValueError(f"output {index} is not complete")
            result.append(self._maps[index])
        return result


def rgb565(data: bytes, rows: int, columns: int) -> NDArray[np.uint8]:
    """Unpack camera pixels as the firmware does.

    Args:
        data: two bytes for each pixel: red 5, green 6, blue 5 bits from the highest bit of the
            first byte on.

    Returns:
        uint8 [rows, columns, 3]; the highest bits of a colour are repeated behind its lowest.
    """
    pixel = np.frombuffer(data, ">u2").astype(np.uint16).reshape(rows, columns)
    red, green, blue = pixel >> 11, pixel >> 5 & 0x3F, pixel & 0x1F
    full = (red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2)
    return np.stack(full, axis=-1).astype(np.uint8)


class PictureCollector:
    """Puts the pieces of camera pictures together again."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._shape = (0, 0)
        self._data = bytearray()

    def add(self, payload: bytes) -> tuple[int, NDArray[np.uint8]] | None:
        """Take one picture frame's payload.

        Returns:
            number and uint8 [rows, columns, 3] when that completes a picture, else None. A picture
            with a piece missing is forgotten.

        Raises:
            ValueError: the payload contradicts itself, or its format is unknown.
        """
        if len(payload) < 12:
            raise ValueError(f"picture frame of {len(payload)} bytes (at least 12)")
        number, form, rows, columns, offset = struct.unpack_from("<4HI", payload)
        if form != _RGB565:
            raise ValueError(f"picture frame in the unknown format {form}")
        size = 2 * rows * columns
        if offset + len(payload) - 12 > size:
            raise ValueError(f"piece of a picture outside its {rows} x {columns} pixels")
        if offset == 0:
            self._number, self._shape, self._data = number, (rows, columns), bytearray()
        whole = (number, (rows, columns), offset) == (self._number, self._shape, len(self._data))
        if not whole:
            self._number = None
            return None
        self._data += payload[12:]
        if len(self._data) < size:
            return None
        self._number = None
        return number, rgb565(bytes(self._data), rows, columns)
