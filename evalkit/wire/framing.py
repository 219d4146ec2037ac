"""Frames on the serial line, as bytes: sender and receiver of docs/protocol.md.

Needs nothing but the standard library, so that it can be copied into any host program.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

MAGIC = b"P78\xa5"
HEADER_BYTES = 10
CHECK_BYTES = 4
MAX_PAYLOAD = 4096

_STUFFED = MAGIC[:3]
"""Behind these bytes of a frame two zeros are sent that do not count."""
_STUFFING = b"\0\0"


@dataclass(frozen=True)
class Frame:
    """One frame that passed its checks."""

    type: int
    sequence: int
    payload: bytes


def stuff(body: bytes) -> bytes:
    """What is sent for the part of a frame behind its magic."""
    sent = body.replace(_STUFFED, _STUFFED + _STUFFING)
    return sent[: -len(_STUFFING)] if body.endswith(_STUFFED) else sent


def unstuff(sent: bytes, wanted: int) -> tuple[bytes, int, bool]:
    """Undo :func:`stuff` until ``wanted`` bytes are there or no more have come.

    Returns:
        The bytes, how many of ``sent`` they took, and whether something stood there that no
        sender sends.
    """
    out = bytearray()
    at = 0
    while len(out) < wanted:
        hit = sent.find(_STUFFED, at)
        stop = len(sent) if hit < 0 else hit + len(_STUFFED)
        piece = sent[at : min(stop, at + wanted - len(out))]
        out += piece
        at += len(piece)
        if hit < 0 or at < stop or at == len(sent) or len(out) == wanted:
            break
        if any(sent[at : at + len(_STUFFING)]):
            return bytes(out), at, True
        at = min(at + len(_STUFFING), len(sent))
    return bytes(out), at, False


def encode(frame: Frame) -> bytes:
    """Bytes of a frame.

    Raises:
        ValueError: payload too long, or type or sequence not a byte.
    """
    if len(frame.payload) > MAX_PAYLOAD:
        raise ValueError(f"payload of {len(frame.payload)} bytes (at most {MAX_PAYLOAD})")
    if not (0 <= frame.type <= 0xFF and 0 <= frame.sequence <= 0xFF):
        raise ValueError(f"type {frame.type} or sequence {frame.sequence} is not a byte")
    guarded = struct.pack("<BBH", frame.type, frame.sequence, len(frame.payload))
    header_check = struct.pack("<H", zlib.crc32(guarded) & 0xFFFF)
    check = struct.pack("<I", zlib.crc32(guarded + frame.payload))
    return MAGIC + stuff(guarded + header_check + frame.payload + check)


@dataclass
class Parser:
    """Separates frames from text; feed it bytes as they come.

    Attributes:
        text: bytes outside frames, since the beginning; those of damaged frames are among them.
        rejected: frames that were begun and did not pass.
    """

    text: bytearray = field(default_factory=bytearray)
    rejected: int = 0
    _buffer: bytearray = field(default_factory=bytearray)
    _wanted: int = 0  # with fewer bytes in the buffer the frame at hand cannot be complete
    _looked: int = 0  # so far the buffer has been searched for a second magic

    def feed(self, data: bytes) -> list[Frame]:
        """Take more bytes; returns the frames they complete."""
        self._buffer += data
        frames = []
        while self._skip_to_magic():
            second = self._buffer.find(MAGIC, max(self._looked, len(MAGIC)))
            self._looked = max(len(self._buffer) - len(MAGIC) + 1, 0)
            if second < 0 and len(self._buffer) < self._wanted:
                break
            frame = self._try_frame(second)
            if frame is not None:
                frames.append(frame)
            elif self._wanted:
                break
        return frames

    def finish(self) -> list[Frame]:
        """No more bytes come: give up on what was begun; returns frames found behind it."""
        frames: list[Frame] = []
        while self._buffer:
            if self._buffer.startswith(MAGIC):
                self._reject()
            else:
                self._drop_text(1)
            frames += self.feed(b"")
        return frames

    def _drop_text(self, count: int) -> None:
        self.text += self._buffer[:count]
        self._drop(count)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._wanted = self._looked = 0

    def _skip_to_magic(self) -> bool:
        """Move text out of the way; False when the buffer does not begin with a whole magic."""
        if self._buffer.startswith(MAGIC):
            return True
        at = self._buffer.find(MAGIC)
        if at < 0:
            # The last bytes may be the beginning of a magic.
            keep = next(n for n in (3, 2, 1, 0) if self._buffer.endswith(MAGIC[:n]))
            self._drop_text(len(self._buffer) - keep)
            return False
        self._drop_text(at)
        return True

    def _try_frame(self, second: int) -> Frame | None:
        """The frame at the start of the buffer; a second magic, if any, is at ``second``.

        None: it was rejected (then ``_wanted`` is 0), or ``_wanted`` bytes are needed.
        """
        # The check may end with three bytes that look like the beginning of that magic.
        end = second + len(_STUFFED) if second >= 0 else len(self._buffer)
        sent = bytes(self._buffer[len(MAGIC) : end])
        guarded, _, wrong = unstuff(sent, HEADER_BYTES - len(MAGIC))
        if len(guarded) < HEADER_BYTES - len(MAGIC):
            self._wait_or_reject(HEADER_BYTES, wrong or second >= 0)
            return None
        kind, sequence, length, header_check = struct.unpack("<BBHH", guarded)
        if length > MAX_PAYLOAD or header_check != zlib.crc32(guarded[:4]) & 0xFFFF:
            self._reject()
            return None
        wanted = HEADER_BYTES - len(MAGIC) + length + CHECK_BYTES
        body, taken, wrong = unstuff(sent, wanted)
        if len(body) < wanted:
            missing = wanted - len(body)
            self._wait_or_reject(len(self._buffer) + missing, wrong or second >= 0)
            return None
        payload = body[HEADER_BYTES - len(MAGIC) : -CHECK_BYTES]
        if zlib.crc32(guarded[:4] + payload) != int.from_bytes(body[-CHECK_BYTES:], "little"):
            self._reject()
            return None
        self._drop(len(MAGIC) + taken)
        return Frame(kind, sequence, payload)

    def _wait_or_reject(self, wanted: int, hopeless: bool) -> None:
        if hopeless:
            self._reject()
        else:
            self._wanted = max(wanted, len(self._buffer) + 1)

    def _reject(self) -> None:
        """Not a frame: its bytes up to the next magic are text."""
        self.rejected += 1
        self._drop_text(len(MAGIC))
