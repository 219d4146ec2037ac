"""Images that are no usable firmware."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from common.errors import UserError
from evalkit.__main__ import main
from evalkit.hardware.elf import load
from evalkit.kit import Kit
from tests.helpers.mini_firmware import build_program


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    return build_program(folder / "program", "int main(void) { for (;;) {} }\n")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.elf: cannot be read"):
        load(tmp_path / "none.elf")


def test_foreign_executable() -> None:
    with pytest.raises(UserError, match="not for the 32-bit little-endian ARM"):
        load(sys.executable)


@pytest.mark.parametrize("size", [0, 3, 20, 51, 100, 4000])
def test_truncated(image: Path, tmp_path: Path, size: int) -> None:
    short = tmp_path / "short.elf"
    short.write_bytes(image.read_bytes()[:size])
    with pytest.raises(UserError, match=r"short\.elf"):
        Kit(short)


def test_text_file(tmp_path: Path) -> None:
    path = tmp_path / "text.elf"
    path.write_text("not an executable", encoding="ascii")
    with pytest.raises(UserError, match="not a usable ELF file"):
        load(path)


def test_object_file(image: Path) -> None:
    unlinked = next((image.parent.parent / "objects").glob("main-*.o"))
    with pytest.raises(UserError, match="not a linked executable"):
        load(unlinked)


def test_linked_for_another_place(image: Path, tmp_path: Path) -> None:
    content = bytearray(image.read_bytes())
    (table,) = struct.unpack_from("<I", content, 28)
    struct.pack_into("<II", content, table + 8, 0x0800_0000, 0x0800_0000)
    moved = tmp_path / "moved.elf"
    moved.write_bytes(content)
    with pytest.raises(UserError, match="outside flash"):
        Kit(moved)


def test_command_line_reports_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(tmp_path / "none.elf")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_source_line_and_function(image: Path) -> None:
    firmware = load(image)
    start, _ = firmware.symbols["main"]
    assert firmware.function_at(start) == "main"
    assert firmware.source_line(start) == "main.c:1"
    assert firmware.source_line(0x2000_0000) is None
