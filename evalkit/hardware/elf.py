"""Firmware images: what to load where, and which source line an address belongs to."""

from __future__ import annotations

import bisect
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import UserError

INSTALL_HINT = "run: pip install 'pose78[kit]'"

_EM_ARM = 40


@dataclass(frozen=True)
class Segment:
    """Bytes to place at a physical address before the start."""

    address: int
    data: bytes


@dataclass
class Firmware:
    """An ARM executable.

    Attributes:
        path: where it came from, for messages.
        segments: loadable contents.
        symbols: address and size by function or object name.
        debug: compiler's line table, looked at only when a message needs it.
    """

    path: str
    segments: list[Segment]
    symbols: dict[str, tuple[int, int]]
    debug: Any = None
    _lines: list[tuple[int, str, int]] = field(default_factory=list, repr=False)
    _functions: list[tuple[int, int, str]] = field(default_factory=list, repr=False)

    def source_line(self, address: int) -> str | None:
        """``file.c:12`` for a code address, or None without debug information."""
        if self.debug is not None:
            self._lines = _line_table(self.debug)
            self.debug = None
        index = bisect.bisect_right(self._lines, (address, "\x7f" * 8, 1 << 30)) - 1
        if index < 0 or not self._lines[index][1]:
            return None
        _, name, line = self._lines[index]
        return f"{name}:{line}"

    def function_at(self, address: int) -> str | None:
        """Name of the function an address lies in."""
        if not self._functions:
            self._functions = sorted(
                (start, start + size, name)
                for name, (start, size) in self.symbols.items()
                if size and start < 0x2000_0000
            )
        index = bisect.bisect_right(self._functions, (address, 1 << 32, "")) - 1
        if index < 0:
            return None
        start, end, name = self._functions[index]
        return name if start <= address < end else None


def load(path: str | Path) -> Firmware:
    """Read an ELF file.

    Raises:
        UserError: unreadable, truncated, or not a 32-bit little-endian ARM executable; or
            pyelftools is missing.
    """
    try:
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile
    except ImportError as error:
        raise UserError(f"reading firmware needs pyelftools; {INSTALL_HINT}") from error
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        elf = ELFFile(io.BytesIO(content))
        return _parse(str(path), elf, len(content))
    except UserError:
        raise
    except (
        ELFError,
        ValueError,
        KeyError,
        OSError,
        AttributeError,
        TypeError,
        IndexError,
    ) as error:
        raise UserError(
            f"{path}: not a usable ELF file ({error or type(error).__name__}); name a "
            "firmware.elf, as make firmware, make injection and make live build it"
        ) from error


def _parse(path: str, elf: Any, size: int) -> Firmware:
    header = elf.header
    if elf.elfclass != 32 or not elf.little_endian or header["e_machine"] != "EM_ARM":
        raise UserError(
            f"{path}: an executable for {header['e_machine']}, not for the 32-bit little-endian "
            "ARM of this chip; build it with arm-none-eabi-gcc or python -m synthesize.build"
        )
    if header["e_type"] != "ET_EXEC":
        raise UserError(f"{path}: not a linked executable ({header['e_type']}); link it first")
    segments = []
    for segment in elf.iter_segments():
        if segment["p_type"] != "PT_LOAD" or segment["p_filesz"] == 0:
            continue
        if segment["p_offset"] + segment["p_filesz"] > size:
            raise UserError(f"{path}: the file is truncated; copy or build it again")
        segments.append(Segment(segment["p_paddr"], segment.data()))
    if not segments:
        raise UserError(f"{path}: the file has no contents to load")
    symbols = {}
    table = elf.get_section_by_name(".symtab")
    if table is not None:
        for symbol in table.iter_symbols():
            if symbol["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT"):
                start = symbol["st_value"] & ~int(symbol["st_info"]["type"] == "STT_FUNC")
                symbols[symbol.name] = (start, symbol["st_size"])
    return Firmware(path, segments, symbols, elf if elf.has_dwarf_info() else None)


def _line_table(elf: Any) -> list[tuple[int, str, int]]:
    """Flatten the DWARF line programs to (address, file, line); a gap has an empty file."""
    rows: list[tuple[int, str, int]] = []
    dwarf = elf.get_dwarf_info()
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        files = program.header["file_entry"]
        base = 0 if program.header["version"] >= 5 else 1
        for entry in program.get_entries():
            state = entry.state
            # Line 0: instructions of no line in particular; they belong to those before.
            if state is None or (not state.line and not state.end_sequence):
                continue
            name = ""
            if not state.end_sequence and 0 <= state.file - base < len(files):
                name = files[state.file - base].name.decode(errors="replace")
            rows.append((state.address, name, state.line or 0))
    return sorted(rows)
