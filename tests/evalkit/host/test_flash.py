"""Flashing, with a program in OpenOCD's place that notes what it was asked."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from evalkit.__main__ import main


@pytest.fixture
def elf(tmp_path: Path) -> Path:
    path = tmp_path / "with space" / "firmware.elf"
    path.parent.mkdir()
    path.write_bytes(b"\x7fELF" + bytes(60))
    return path


def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str = "", status: int = 0) -> Path:
    """An ``openocd`` on the PATH; returns where it notes its arguments, one a line."""
    folder, noted = tmp_path / "bin", tmp_path / "noted"
    folder.mkdir()
    program = folder / "openocd"
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > "{noted}"\necho "{says}" >&2\nexit {status}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return noted


def test_the_image_is_programmed_verified_and_started(
    elf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noted = fake(tmp_path, monkeypatch)
    assert main(["flash", str(elf)]) == 0
    words = noted.read_text().splitlines()
    assert words[:4] == ["-f", "interface/cmsis-dap.cfg", "-f", "target/max78000.cfg"]
    assert words[4:] == [
        "-c", "init", "-c", "reset halt", "-c", f"program {{{elf}}} verify reset exit",
    ]  # fmt: skip
    assert "flashed and verified" in capsys.readouterr().out


def test_ways_out(elf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = fake(tmp_path, monkeypatch)
    given = ["flash", str(elf), "--under-reset", "--mass-erase", "--scripts", "/opt/scripts"]
    assert main(given) == 0
    words = noted.read_text().splitlines()
    assert words[:2] == ["-s", "/opt/scripts"]
    steps = [word for before, word in pairwise(words) if before == "-c"]
    assert steps[0] == "reset_config srst_only connect_assert_srst"
    assert steps.index("max32xxx mass_erase 0") < len(steps) - 1
    assert steps[-1].startswith("program ")


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ("Error: unable to find a matching CMSIS-DAP device", "no debug adapter was found"),
        ("Error: Error connecting DP: cannot read IDR", "--under-reset"),
        ("Can't find target/max78000.cfg", "--scripts"),
        ("Error: the moon is full", "the moon is full"),
    ],
)
def test_failures_are_explained(
    says: str,
    expected: str,
    elf: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake(tmp_path, monkeypatch, says, 1)
    assert main(["flash", str(elf)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: OpenOCD failed: ")
    assert expected in error
    assert error.count("\n") == 1


def test_without_openocd(
    elf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["flash", str(elf)]) == 2
    error = capsys.readouterr().err
    assert "openocd was not found" in error
    assert "install" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("content", [None, b"", b"MZ is no ELF"])
def test_wrong_images(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "firmware.elf"
    if content is not None:
        path.write_bytes(content)
    assert main(["flash", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {path} ")
