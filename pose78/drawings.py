"""What tells a drawing of ours from somebody's photograph: a remark within the file.

Only a drawing is ever replaced by a drawing; anything else of that name stays.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

REMARK = b"drawn by pose78 predict"
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_BEGIN = len(_PNG) + 25  # behind its first part, which states the size
_JPEG_BEGIN = 2
_ENDS = 4096
"""Bytes at the beginning and at the end of a file that hold the remark."""


def marked(content: bytes) -> bytes:
    """The content of a PNG or JPEG file with the remark in it; others stay as they are."""
    if content.startswith(_PNG):
        text = b"tEXtSoftware\0" + REMARK
        part = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
        return content[:_PNG_BEGIN] + part + content[_PNG_BEGIN:]
    if content.startswith(b"\xff\xd8"):
        at = _JPEG_BEGIN
        if content[at : at + 2] == b"\xff\xe0":  # JFIF's own part stands first
            at += 2 + struct.unpack_from(">H", content, at + 2)[0]
        return (
            content[:at] + b"\xff\xfe" + struct.pack(">H", 2 + len(REMARK)) + REMARK + content[at:]
        )
    return content


def mark_video(path: Path) -> None:
    """Put the remark at the end of an MP4 file, as free space, which players skip."""
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + len(REMARK), b"free") + REMARK)


def is_foreign(path: Path) -> bool:
    """Whether something is at ``path`` that is no drawing of ours, or cannot be looked at."""
    try:
        if not path.is_file():
            return path.exists()
        with path.open("rb") as file:
            begin = file.read(_ENDS)
            file.seek(max(0, path.stat().st_size - _ENDS))
            return REMARK not in begin and REMARK not in file.read()
    except OSError:
        return True
