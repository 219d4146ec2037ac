"""Files that were made to do harm: each ends with a sentence, in little memory and time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import guard
from tests.fuzz.hostile import HOSTILE
from tests.fuzz.readers import READERS
from tests.helpers.places import find_shared

KINDS = {
    **{".npz": "arrays", ".tar": "checkpoint", ".yaml": "yaml", ".onnx": "onnx", ".elf": "elf"},
    **{".p78": "recording", ".png": "picture", ".json": "keypoints"},
}
COMPILES = ("trans_pool.yaml",)
"""Harmless today: it compiles, and tests of the compiler run its kind on the kit."""


def samples() -> list[Path]:
    shared = find_shared()
    folder = shared / "cases" / "untrusted" if shared else Path("none")
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", sorted(set(KINDS.values())))
def test_samples_are_refused_within_limits(kind: str, tmp_path: Path) -> None:
    chosen = [path for path in samples() if KINDS.get(path.suffix) == kind]
    if not chosen:
        pytest.skip("no such samples here (they lie in shared/cases/untrusted)")
    if kind == "elf":
        pytest.importorskip("unicorn", reason="the kit extra is not installed")
    read = READERS[kind]()
    for path in chosen:
        tally = guard.run(read, iter([path.read_bytes()]), tmp_path)
        assert not tally.findings, f"{path.name}: {tally.findings[0].what}"
        assert tally.refused == (path.name not in COMPILES), path.name


def test_every_sample_has_a_reader() -> None:
    assert not [path.name for path in samples() if path.suffix not in KINDS]


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_files_made_to_harm_are_refused_within_limits(name: str, tmp_path: Path) -> None:
    files = HOSTILE[name]()
    tally = guard.run(READERS[name](), iter(files.values()), tmp_path)
    found = {
        kind for kind, content in files.items() for f in tally.findings if f.content is content
    }
    assert not tally.findings, f"{found}: {tally.findings[0].what}"
    assert tally.refused == len(files)
