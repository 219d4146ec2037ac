"""The guard finds what it is there to find, and the quick tests fuzz a little."""

from __future__ import annotations

import gc
import itertools
import os
import time
from pathlib import Path

import pytest

from common.errors import UserError
from distill.engine.machine import keep_memory, return_memory
from tests.fuzz import guard
from tests.fuzz.cases import MAKERS, endless
from tests.fuzz.readers import READERS


def _misread(path: Path) -> None:
    content = path.read_bytes()
    if content == b"refuse":
        raise UserError("no")
    if content == b"raise":
        raise KeyError("x")
    if content == b"die":
        os.abort()
    if content == b"grow":
        bytearray(600 << 20)[::4096] = b"x" * (600 << 20 >> 12)
    if content == b"burn":
        end = time.process_time() + 2
        while time.process_time() < end:
            pass
    if content == b"hang":
        time.sleep(60)


def test_the_guard_tells_good_from_bad(tmp_path: Path) -> None:
    files = [b"read", b"refuse", b"raise", b"die", b"grow", b"read"]
    tally = guard.run(_misread, iter(files), tmp_path)
    assert (tally.read, tally.refused) == (2, 1)
    assert [finding.content for finding in tally.findings] == [b"raise", b"die", b"grow"]
    whats = [finding.what for finding in tally.findings]
    assert "KeyError" in whats[0]
    assert "status -6" in whats[1]
    assert "MB of memory" in whats[2]


def test_garbage_of_the_parent_hides_no_memory(tmp_path: Path) -> None:
    def collect_and_grow(path: Path) -> None:
        gc.collect()
        _misread(path)

    gc.disable()
    try:
        loop: list[object] = [bytes(b"x" * (400 << 20))]
        loop.append(loop)
        del loop
        (found,) = guard.run(collect_and_grow, iter([b"grow"]), tmp_path).findings
    finally:
        gc.enable()
        gc.collect()
    assert "MB of memory" in found.what


def test_memory_that_the_parent_freed_and_kept_hides_none(tmp_path: Path) -> None:
    try:
        assert keep_memory()
        bytes(b"x" * (700 << 20))
        (found,) = guard.run(_misread, iter([b"grow"]), tmp_path).findings
    finally:
        return_memory()
    assert "MB of memory" in found.what


def test_too_much_time_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_SECONDS", 0.5)
    (found,) = guard.run(_misread, iter([b"burn"]), tmp_path).findings
    assert "of processor time" in found.what
    monkeypatch.setattr(guard, "_PATIENCE", 1.0)
    (found,) = guard.run(_misread, iter([b"hang"]), tmp_path).findings
    assert found.what == "1 s and no end"


def test_every_reader_has_files() -> None:
    assert set(MAKERS) == set(READERS)


CORPUS = Path(__file__).parent / "fuzz" / "corpus"


@pytest.mark.parametrize("name", sorted(READERS))
def test_what_was_found_stays_mended(name: str, tmp_path: Path) -> None:
    """The corpus, and a few files that are new to nobody."""
    if name == "elf":
        pytest.importorskip("unicorn", reason="the kit extra is not installed")
    if name == "recipe":
        pytest.importorskip("lightning", reason="the train extra is not installed")
    kept = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    fresh = itertools.islice(endless(name, 0, hostile_ones=False), 5)
    tally = guard.run(READERS[name](), itertools.chain(kept, fresh), tmp_path)
    assert not tally.findings, tally.findings[0].what
    assert tally.read + tally.refused == len(kept) + 5
