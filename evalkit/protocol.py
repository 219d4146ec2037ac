"""Frames and text on the serial line; the format is described in docs/protocol.md."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MAGIC = b"P78\xa5"
HEADER_BYTES = 10
CHECK_BYTES = 4
MAX_PAYLOAD = 4096

HELLO = 0x01
MAP = 0x02
END = 0x03


@dataclass(frozen=True)
class Frame:
    """One frame that passed its checks."""

    type: int
    sequence: int
    payload: bytes


def encode(frame: Frame) -> bytes:
    """Bytes of a frame.

    Raises:
        ValueError: payload too long, or type or sequence not a byte.
    """
    if len(frame.payload) > MAX_PAYLOAD:
        raise ValueError(f"payload of {len(frame.payload)} bytes (at most {MAX_PAYLOAD})")
    guarded = struct.pack("<BBH", frame.type, frame.sequence, len(frame.payload))
    header_check = struct.pack("<H", zlib.crc32(guarded) & 0xFFFF)
    check = struct.pack("<I", zlib.crc32(guarded + frame.payload))
    return MAGIC + guarded + header_check + frame.payload + check


@dataclass
class Parser:
    """Separates frames from text; feed it bytes as they come.

    Attributes:
        text: bytes outside frames, since the beginning.
        rejected: supposed frames that failed a check.
    """

    text: bytearray = field(default_factory=bytearray)
    rejected: int = 0
    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[Frame]:
        """Take more bytes; returns the frames they complete."""
        self._buffer += data
        frames = []
        while self._skip_to_magic():
            state = self._try_frame()
            if state is None:
                break
            if isinstance(state, Frame):
                frames.append(state)
        return frames

    def _skip_to_magic(self) -> bool:
        """Move text out of the way; False when the buffer holds no whole header."""
        at = self._buffer.find(MAGIC)
        if at < 0:
            # The last bytes may be the beginning of a magic.
            keep = next(n for n in (3, 2, 1, 0) if self._buffer.endswith(MAGIC[:n]))
            at = len(self._buffer) - keep
        self.text += self._buffer[:at]
        del self._buffer[:at]
        return len(self._buffer) >= HEADER_BYTES

    def _try_frame(self) -> Frame | bool | None:
        """The frame at the start of the buffer; True if it is none, None if it is not all here."""
        guarded = bytes(self._buffer[4:8])
        kind, sequence, length = struct.unpack("<BBH", guarded)
        (header_check,) = struct.unpack_from("<H", self._buffer, 8)
        if length > MAX_PAYLOAD or header_check != zlib.crc32(guarded) & 0xFFFF:
            return self._reject()
        total = HEADER_BYTES + length + CHECK_BYTES
        if len(self._buffer) < total:
            return None
        payload = bytes(self._buffer[HEADER_BYTES : HEADER_BYTES + length])
        (check,) = struct.unpack_from("<I", self._buffer, total - CHECK_BYTES)
        if check != zlib.crc32(guarded + payload):
            return self._reject()
        del self._buffer[:total]
        return Frame(kind, sequence, payload)

    def _reject(self) -> bool:
        """Go on behind the magic."""
        self.rejected += 1
        self.text += self._buffer[:1]
        del self._buffer[:1]
        return True


@dataclass(frozen=True)
class Hello:
    """Who is at the other end."""

    version: int
    checksum: int
    network: str


def parse_hello(payload: bytes) -> Hello:
    """Decode a hello frame's payload; ValueError when it is too short."""
    if len(payload) < 8:
        raise ValueError(f"hello frame of {len(payload)} bytes (at least 8)")
    version, checksum = struct.unpack_from("<II", payload)
    return Hello(version, checksum, payload[8:].decode("ascii", errors="replace"))


@dataclass(frozen=True)
class End:
    """Status (0: known answer met) and inference time in ticks of 20 ns."""

    status: int
    ticks: int


def parse_end(payload: bytes) -> End:
    """Decode an end frame's payload; ValueError when its length is wrong."""
    if len(payload) != 8:
        raise ValueError(f"end frame of {len(payload)} bytes (8)")
    return End(*struct.unpack("<II", payload))


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
