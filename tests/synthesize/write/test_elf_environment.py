"""The C compiler finds a place for its cache whoever calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthesize.write import elf


def test_without_a_home_the_cache_lies_beside_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    own = elf.environment(tmp_path / "project")
    assert own["ZIG_GLOBAL_CACHE_DIR"] == str(tmp_path / ".zig")


@pytest.mark.parametrize("name", ["HOME", "XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR"])
def test_a_place_that_is_named_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for other in ("HOME", "XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "/somewhere")
    own = elf.environment(tmp_path / "project")
    assert own.get("ZIG_GLOBAL_CACHE_DIR", "/somewhere") == "/somewhere"
